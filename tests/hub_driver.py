"""A process that looks for models on the Hub of `HF_ENDPOINT`: reads a place a line, writes a line with what was found there."""

from __future__ import annotations

import json
import sys

from ray_study.places import ModelSettings, find_models


def look(place: str, *, step_folders: bool) -> dict[str, object]:
    """What is found at a place, or the sentence that refuses it."""
    try:
        found = find_models(place, ModelSettings(dtype="float32"), step_folders=step_folders, trust=False)
    except ValueError as error:
        return {"refused": str(error)}
    return {
        "models": [
            {"name": each.name, "step": each.step, "hub": each.model.hub, "revision": each.model.revision, "path": each.model.path}
            for each in found
        ]
    }


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(look(**json.loads(line))) + "\n")
        sys.stdout.flush()

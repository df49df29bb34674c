"""A process that looks for judges of the Hub of `HF_ENDPOINT`, as a run does first: reads a name a line, writes what the check found."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from labs import make_exams, make_lab
from studies import study

from ray_study.checks import outside
from ray_study.checks.at_work import at_work

SMALL = {"models/tiny/scratch/hidden_size": 32, "models/tiny/scratch/num_layers": 1}
JUDGED = {
    "judges": {"policy": {"rubric": "policy", "model": "grader"}},
    "evaluation/benchmarks": {"sums": {"problems": "held_out", "group": "safety", "judge": "policy"}},
}

if __name__ == "__main__":
    lab = make_lab(Path(sys.argv[1]), SMALL)
    for line in sys.stdin:
        judged = dataclasses.replace(lab, study=study({**SMALL, **JUDGED, "models/grader": {"hub": line.strip()}}))
        finding = outside.judge_reachable(at_work(judged, make_exams(judged)))
        sys.stdout.write(json.dumps([finding.state, finding.stops, finding.sentence]) + "\n")
        sys.stdout.flush()

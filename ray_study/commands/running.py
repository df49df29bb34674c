"""`run`: the whole study, or its training alone. What it ends with is told in the same words for `evaluate`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ray_study import plan
from ray_study.commands.common import DONE, OWED, open_store, progress_for_people, read_study
from ray_study.store import Store

if TYPE_CHECKING:
    from ray_study.publish import SweepFile
    from ray_study.study import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `run` takes beside its sweep file."""
    parser.add_argument("--train-only", action="store_true", help="train the runs and score nothing, while `evaluate` does or before it")


def run(options: argparse.Namespace) -> int:
    """The exit code of `run`."""
    study_settings = read_study(options.sweep)
    refuse(options.sweep, plan.faults_of(study_settings))
    store = open_store(study_settings)
    # Progress is told line by line; other libraries' bars would be drawn over it. Read when tqdm is imported.
    os.environ.setdefault("TQDM_DISABLE", "1")
    # Not at the top: `plan`, `status` and `--help` must not load Ray, torch, vLLM or MLflow.
    from ray_study import study  # noqa: PLC0415
    from ray_study.publish import SweepFile  # noqa: PLC0415

    file = SweepFile(study=study_settings, text=Path(options.sweep).read_text())
    progress = progress_for_people(quiet=options.quiet)
    if options.train_only:
        return conclude(options, study.train_only(file, store, progress), "all runs are trained")
    try:
        outcome = study.run(file, store, progress)
    except RuntimeError as error:
        report_what_there_is(file, store, progress, str(error))
        raise
    return conclude(options, outcome, "all that is owed is scored")


def refuse(sweep: str, faults: Sequence[str]) -> None:
    """Returns where a study has no fault.

    Raises:
        ValueError: it has; a line for each.
    """
    if faults:
        raise ValueError("\n".join(f"{sweep}: {fault}" for fault in faults))


def conclude(options: argparse.Namespace, outcome: Outcome, whole: str) -> int:
    """The exit code, once it is said where the report is and, in the last line, what failed or is owed, or `whole` where nothing is."""
    if not options.quiet and outcome.report:
        print(f"report: {outcome.report}")
        print(f"MLflow: ray-study ui {options.sweep}")
    if outcome.failed or outcome.owed:
        print("; ".join([*outcome.failed, *outcome.owed]))
        return OWED
    print(whole)
    return DONE


def report_what_there_is(file: SweepFile, store: Store, progress: Callable[[str], None], why: str) -> None:
    """Writes the report of what was made when a study could not go on; what is not scored is owed, because of `why`."""
    # As in `run`, which has loaded it already.
    from ray_study.recall import report_stored  # noqa: PLC0415

    try:
        progress(f"report of what was made so far: {report_stored(file, store, progress, why=why)}")
    except ValueError as error:
        # The error that ended the study is the one to be told.
        progress(f"no report: {error}")

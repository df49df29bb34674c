"""`evaluate`: what is owed of a study's checkpoints, once or while another job trains, or any model by a suite."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from ray_study import plan
from ray_study.benchmarks import ProtocolName
from ray_study.commands.common import DONE, OWED, open_store, progress_for_people, read_study, storage_of
from ray_study.commands.running import conclude, refuse, report_what_there_is
from ray_study.store import Store

_WITH_A_MODEL = ("suite", "protocol", "judges", "gpus", "replicas", "step_folders", "trust_remote_code", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `evaluate` takes: a sweep file, or a model and a suite."""
    parser.add_argument("sweep", metavar="SWEEP", nargs="?", help="a sweep file; left out with --model")
    parser.add_argument("--follow", action="store_true", help="go on while another job trains, until all runs have ended")
    parser.add_argument("--model", metavar="MODEL", help="a directory, or owner/name[@revision][/folder] of the Hub")
    parser.add_argument("--suite", metavar="SUITE", help="the exams for --model: `paper`, `offline`, or a YAML file with `evaluation`")
    parser.add_argument(
        "--protocol",
        choices=get_args(ProtocolName),
        help="how named benchmarks are asked and judged; --suite paper: as the paper does, others: by their own rules, or as the file says",
    )
    parser.add_argument("--judges", metavar="FILE", help="a sweep or suite file whose judges, with their models, judge the suite too")
    parser.add_argument("--gpus", type=int, metavar="N", help="accelerators of a replica, its tensor parallel size; 0 is the CPU")
    parser.add_argument("--replicas", type=int, metavar="N", help="engines at a time")
    parser.add_argument("--step-folders", action="store_true", help="score each stepNNN folder of the model")
    parser.add_argument("--trust-remote-code", action="store_true", help="let code that comes with the model run")
    parser.add_argument("--json", metavar="FILE", help="write the scores of --model there too")


def evaluate(options: argparse.Namespace) -> int:
    """The exit code of `evaluate`.

    Raises:
        ValueError: the arguments do not go together, or a file is wrong.
    """
    if (options.sweep is None) == (options.model is None):
        raise ValueError("evaluate takes a sweep file, or --model and --suite: one of both")
    os.environ.setdefault("TQDM_DISABLE", "1")
    return _study(options) if options.model is None else _any_model(options)


def _study(options: argparse.Namespace) -> int:
    # Zero accelerators are something that was said.
    stray = [name for name in _WITH_A_MODEL if getattr(options, name) is not None and getattr(options, name) is not False]
    if stray:
        raise ValueError(f"--{stray[0].replace('_', '-')} goes with --model, not with a sweep file")
    settings = read_study(options.sweep)
    refuse(options.sweep, plan.faults_of(settings))
    store = open_store(settings)
    if not options.follow and store.read_json("bases.json") is None:
        raise ValueError(f"{store.root} holds no checkpoint yet, so there is nothing to score; train first, or wait for it with --follow")
    # Not at the top: it loads Ray, vLLM's client and MLflow.
    from ray_study import study  # noqa: PLC0415
    from ray_study.publish import SweepFile  # noqa: PLC0415

    file = SweepFile(study=settings, text=Path(options.sweep).read_text())
    progress = progress_for_people(quiet=options.quiet)
    try:
        outcome = study.evaluate(file, store, progress, follow=options.follow)
    except RuntimeError as error:
        report_what_there_is(file, store, progress, str(error))
        raise
    return conclude(options, outcome, "all that is owed is scored")


def _any_model(options: argparse.Namespace) -> int:
    if options.suite is None or options.follow:
        raise ValueError("--model goes with --suite, and not with --follow")
    # As above.
    from ray_study import exam_only, places, suites  # noqa: PLC0415

    said = suites.Said(protocol=options.protocol, gpus=options.gpus, replicas=options.replicas, judges=options.judges)
    suite, settings = suites.read_suite(options.suite, said)
    models = places.find_models(options.model, settings, step_folders=options.step_folders, trust=options.trust_remote_code)
    study = exam_only.study_of(suite, models)
    store = Store(storage_of(study.storage), study.name)
    scores, owed = exam_only.evaluate(study, store, models, progress_for_people(quiet=options.quiet))
    if options.json:
        found = {
            **{"model": options.model, "suite": options.suite, "exams": exam_only.how_asked(study)},
            **{"scores": [asdict(score) for score in scores], "owed": owed},
        }
        Path(options.json).write_text(json.dumps(found, indent=1))
    for line in exam_only.table(scores):
        print(line)
    if not options.quiet:
        print(f"stored in {store.root}")
    print("; ".join(owed) if owed else f"{len(models)} models are scored")
    return OWED if owed else DONE

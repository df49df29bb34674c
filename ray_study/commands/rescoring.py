"""`rescore`: what today's verifier says of stored attempts, or what their scores would be under smaller caps."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from ray_study import sweep_file
from ray_study.assets import cache_directory
from ray_study.benchmarks import ProtocolName
from ray_study.commands.common import DONE, OWED, open_store, progress_for_people, storage_of
from ray_study.config import Study
from ray_study.store import Store

if TYPE_CHECKING:
    from ray_study.materials import Lab


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """Whose stored attempts are judged again."""

    study: Study
    store: Store
    first: str
    """What is to be done first where nothing is stored."""
    show: str
    """The command that shows its scores."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `rescore` takes: a sweep file, or a model and a suite as `evaluate` has asked them."""
    parser.add_argument("sweep", metavar="SWEEP", nargs="?", help="a sweep file; left out with --model")
    parser.add_argument("--model", metavar="MODEL", help="a model that `evaluate --model` has asked, said in the same way")
    parser.add_argument("--suite", metavar="SUITE", help="the suite that it was asked")
    parser.add_argument("--protocol", choices=get_args(ProtocolName), help="as it was said to `evaluate`")
    parser.add_argument("--judges", metavar="FILE", help="as it was said to `evaluate`")
    parser.add_argument("--step-folders", action="store_true", help="each stepNNN folder of the model")
    parser.add_argument("--trust-remote-code", action="store_true", help="let code that comes with the model run")
    parser.add_argument("--benchmark", action="append", metavar="BENCHMARK", help="only this one; may be said again for more")
    parser.add_argument("--cap", action="append", type=_cap, metavar="TOKENS", help="as if no answer had been longer; may be said again")


def _cap(text: str) -> int:
    cap = int(text)
    if cap < 1:
        raise argparse.ArgumentTypeError(f"expected a number of tokens, 1 or more, found {cap}")
    return cap


def rescore(options: argparse.Namespace) -> int:
    """The exit code of `rescore`: 0 where nothing contradicts what is stored, 1 where one version of the verifier says two things.

    Raises:
        ValueError: the arguments do not go together, a file is wrong, or nothing is stored.
    """
    subject = _subject(options)
    store = subject.store
    benchmarks = _chosen(subject.study, options.benchmark)
    # Not at the top: the flow's modules load Ray.
    from ray_study import rescore as judging_again  # noqa: PLC0415
    from ray_study.recall import offline  # noqa: PLC0415

    lab = offline(subject.study, store, progress_for_people(quiet=options.quiet))
    if options.cap:
        return _at_caps(options, subject, lab, benchmarks)
    found = judging_again.rescore(lab, benchmarks)
    if not found.num_attempts and not found.left_alone:
        raise ValueError(_nothing(subject))
    for line in [*found.left_alone, *judging_again.flip_table(found.flips)]:
        print(line)
    if found.flips:
        store.write_bytes("flips.csv", judging_again.as_csv(found.flips, judging_again.Flip))
        print(f"every flip: {store.path('flips.csv')}")
    if found.judged_anew:
        print(f"{found.judged_anew} cells have verdicts of this version now, beside the older ones: {subject.show}")
    if found.contradictions:
        print(
            f"CONTRADICTION: {len(found.contradictions)} of {found.num_attempts} attempts come out otherwise than this very version of the "
            "verifier has stored; nothing was overwritten. Raise verify.VERSION where the verifier was changed, then rescore again"
        )
        return OWED
    if found.by_the_clock:
        print(
            f"{len(found.by_the_clock)} of them because of time alone: the stored verdict or today's is `timeout`, which says how busy the "
            "machine was. Stored verdicts stay"
        )
    print(f"{found.num_attempts} attempts judged again: {len(found.flips) or 'none'} of them otherwise")
    return DONE


def _subject(options: argparse.Namespace) -> _Subject:
    if (options.sweep is None) == (options.model is None):
        raise ValueError("rescore takes a sweep file, or --model and --suite: one of both")
    return _study(options) if options.model is None else _any_model(options)


def _study(options: argparse.Namespace) -> _Subject:
    stray = [name for name in ("suite", "protocol", "judges", "step_folders", "trust_remote_code") if getattr(options, name)]
    if stray:
        raise ValueError(f"--{stray[0].replace('_', '-')} goes with --model, not with a sweep file")
    study, sweep = sweep_file.read(options.sweep), options.sweep
    first = f"run the study first: ray-study run {sweep}"
    return _Subject(study=study, store=open_store(study), first=first, show=f"ray-study report {sweep}")


def _any_model(options: argparse.Namespace) -> _Subject:
    if options.suite is None:
        raise ValueError("--model goes with --suite")
    # Not at the top, as in `rescore`.
    from ray_study import exam_only, places, suites  # noqa: PLC0415

    suite, settings = suites.read_suite(options.suite, suites.Said(protocol=options.protocol, judges=options.judges))
    models = places.find_models(options.model, settings, step_folders=options.step_folders, trust=options.trust_remote_code)
    study = exam_only.study_of(suite, models)
    more = "".join(f" --{name} {value}" for name in ("protocol", "judges") if (value := getattr(options, name)))
    more += " --step-folders" if options.step_folders else ""
    said = f"ray-study evaluate --model {options.model} --suite {options.suite}{more}"
    store = Store(storage_of(study.storage), study.name)
    exam_only.check_models(store, models, cache_directory())
    return _Subject(study=study, store=store, first=f"score it first: {said}", show=said)


def _at_caps(options: argparse.Namespace, subject: _Subject, lab: Lab, benchmarks: list[str]) -> int:
    # Not at the top, as in `rescore`.
    from ray_study import capped  # noqa: PLC0415
    from ray_study import rescore as judging_again  # noqa: PLC0415
    from ray_study.owed import matrix  # noqa: PLC0415

    rows, without = capped.at_caps(lab, benchmarks, options.cap)
    left_out = [*capped.not_comparable(lab.study, benchmarks), *without]
    if not rows:
        raise ValueError("\n".join(left_out) if len(left_out) >= len(benchmarks) else _nothing(subject))
    lost = [f"step {row.step} of {row.run.name}: {row.lost}" for row in matrix(lab.study, lab.store) if row.lost]
    for line in [*left_out, *lost, *capped.cap_table(rows)]:
        print(line)
    lab.store.write_bytes("caps.csv", judging_again.as_csv(rows, capped.CapRow))
    print(f"{len(rows)} scores: {lab.store.path('caps.csv')}")
    return DONE


def _nothing(subject: _Subject) -> str:
    return f"{subject.store.root} holds no answers yet, so there is nothing to judge again; {subject.first}"


def _chosen(study: Study, names: list[str] | None) -> list[str]:
    known = list(study.evaluation.benchmarks)
    for name in names or ():
        if name not in known:
            raise ValueError(f"unknown benchmark {name!r}; {sweep_file.nearest(name, known)}")
    return names or known

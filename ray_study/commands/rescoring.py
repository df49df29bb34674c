"""`rescore`: what today's verifier says of stored attempts, or what their scores would be under smaller caps."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ray_study import sweep_file
from ray_study.commands.common import DONE, OWED, open_store, progress_for_people
from ray_study.config import Study
from ray_study.store import Store

if TYPE_CHECKING:
    from ray_study.materials import Lab


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `rescore` takes beside its sweep file."""
    parser.add_argument("--benchmark", action="append", metavar="BENCHMARK", help="only this one; may be said again for more")
    parser.add_argument("--cap", action="append", type=_cap, metavar="TOKENS", help="as if no answer had been longer; may be said again")


def _cap(text: str) -> int:
    cap = int(text)
    if cap < 1:
        raise argparse.ArgumentTypeError(f"expected a number of tokens, 1 or more, found {cap}")
    return cap


def rescore(options: argparse.Namespace) -> int:
    """The exit code of `rescore`: 0 where nothing contradicts what is stored, 1 where one version of the verifier says two things."""
    study = sweep_file.read(options.sweep)
    benchmarks = _chosen(study, options.benchmark)
    store = open_store(study)
    # Not at the top: the flow's modules load Ray.
    from ray_study import rescore as judging_again  # noqa: PLC0415
    from ray_study.recall import offline  # noqa: PLC0415

    lab = offline(study, store, progress_for_people(quiet=options.quiet))
    if options.cap:
        return _at_caps(options, lab, benchmarks)
    found = judging_again.rescore(lab, benchmarks)
    if not found.num_attempts and not found.left_alone:
        raise ValueError(_nothing(store, options.sweep))
    for line in [*found.left_alone, *judging_again.flip_table(found.flips)]:
        print(line)
    if found.flips:
        store.write_bytes("flips.csv", judging_again.as_csv(found.flips, judging_again.Flip))
        print(f"every flip: {store.path('flips.csv')}")
    if found.judged_anew:
        print(f"{found.judged_anew} cells have verdicts of this version now, beside the older ones: ray-study report {options.sweep}")
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


def _at_caps(options: argparse.Namespace, lab: Lab, benchmarks: list[str]) -> int:
    # Not at the top, as in `rescore`.
    from ray_study import capped  # noqa: PLC0415
    from ray_study import rescore as judging_again  # noqa: PLC0415

    rows, without = capped.at_caps(lab, benchmarks, options.cap)
    left_out = [*capped.not_comparable(lab.study, benchmarks), *without]
    if not rows:
        raise ValueError("\n".join(left_out) if len(left_out) >= len(benchmarks) else _nothing(lab.store, options.sweep))
    for line in [*left_out, *capped.cap_table(rows)]:
        print(line)
    lab.store.write_bytes("caps.csv", judging_again.as_csv(rows, capped.CapRow))
    print(f"{len(rows)} scores: {lab.store.path('caps.csv')}")
    return DONE


def _nothing(store: Store, sweep: str) -> str:
    return f"{store.root} holds no answers yet, so there is nothing to judge again; run the study first: ray-study run {sweep}"


def _chosen(study: Study, names: list[str] | None) -> list[str]:
    known = list(study.evaluation.benchmarks)
    for name in names or ():
        if name not in known:
            raise ValueError(f"unknown benchmark {name!r}; {sweep_file.nearest(name, known)}")
    return names or known

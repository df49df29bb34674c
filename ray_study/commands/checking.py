"""`check`: what can be found out about a study before anything is spent, each thing by its name and in a sentence."""

from __future__ import annotations

import argparse
import os

from ray_study import plan
from ray_study.commands.common import BAD_INPUT, DONE, OWED, open_store, progress_for_people, read_study
from ray_study.commands.running import refuse


def check(options: argparse.Namespace) -> int:
    """The exit code of `check`: 0 where nothing failed, 1 where something did that spends nothing for nothing, 2 where `run` would stop."""
    study = read_study(options.sweep)
    refuse(options.sweep, plan.faults_of(study))
    store = open_store(study)
    os.environ.setdefault("TQDM_DISABLE", "1")
    # Not at the top: it renders prompts with tokenizers.
    from ray_study import checks  # noqa: PLC0415

    findings = checks.look(checks.as_it_is(study, store, progress_for_people(quiet=options.quiet)))
    for finding in findings:
        if not options.quiet or finding.state == "fail":
            print(checks.line(finding))
    failed = [finding for finding in findings if finding.state == "fail"]
    print(checks.summary(findings))
    return BAD_INPUT if any(finding.stops for finding in failed) else OWED if failed else DONE

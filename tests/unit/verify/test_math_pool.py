"""The worker processes: killed, replaced, and the same from wherever they are asked (trap V1)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ray_study.verify import judge
from ray_study.verify.math_pool import MathWorker, MathWorkers, math_workers

PAIRS = [("1/2", "0.5"), (r"\sqrt{8}", r"2\sqrt{2}"), ("x+y", "x-y"), ("[1,2)", "(1,2)"), (r"\{1,2\}", r"\{2,1\}"), ("1/3", "0.333")]
EXPECTED = ["correct", "correct", "wrong", "wrong", "correct", "wrong"]
SCRIPT = "from ray_study.verify import judge\nprint(judge('math', r'\\boxed{0.5}', '1/2').verdict)\n"


def verdicts() -> list[str]:
    return [judge("math", rf"\boxed{{{answer}}}", gold).verdict for gold, answer in PAIRS]


def _stopped_within(process_id: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def _run(command: list[str], stdin: str, cwd: Path) -> str:
    root = str(Path(__file__).resolve().parents[3])
    done = subprocess.run(
        [sys.executable, *command],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_a_program_on_standard_input_gets_its_verdict(tmp_path: Path) -> None:
    assert _run(["-"], SCRIPT, tmp_path) == "correct"


def test_a_one_liner_gets_its_verdict_and_keeps_its_standard_input(tmp_path: Path) -> None:
    command = "from ray_study.verify import judge; print(judge('math', input(), '1/2').verdict)"
    assert _run(["-c", command], "\\boxed{0.5}\n", tmp_path) == "correct"


def test_a_script_without_a_main_guard_runs_once_even_beside_a_file_named_like_a_library(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    workdir = tmp_path / "elsewhere"
    workdir.mkdir()
    (workdir / "sympy.py").write_text("raise SystemExit('the wrong sympy')", encoding="utf-8")
    assert _run([str(tmp_path / "script.py")], "", workdir) == "correct"


def test_importing_the_package_loads_no_mathematics_and_starts_nothing(tmp_path: Path) -> None:
    command = (
        "import sys, threading, ray_study.verify\n"
        "print(sorted({'sympy', 'math_verify', 'latex2sympy2_extended', 'ray', 'torch'} & sys.modules.keys()), threading.active_count())"
    )
    assert _run(["-c", command], "", tmp_path) == "[] 1"


def test_v1_threads_get_the_verdicts_of_the_main_thread() -> None:
    assert verdicts() == EXPECTED
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: verdicts(), range(4))) == [EXPECTED] * 4


def test_no_more_workers_run_than_allowed() -> None:
    workers = MathWorkers(most=1)
    with ThreadPoolExecutor(4) as threads:
        replies = list(threads.map(lambda _: workers.ask("1/2", "0.5", timeout_seconds=8), range(8)))
    assert [verdict for verdict, _ in replies] == ["correct"] * 8
    assert len(workers.idle_process_ids()) == 1
    workers.close()


def test_a_worker_that_hung_is_killed_and_replaced() -> None:
    workers = MathWorkers(most=1)
    assert workers.ask("1/2", "0.5", timeout_seconds=8)[0] == "correct"
    (hung,) = workers.idle_process_ids()
    assert workers.ask("1", r"9^{9^{9^9}}", timeout_seconds=1)[0] in ("timeout", "error")
    assert _stopped_within(hung, 10)
    assert workers.ask("1/2", "0.5", timeout_seconds=8)[0] == "correct"
    assert workers.idle_process_ids() != [hung]
    workers.close()


def test_a_worker_that_somebody_killed_while_it_waited_is_replaced_unseen() -> None:
    workers = MathWorkers(most=1)
    workers.ask("1/2", "0.5", timeout_seconds=8)
    os.kill(workers.idle_process_ids()[0], signal.SIGKILL)
    time.sleep(0.2)
    assert workers.ask("1/2", "0.5", timeout_seconds=8)[0] == "correct"
    workers.close()


def test_a_worker_that_dies_at_work_is_an_error_and_not_wrong() -> None:
    workers = MathWorkers(most=1)
    workers.ask("1/2", "0.5", timeout_seconds=8)
    (worker,) = workers.idle_process_ids()
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(workers.ask, "1", "(" * 2000 + "1" + ")" * 2000, timeout_seconds=20)
        time.sleep(0.5)
        os.kill(worker, signal.SIGKILL)
        verdict, explanation = asked.result(timeout=10)
    assert verdict == "error"
    assert "signal 9" in explanation
    workers.close()


def test_closing_ends_the_workers() -> None:
    workers = MathWorkers(most=1)
    workers.ask("1/2", "0.5", timeout_seconds=8)
    (worker,) = workers.idle_process_ids()
    workers.close()
    assert _stopped_within(worker, 1)


def test_a_worker_ends_when_its_program_is_killed(tmp_path: Path) -> None:
    script = (
        "import os, signal\nfrom ray_study.verify.math_pool import math_workers\n"
        "math_workers().ask('1/2', '0.5', timeout_seconds=8)\n"
        "print(math_workers().idle_process_ids()[0], flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = str(Path(__file__).resolve().parents[3])
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}
    )
    assert _stopped_within(int(done.stdout), 5)


def test_a_forked_child_does_not_read_its_parents_workers() -> None:
    assert verdicts() == EXPECTED
    parents = set(math_workers().idle_process_ids())
    child = os.fork()
    if child == 0:
        fine = verdicts() == EXPECTED and not parents & set(math_workers().idle_process_ids())
        math_workers().close()
        os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert verdicts() == EXPECTED
    assert parents & set(math_workers().idle_process_ids())


SLOW = ["((((10!)!)!)!)!", "(" * 2000 + "x" + ")" * 2000, r"\sqrt{" * 900 + "x" + "}" * 900]
SECONDS = 10.0  # ordinary pairs share a message with hanging ones, and must have time enough on a machine that is busy


def test_v2_the_pathological_inputs_as_a_set_leave_every_other_verdict_as_it_is() -> None:
    """One message holds hanging and ordinary questions: a hang is its own, and the child that follows judges the rest."""
    workers = MathWorkers(most=2)
    questions: list[tuple[str, str | None]] = [*PAIRS, *(("1/2", slow) for slow in SLOW)]
    replies = workers.ask_many(questions, timeout_seconds=SECONDS, num_workers=2)
    assert [replies[pair][0] for pair in PAIRS] == EXPECTED
    assert {replies["1/2", slow][0] for slow in SLOW} <= {"timeout", "error"}
    assert len(replies) == len(questions)
    workers.close()


def test_v2_a_hang_inside_a_message_does_not_touch_what_stands_before_or_after_it() -> None:
    worker = MathWorker()
    before = worker.computing_id
    replies = worker.compare([("1/2", "0.5"), ("1", SLOW[0]), ("x+y", "x-y")], SECONDS)
    assert replies is not None
    assert [verdict for verdict, _ in replies] == ["correct", "timeout", "wrong"]
    assert replies[1][1] == "math-verify took more than 10 s"
    assert worker.computing_id != before
    assert _stopped_within(before, 5)
    worker.kill()


def test_v3_an_answer_that_takes_more_than_the_memory_limit_is_an_error_or_a_timeout_and_never_wrong() -> None:
    workers = MathWorkers(most=1)
    verdict, explanation = workers.ask("1", "(10^{10^{9}})! + 9^{9^{9}}", timeout_seconds=4)
    assert verdict in ("timeout", "error")
    assert explanation
    assert workers.ask("1/2", "0.5", timeout_seconds=8)[0] == "correct"
    workers.close()


def test_the_child_that_computes_has_a_memory_limit_and_its_guard_none() -> None:
    worker = MathWorker()
    assert worker.compare([("1/2", "0.5")], 30) is not None
    found = []
    for process_id in (worker.computing_id, os.getpgid(worker.computing_id)):
        limits = Path(f"/proc/{process_id}/limits").read_text(encoding="ascii")
        (line,) = [line for line in limits.splitlines() if line.startswith("Max address space")]
        found.append(line.split()[3])
    assert found[0] == str(4 * 2**30)
    assert found[1] != found[0]
    worker.kill()


def test_many_questions_are_each_asked_once_and_answered_alike_by_one_and_by_two_workers() -> None:
    questions: list[tuple[str, str | None]] = [(rf"\frac{{{number}}}{{x}}", rf"\frac{{x}}{{{number % 7}}}") for number in range(3, 60)] * 2
    replies = []
    for num_workers in (1, 2):
        workers = MathWorkers(most=2)
        replies.append(workers.ask_many(questions, timeout_seconds=30, num_workers=num_workers))
        assert len(workers.idle_process_ids()) <= num_workers
        workers.close()
    assert replies[0] == replies[1]
    assert set(replies[0]) == set(questions)


def test_a_guard_that_is_killed_at_work_is_replaced_and_its_questions_are_asked_again() -> None:
    workers = MathWorkers(most=1)
    workers.ask("1/2", "0.5", timeout_seconds=8)
    guard = os.getpgid(workers.idle_process_ids()[0])
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(workers.ask_many, [("1", SLOW[0]), *PAIRS], timeout_seconds=SECONDS, num_workers=1)
        time.sleep(0.5)
        os.killpg(guard, signal.SIGKILL)
        replies = asked.result(timeout=60)
    assert [replies[pair][0] for pair in PAIRS] == EXPECTED
    assert replies["1", SLOW[0]][0] in ("error", "timeout")
    workers.close()

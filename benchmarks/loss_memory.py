"""How much memory and time the loss takes, against the plain way: all logits at once, and torch's cross-entropy.

Each variant runs in a process of its own, which makes hidden states and a head, does what both need once in small, notes the memory it has
then, and takes loss and gradient; what its resident memory has risen by at its peak is the loss's. Then two processes, one a variant, take
turns, so that each ratio of times is of two neighbours on the same machine; seconds are those of the processor, over all threads.

    python benchmarks/loss_memory.py [--tokens 4096] [--vocabulary 49152] [--hidden 576] [--pairs 3] [--threads 1]

The last line is JSON. `ratio` is (bytes of the plain way) / (bytes of ours), 4 or more is the goal; `ratio_time` is the median of
(seconds of the plain way) / (seconds of ours), 1 / 1.1 or more is the goal. Ours also counts the targets hit and adds up entropies,
which the plain way does not.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch.nn.functional import cross_entropy
from transformers import Qwen2Config

from ray_study.train.loss import LossHead, logit_transform

GOAL, GOAL_TIME = 4.0, 1 / 1.1
VARIANTS = ("plain", "chunked")


def losses(head: torch.nn.Linear) -> dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]:
    """The mean loss of hidden states and targets, by either way, with the same head."""
    ours = LossHead(head, logit_transform(Qwen2Config()), at_once=None)
    return {
        "plain": lambda hidden, targets: cross_entropy(head(hidden), targets, reduction="sum") / len(targets),
        "chunked": lambda hidden, targets: ours(hidden, targets, torch.full((len(targets),), 1 / len(targets)))[0],
    }


def peak_bytes() -> int:
    """Most resident memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def serve(variant: str, options: argparse.Namespace, pipe: Connection) -> None:
    """Answers each message with (bytes that the peak rose by, seconds, loss, sizes of the gradients)."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    head = torch.nn.Linear(options.hidden, options.vocabulary, bias=False)
    torch.nn.init.normal_(head.weight, std=0.05)
    hidden, targets = torch.randn(options.tokens, options.hidden), torch.randint(0, options.vocabulary, (options.tokens,))
    loss_of = losses(head)[variant]
    # What libraries allocate once, at their first use.
    loss_of(hidden[:2].clone().requires_grad_(), targets[:2]).backward()  # type: ignore[no-untyped-call]
    head.weight.grad = None
    before = peak_bytes()
    while pipe.recv():
        inputs = hidden.clone().requires_grad_()
        start = time.process_time()
        loss = loss_of(inputs, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        seconds = time.process_time() - start
        assert inputs.grad is not None
        assert head.weight.grad is not None
        pipe.send((peak_bytes() - before, seconds, loss.item(), float(inputs.grad.norm()), float(head.weight.grad.norm())))
        head.weight.grad = None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--vocabulary", type=int, default=49152)
    parser.add_argument("--hidden", type=int, default=576)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for variant in VARIANTS:
        pipes[variant], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(variant, options, theirs), daemon=True))
        processes[-1].start()

    def ask(variant: str) -> tuple[int, float, float, float, float]:
        pipes[variant].send(True)
        found: tuple[int, float, float, float, float] = pipes[variant].recv()
        return found

    first = {variant: ask(variant) for variant in VARIANTS}
    pairs = [{variant: ask(variant)[1] for variant in VARIANTS} for _ in range(options.pairs)]
    for variant in VARIANTS:
        pipes[variant].send(False)
    for process in processes:
        process.join()
    plain, ours = first["plain"], first["chunked"]
    # The figures are of the same loss and the same gradient, or of nothing.
    assert all(abs(mine - other) <= 1e-5 * abs(other) for mine, other in zip(ours[2:], plain[2:], strict=True)), first
    found = {
        "name": "loss_memory",
        "ratio": round(plain[0] / ours[0], 2),
        "goal": GOAL,
        "ratio_time": round(statistics.median(pair["plain"] / pair["chunked"] for pair in pairs), 3),
        "goal_time": round(GOAL_TIME, 3),
        "tokens": options.tokens,
        "vocabulary": options.vocabulary,
        "hidden": options.hidden,
        "threads": options.threads,
        **{f"{variant}_megabytes": round(first[variant][0] / 1e6) for variant in VARIANTS},
        **{f"{variant}_seconds": [round(pair[variant], 3) for pair in pairs] for variant in VARIANTS},
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())

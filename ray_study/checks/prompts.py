"""How students are asked: the same prompt in training and evaluation, room for an answer, and an end that server and trainer agree on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ray_study.chat import Chat
from ray_study.checks.finding import Finding, Rendering, Subject, because, failed, named, passed, unknown
from ray_study.generate.asking import Asked, Asking, ask
from ray_study.grid import planned
from ray_study.manifests import IDENTITY_FILES, MANIFEST, digest, read_manifest
from ray_study.models import positions
from ray_study.owed import answers_mark
from ray_study.rows import Attempt, Example, Problem
from ray_study.store import Workspace
from ray_study.stored_steps import stored_steps
from ray_study.train.tokenizing import tokenize

COMPARED = 4
"""Items of each benchmark whose prompts are rendered both ways."""
LONGEST = 64
"""Items of each benchmark, the longest by their characters, whose tokens are counted."""
NO_MODEL = "no model is at hand"


def prompts_equal(subject: Subject) -> Finding:
    """Whether training and evaluation give one prompt the same token ids, and answers that are stored were asked with them."""
    if not subject.renderings or not subject.exams:
        return unknown(because(subject, NO_MODEL))
    bugs, chosen, num_compared = [], [], 0
    for model, name in _pairs(subject):
        items, rendering = subject.exams[name][:COMPARED], subject.renderings[model]
        asked = {item.id: digest(each.prompt_ids) for item, each in zip(items, _ask(subject, model, name, items), strict=True)}
        differ = [item.id for item in items if digest(_taught(item, rendering.chat)) != asked[item.id]]
        num_compared += len(items)
        thinking = subject.study.evaluation.benchmarks[name].thinking
        if differ and thinking is not None:
            chosen.append(f"{name} asks {model} with thinking: {str(thinking).lower()}, which gives other prompts than training has")
        elif differ:
            bugs.append(f"{name}: {differ[0]!r} has other token ids in evaluation than in training, as {model}")
        bugs += _stored_otherwise(subject, model, name, asked)
    if bugs or chosen:
        return failed([*bugs, *chosen], stops=bool(bugs))
    return passed(f"{num_compared} prompts have the same token ids in training and in evaluation")


def _pairs(subject: Subject) -> Iterator[tuple[str, str]]:
    """Each model and each benchmark that can be looked at."""
    yield from ((model, name) for model in subject.renderings for name in subject.exams)


def _ask(subject: Subject, model: str, name: str, items: Sequence[Problem]) -> list[Asked]:
    """The items as an exam asks them of a model."""
    study, rendering = subject.study, subject.renderings[model]
    benchmark = study.evaluation.benchmarks[name]
    asking = Asking(
        num_samples=1,
        sampling=benchmark.sampling or study.evaluation.sampling,
        positions=positions(rendering.directory, study.models[model]),
        seed_parts=(),
        worked_examples=(),
        thinking=benchmark.thinking,
    )
    return [each for item in items for each in ask(item, rendering.chat, asking, range(1))]


def _taught(item: Problem, chat: Chat) -> tuple[int, ...]:
    """The prompt as a run learns from it."""
    example = Example(problem_id=item.id, prompt=item.prompt, response="", num_tokens=0)
    (row,) = tokenize([example], chat, max_length=1 << 62, over_long="drop").rows
    return row.ids[: row.num_prompt]


def _stored_otherwise(subject: Subject, model: str, name: str, asked: dict[str, str]) -> Iterator[str]:
    """Whether the stored answers of step 0, where there are some, were asked with other prompts than today's."""
    manifest = subject.renderings[model].directory / MANIFEST
    files = _files(manifest.parent) if manifest.is_file() else {}
    if not files:
        return
    mark = answers_mark(subject.study, name, digest(files), model)
    workspace = Workspace(path=subject.store.path(f"answers-{mark}"))
    for shard in sorted(workspace.shards())[:1]:
        rows = [row for row in workspace.stream(shard, Attempt) if asked.get(row.problem_id, row.prompt_hash) != row.prompt_hash]
        if rows:
            yield f"{name}: {rows[0].problem_id!r} was asked of {model} with other token ids than it would be now; delete {workspace.path}"


def items_over_context(subject: Subject) -> Finding:
    """Whether every item leaves room for an answer in the model's positions; stops where all of an exam leave none."""
    if not subject.renderings or not subject.exams:
        return unknown(because(subject, NO_MODEL))
    faults, clipped, useless = [], [], False
    for model, name in _pairs(subject):
        items = sorted(subject.exams[name], key=lambda item: len(item.prompt), reverse=True)
        longest = _ask(subject, model, name, items[:LONGEST])
        over = [each for each in longest if each.explanation]
        cap = (subject.study.evaluation.benchmarks[name].sampling or subject.study.evaluation.sampling).max_tokens
        short = sum(0 < each.cap < cap for each in longest)
        if over:
            faults.append(
                f"{name}: {_at_least(len(over), len(longest), len(items))} as {model}; {over[0].problem_id}: {over[0].explanation}"
            )
            useless = useless or len(over) == len(items)
        elif short:
            clipped.append(f"{name}: {_at_least(short, len(longest), len(items))} get fewer than {cap} tokens for an answer as {model}")
    if faults:
        return failed(faults, stops=useless)
    return passed("every item leaves room for an answer" + (f" ({named(clipped)})" if clipped else ""))


def _at_least(number: int, looked_at: int, total: int) -> str:
    more = "at least " if number == looked_at < total else ""
    return f"{more}{number} of {total} items"


def chat_template_and_end(subject: Subject) -> Finding:
    """Whether what closes a response in training ends one at the server, and every checkpoint has its base's tokenizer and template."""
    if not subject.renderings:
        return unknown(because(subject, NO_MODEL))
    faults, said = [], []
    for model, rendering in subject.renderings.items():
        end = rendering.chat.response_ids("")[-1]
        if end not in _server_ends(rendering):
            faults.append(f"{model}: training closes a response with the token {end}, which ends nothing by its generation_config.json")
        faults += _other_identity(subject, model, rendering)
        said += [f"{model}: {difference}" for difference in _template_differences(subject, rendering)]
    if faults:
        return failed(faults, stops=True)
    return passed("trainer and server have one template and one end" + (f"; told once: {named(said)}" if said else ""))


def _server_ends(rendering: Rendering) -> set[int]:
    """What ends an answer at a server that is told nothing: the generation config's, or all that we tell it where there is none."""
    path = rendering.directory / "generation_config.json"
    ends = json.loads(path.read_text()).get("eos_token_id") if path.is_file() else None
    if ends is None:
        return set(rendering.chat.stop_ids)
    return {int(end) for end in (ends if isinstance(ends, list) else [ends])}


def _other_identity(subject: Subject, model: str, rendering: Rendering) -> Iterator[str]:
    """Checkpoints of a model's runs whose tokenizer, template or configuration is not its base's."""
    if not (rendering.directory / MANIFEST).is_file() or subject.study.models[model].pretrain is not None:
        return
    own = _files(rendering.directory)
    for run in planned(subject.study) if own else []:
        for step, manifest in stored_steps(subject.store, run.id).whole.items() if run.model == model else []:
            differ = [name for name in IDENTITY_FILES if manifest.files.get(name) != own.get(name)]
            if differ:
                yield f"step {step} of {run.name} has another {', '.join(differ)} than its base"


def _files(directory: Path) -> dict[str, str]:
    """The files of a checkpoint by its manifest; none where that is damaged: its runs fail alone, and say so."""
    try:
        return read_manifest(directory).files
    except ValueError:
        return {}


def _template_differences(subject: Subject, rendering: Rendering) -> list[str]:
    """Where the model's full template would render a solved problem otherwise than training does: no fault, and good to know."""
    solved = next((each for rows in subject.sets.values() for each in rows if each.solution), None)
    return rendering.chat.differences(solved.prompt, solved.solution) if solved is not None else []


def stop_tokens(subject: Subject) -> Finding:
    """Which tokens end an answer: the tokenizer's EOS, the template's end of turn, and what the generation config names."""
    faults = [f"{what}: {why}" for what, why in subject.missing.items() if "EOS" in why or "chat template" in why]
    if not subject.renderings and not faults:
        return unknown(because(subject, NO_MODEL))
    said = [f"{model} stops at {', '.join(map(str, each.chat.stop_ids))}" for model, each in subject.renderings.items()]
    return failed(faults, stops=not subject.renderings) if faults else passed("; ".join(said))

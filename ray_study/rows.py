"""The rows of a study: what is asked, answered, judged, learnt, trained and scored. Plain facts, no heavy library.

Every table of a study holds one of these types, and its Arrow schema is made from the type (`tables.schema_of`), never
from the data: an empty column keeps its type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, get_args

Kind = Literal["math", "countdown", "choice", "exact", "number", "refusal", "yes_no", "code", "instructions", "judged"]
"""Which verifier judges an answer (`ray_study.verify.judge`); `judged`: a judge model or a reward model is asked."""

Verdict = Literal["correct", "wrong", "no_answer", "unfinished", "timeout", "error"]
"""What became of an attempt. Only `timeout` and `error` are unjudged: they are counted and shown, and are never a zero."""

FinishReason = Literal["stop", "length", "refused"]
"""How an attempt ended: by a stop token, at its cap, or never asked (`explanation` of the attempt says why)."""

Reads = Literal["answer", "stripped", "whole_text", "first_in_text", "first_before_stop"]
"""Where in a text the answer is looked for. `answer`: after the last `</think>`, and nowhere where thinking was never closed. The others
judge the thinking too, as other projects' code does: `stripped` cuts all up to the last `</think>` off and takes the whole text where there
is none; `whole_text` takes the last answer anywhere; `first_in_text` the first; `first_before_stop` the first before a text at which the
study's authors stop an answer (`verify.reading.STOPS`)."""

Group = Literal["in_domain", "out_of_domain", "general", "safety"]
"""The benchmark groups of the study, in the order in which they are shown."""

COMPLY = "comply"
"""The gold answer of a refusal or a judged problem that should be answered: there to refuse is wrong."""

KINDS: tuple[Kind, ...] = get_args(Kind)
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
GROUPS: tuple[Group, ...] = get_args(Group)
UNJUDGED: frozenset[Verdict] = frozenset({"timeout", "error"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing to ask: the prompt as the user turn, and the gold answer that the verifier of `kind` judges against."""

    id: str
    """Unique in its set and stable over time: the same problem has the same id in every process and on every machine."""
    source: str
    kind: Kind
    prompt: str
    """The whole user turn, with the request for the answer's format."""
    answer: str
    """Gold: LaTeX (`math`), a JSON object with `numbers` and `target` (`countdown`), a letter (`choice`), text (`exact`),
    a decimal or fraction (`number`), `yes` or `no` (`yes_no`), a JSON object with tests (`code`) or instructions (`instructions`), empty
    or `comply` (`refusal`: to refuse is correct, or to answer is), or empty, `comply` or a reference text (`judged`)."""
    cluster: str
    """Items with the same cluster share a source (a subject, a passage) and are not independent."""
    solution: str
    """A written solution that ends in the answer, with `<think>` where it has thinking; empty where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One answer of a teacher, a student or a judge to one problem."""

    problem_id: str
    sample: int
    """Number of the attempt at this problem, from 0."""
    asked_of: str
    """Fingerprint of what answered: the serving fingerprint of a checkpoint or teacher."""
    text: str
    num_tokens: int
    """Generated tokens, the stop token included."""
    finish_reason: FinishReason
    cap: int
    """Most new tokens that this attempt was allowed, after clipping to the model's positions."""
    seed: int
    thinking_opened: bool
    """Whether the rendered prompt ends inside an open `<think>`."""
    prompt_hash: str
    """SHA-256 (first 16 hex digits) of the prompt's token ids."""
    explanation: str
    """Why the attempt was not asked, where `finish_reason` is `refused`; otherwise empty."""
    conditions: str
    """What measured it (engine build, accelerator, dtype, tensor parallel, sequences at once) as sorted JSON."""
    seconds: float = 0.0
    """Wall clock from the request to its answer, in an engine that answers others too; 0 where nobody was asked or nobody measured it."""
    logprob: float | None = None
    """Natural log-probability of the generated tokens, the stop token included: their sum under the weights themselves, before temperature,
    top-p and top-k. None where it is not known."""

    @classmethod
    def of_text(cls, problem_id: str, text: str, *, sample: int = 0) -> Self:
        """A finished answer of which nothing is known but its text."""
        return cls(
            problem_id=problem_id,
            sample=sample,
            asked_of="",
            text=text,
            num_tokens=0,
            finish_reason="stop",
            cap=0,
            seed=0,
            thinking_opened=False,
            prompt_hash="",
            explanation="",
            conditions="{}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on one text, with the answer that was extracted and why the verdict is what it is."""

    verdict: Verdict
    answer: str | None
    explanation: str
    details: str = ""
    """What else the verifier measured, as sorted JSON: a rubric's level, tests passed, each instruction's verdict; empty for most kinds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedAttempt:
    """An attempt's fields with its judgement's, and the lenient verdict beside the strict one."""

    problem_id: str
    sample: int
    asked_of: str
    text: str
    num_tokens: int
    finish_reason: FinishReason
    cap: int
    seed: int
    thinking_opened: bool
    prompt_hash: str
    explanation: str
    """The judgement's explanation, or the attempt's own where it was never asked."""
    conditions: str
    kind: Kind
    cluster: str
    verdict: Verdict
    answer: str | None
    lenient_verdict: Verdict
    """The verdict when the last number (or letter) of the text counts as the answer, boxed or not."""
    details: str = ""
    """The judgement's own."""
    seconds: float = 0.0
    logprob: float | None = None
    """As in `Attempt`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One thing that a student learns from: the prompt as the user turn, and the response up to, not including, its end token."""

    problem_id: str
    prompt: str
    response: str
    num_tokens: int
    """Tokens of the response with its end token, by the teacher's count or by the data set's `tokens_by`; 0 where nobody counted."""
    source: str = ""
    """Where the problem comes from: the name of its source, or of the data set that was read."""
    asked_of: str = ""
    """Fingerprint of what answered; empty where nobody was asked."""
    sample: int | None = None
    """Number of the attempt that was chosen."""
    verdict: Verdict | None = None
    """On the attempt that was chosen, whatever the form of the response."""
    chosen: str = ""
    """Why it is here: the arm and the policy that chose it, such as `verified, random`."""
    num_eligible: int | None = None
    """From how many attempts at the problem it was chosen."""
    form: str = "none"
    """The transform that made the response from the attempt."""


Overlap = Literal["equal", "ngram", "near_duplicate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """One training prompt that also stands in a benchmark, and how that shows."""

    problem_id: str
    prompt: str
    benchmark: str
    item_id: str
    how: Overlap
    evidence: str
    """The shared run of words, or the share of runs that both have."""


RunStatus = Literal["owed", "finished", "failed"]
Stage = Literal["pretrain", "sft"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One point of the sweep. `id` is the fingerprint of everything that decides its weights."""

    id: str
    name: str
    """For people; never parsed."""
    stage: Stage
    model: str
    dataset: str
    seed: int
    settings: str
    """The resolved training settings as sorted JSON."""
    status: RunStatus
    error: str
    """Why it failed; empty otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One saved state of a run in Hugging Face layout; it exists when its manifest does, which is written last."""

    run: str
    """`Run.id`."""
    step: int
    path: str
    """Directory with `config.json`, `*.safetensors`, tokenizer files and `manifest.json`. Step 0 is the base model's own."""
    num_tokens: int
    """Training tokens seen so far, prompts included."""
    fingerprint: str
    """SHA-256 over the names and hashes of the files."""
    canary: str
    """JSON: token ids and the trainer's log-probabilities of a fixed text in the precision that is served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One number of one checkpoint on one benchmark, with its uncertainty over items."""

    run: str
    step: int
    benchmark: str
    group: Group
    metric: str
    value: float | None
    """Missing stays missing: None where nothing could be judged, never 0."""
    standard_error: float | None
    low: float | None
    high: float | None
    """95 % interval."""
    num_items: int
    num_unjudged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkCard:
    """What a benchmark is, for whoever reads the scores without the sweep file."""

    benchmark: str
    group: Group
    kind: Kind
    metric: str
    """The primary metric."""
    num_items: int
    num_samples: int
    note: str
    """What a reader must know, such as "phrase match, not judged"."""

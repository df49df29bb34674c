"""Instructions that a program can check, in prompts composed here, which need no download."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from pydantic import Field

from ray_study.problems.draws import Split, between, pick, shuffled
from ray_study.problems.made import Draft, collect, to_problem
from ray_study.problems.source import Options, SourceSpec
from ray_study.rows import Problem

Part = tuple[dict[str, Any], str]
"""What a checker is given, and the sentence that asks for it."""

TOPICS = (
    *(
        "a walk by the sea",
        "how bread is baked",
        "a lost umbrella",
        "the first snow of a year",
        "learning to swim",
        "a small railway station",
    ),
    *("why birds sing", "a market on a Saturday", "repairing a bicycle", "a letter that came late", "growing tomatoes", "an old map"),
)
WORDS = ("river", "window", "quiet", "morning", "stone", "garden", "bridge", "candle", "winter", "music", "paper", "cloud")
LANGUAGES = {"de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "pt": "Portuguese"}


class ComposedOptions(Options):
    """How many instructions a prompt holds."""

    most: int = Field(default=3, ge=1, le=4)
    """At most; from one on, each number as likely."""
    split: Split = "train"


def gold(names: list[str], given: list[dict[str, Any]]) -> str:
    """Gold of kind `instructions`: the names of the checkers and what each is given; what is empty is left out."""
    kept = [{name: value for name, value in one.items() if value} for one in given]
    return json.dumps({"instructions": names, "kwargs": kept}, sort_keys=True)


def load(spec: SourceSpec[ComposedOptions]) -> list[Problem]:
    """Composed prompts of kind `instructions`, each a cluster of its own."""
    options = spec.options

    def make(rng: Random) -> Draft:
        return draft(rng, options)

    drafts = collect(make, spec.source, num=spec.num_problems, seed=spec.seed, split=options.split)
    return [to_problem(one, spec.source, "none") for one in drafts]


def draft(rng: Random, options: ComposedOptions) -> Draft:
    """One prompt: a topic, and instructions that can be followed together."""
    names = _chosen(rng, between(rng, 1, options.most))
    topic = pick(rng, TOPICS)
    request = f"Write a short text about {topic}."
    parts = [INSTRUCTIONS[name](rng, request) for name in names]
    prompt = "\n".join([request, *(f"- {sentence}" for _, sentence in parts)])
    given = [arguments for arguments, _ in parts]
    return Draft(prompt=prompt, kind="instructions", answer=gold(names, given), solution="", key=prompt)


def _chosen(rng: Random, num: int) -> list[str]:
    """Names in a random order, at most one of each group; one that decides the whole text stands alone."""
    first, *rest = shuffled(rng, sorted(INSTRUCTIONS))
    if GROUPS[first] == "whole":
        return [first]
    chosen = [first]
    for name in rest:
        taken = {GROUPS[one] for one in chosen}
        if len(chosen) < num and GROUPS[name] != "whole" and GROUPS[name] not in taken:
            chosen.append(name)
    return chosen


def _existence(rng: Random, request: str) -> Part:
    words = shuffled(rng, WORDS)[:2]
    return {"keywords": words}, f"Use the words {words[0]} and {words[1]}."


def _frequency(rng: Random, request: str) -> Part:
    word, times = pick(rng, WORDS), between(rng, 2, 4)
    return {"keyword": word, "frequency": times, "relation": "at least"}, f"Use the word {word} at least {times} times."


def _forbidden(rng: Random, request: str) -> Part:
    words = shuffled(rng, WORDS)[:2]
    return {"forbidden_words": words}, f"Do not use the words {words[0]} and {words[1]}."


def _letter(rng: Random, request: str) -> Part:
    letter, times = pick(rng, "acdehilmnrst"), between(rng, 5, 20)
    return {"letter": letter, "let_frequency": times, "let_relation": "at least"}, f"Let the letter {letter} come at least {times} times."


def _language(rng: Random, request: str) -> Part:
    code = pick(rng, sorted(LANGUAGES))
    return {"language": code}, f"Write in {LANGUAGES[code]} and in no other language."


def _sentences(rng: Random, request: str) -> Part:
    most = between(rng, 4, 10)
    return {"num_sentences": most, "relation": "less than"}, f"Use fewer than {most} sentences."


def _paragraphs(rng: Random, request: str) -> Part:
    num = between(rng, 2, 4)
    return {"num_paragraphs": num}, f"Write {num} paragraphs with a line of *** between them."


def _words(rng: Random, request: str) -> Part:
    least = 10 * between(rng, 4, 12)
    return {"num_words": least, "relation": "at least"}, f"Use at least {least} words."


def _first_word(rng: Random, request: str) -> Part:
    num, word = between(rng, 2, 4), pick(rng, WORDS)
    nth = between(rng, 1, num)
    asked = f"Write {num} paragraphs with an empty line between them, and begin paragraph {nth} with the word {word}."
    return {"num_paragraphs": num, "nth_paragraph": nth, "first_word": word}, asked


def _placeholders(rng: Random, request: str) -> Part:
    num = between(rng, 1, 4)
    return {"num_placeholders": num}, f"Leave at least {num} blanks to fill in, each written in square brackets, such as [name]."


def _postscript(rng: Random, request: str) -> Part:
    marker = pick(rng, ("P.S.", "P.P.S"))
    return {"postscript_marker": marker}, f"End with a postscript that starts with {marker}"


def _bullets(rng: Random, request: str) -> Part:
    num = between(rng, 2, 5)
    return {"num_bullets": num}, f"Have a list of exactly {num} points, each on a line that starts with an asterisk and a space."


def _constrained(rng: Random, request: str) -> Part:
    return {}, 'Write nothing but one of these sentences: "My answer is yes.", "My answer is no.", "My answer is maybe."'


def _highlights(rng: Random, request: str) -> Part:
    num = between(rng, 1, 4)
    return {"num_highlights": num}, f"Highlight at least {num} passages with asterisks, *like this*."


def _parts(rng: Random, request: str) -> Part:
    splitter, num = pick(rng, ("Section", "SECTION")), between(rng, 2, 4)
    return {"section_spliter": splitter, "num_sections": num}, f"Write {num} sections, each under a line such as {splitter} 1."


def _json(rng: Random, request: str) -> Part:
    return {}, "Give the whole answer as JSON."


def _title(rng: Random, request: str) -> Part:
    return {}, "Give it a title in double angle brackets, <<like this>>."


def _two(rng: Random, request: str) -> Part:
    return {}, "Give two different texts with a line of ****** between them."


def _repeat(rng: Random, request: str) -> Part:
    return {"prompt_to_repeat": request}, "Repeat the first line of this request word for word, and then write the text."


def _end(rng: Random, request: str) -> Part:
    phrase = pick(rng, ("That is all there is to say.", "And so the day ended.", "Nobody knows more."))
    return {"end_phrase": phrase}, f'End with exactly this sentence and nothing after it: "{phrase}"'


def _capital_words(rng: Random, request: str) -> Part:
    num = between(rng, 2, 6)
    return {"capital_frequency": num, "capital_relation": "at least"}, f"Write at least {num} words in capital letters only."


def _capitals(rng: Random, request: str) -> Part:
    return {}, "Write in English and in capital letters only."


def _small(rng: Random, request: str) -> Part:
    return {}, "Write in English and in small letters only."


def _no_comma(rng: Random, request: str) -> Part:
    return {}, "Use no commas."


def _quoted(rng: Random, request: str) -> Part:
    return {}, "Put double quotation marks around the whole answer."


INSTRUCTIONS: Mapping[str, Callable[[Random, str], Part]] = {
    "keywords:existence": _existence,
    "keywords:frequency": _frequency,
    "keywords:forbidden_words": _forbidden,
    "keywords:letter_frequency": _letter,
    "language:response_language": _language,
    "length_constraints:number_sentences": _sentences,
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:number_words": _words,
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": _constrained,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _parts,
    "detectable_format:json_format": _json,
    "detectable_format:title": _title,
    "combination:two_responses": _two,
    "combination:repeat_prompt": _repeat,
    "startend:end_checker": _end,
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": _capitals,
    "change_case:english_lowercase": _small,
    "punctuation:no_comma": _no_comma,
    "startend:quotation": _quoted,
}
"""The names of IFEval's 25 checkers, and how each is asked for here."""

_WHOLE = {"language:response_language", "detectable_format:constrained_response", "detectable_format:json_format"} | {
    name for name in INSTRUCTIONS if name.startswith("combination:")
}
_SAME = {
    "keywords": ("keywords:existence", "keywords:frequency", "keywords:forbidden_words"),
    "parts": (
        *("length_constraints:number_paragraphs", "length_constraints:nth_paragraph_first_word", "detectable_format:multiple_sections"),
        *("detectable_format:number_bullet_lists", "length_constraints:number_sentences"),
    ),
    "case": (
        "change_case:capital_word_frequency",
        "change_case:english_capital",
        "change_case:english_lowercase",
        "keywords:letter_frequency",
    ),
    # Each would be the last thing of the text.
    "end": ("startend:end_checker", "startend:quotation", "detectable_content:postscript"),
}
GROUPS: Mapping[str, str] = {
    name: "whole" if name in _WHOLE else next((group for group, names in _SAME.items() if name in names), name) for name in INSTRUCTIONS
}
"""Instructions of one group cannot be followed together, or one is inside the other."""

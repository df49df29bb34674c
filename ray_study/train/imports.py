"""Libraries that training does without, though they are installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNUSED = ("sklearn",)
"""transformers looks whether scikit-learn is there and imports it, and scipy with it, for a way of generating that training never uses: a
fifth of the CPU time of a worker's imports."""

ONLY_FOR_ZERO = ("deepspeed",)
"""A run by plain torch would import it all the same, when transformers is imported and when accelerate looks at a model to be saved."""


@contextmanager
def unseen(*names: str) -> Iterator[None]:
    """A block in which libraries that are not imported yet seem not to be installed; afterwards they can be imported as ever."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        # By the language's own means: None says that there is no such module.
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)

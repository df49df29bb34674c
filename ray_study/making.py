"""Data sets one by one: one that cannot be made is named with its reason, and the rest of the study goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from ray_study.store import Result, Store

log = logging.getLogger(__name__)

UNMADE = "unmade.json"
"""In the store: why data sets could not be made, by name."""


def make_each(store: Store, names: Iterable[str], make: Callable[[str], Result]) -> dict[str, Result]:
    """The data sets that can be made; why the others cannot is kept in the store for their runs, the report and `status`.

    Raises:
        ValueError: not one can be made, so there is nothing to go on with.
    """
    made: dict[str, Result] = {}
    errors: dict[str, ValueError] = {}
    for name in names:
        try:
            made[name] = make(name)
        except ValueError as error:
            log.error("data set %s cannot be made: %s", name, error)
            errors[name] = error
    if errors or unmade(store):
        store.write_json(UNMADE, {name: str(error) for name, error in errors.items()})
    if errors and not made:
        raise next(iter(errors.values()))
    return made


def unmade(store: Store) -> dict[str, str]:
    """Why data sets could not be made, by name, when the study was last run."""
    return dict(store.read_json(UNMADE) or {})

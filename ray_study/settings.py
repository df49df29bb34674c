"""What every section of a sweep file is: settings that cannot be built wrong, and the words for what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, ValidationInfo, field_validator

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""What people call a thing: letters, digits, dots, dashes and underscores. Never parsed."""

_SECRET = re.compile(
    r"(hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}|xox[abprs]-[A-Za-z0-9-]{10,}"
    # A user's password in an address, such as a tracking URI.
    r"|://[^/\s:@]*:[^/\s@]+@|[?&](?:password|passwd|pwd)=[^&\s]+)"
)


_EXPONENT = re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+")
_COERCIBLE = re.compile(r"\s*[-+]?[\d._]+(?:[eE][-+]?\d+)?\s*|(?i:true|false|yes|no|on|off|[tfyn])")


def looks_secret(text: str) -> bool:
    """Whether something in a text looks like a credential."""
    return _SECRET.search(text) is not None


def explain(error: ValidationError, known: str = "") -> str:
    """What is wrong with settings, as one sentence: each key with what was found and what was expected, which is one of `known`."""
    faults = []
    for fault in error.errors(include_url=False):
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "value_error":
            faults.append(str(fault["ctx"]["error"]))
        elif fault["type"] == "extra_forbidden":
            faults.append(f"unknown key `{key}`; the keys are {known}" if known else f"unknown key `{key}`")
        else:
            faults.append(f"`{key}`: found {fault['input']!r}; {fault['msg'][0].lower()}{fault['msg'][1:]}")
    return "; ".join(faults)


def _plain_types(hint: Any) -> Iterator[object]:
    """What a key may hold in the end: the types and literals inside unions, lists and annotations."""
    if get_origin(hint) is Literal:
        yield from (type(value) for value in get_args(hint))
    elif get_origin(hint) in (Union, UnionType, tuple, list, Annotated):
        for part in get_args(hint):
            if part is not Ellipsis:
                yield from _plain_types(part)
    else:
        yield hint


def _refuse_other_types(value: object, allowed: frozenset[object]) -> None:
    """Returns where a value needs no coercion: `true` is no number, and a number in quotes is text."""
    if isinstance(value, (list, tuple)):
        for inner in value:
            _refuse_other_types(inner, allowed)
    if isinstance(value, bool) and bool not in allowed and allowed & {int, float, str}:
        raise ValueError(f"found {str(value).lower()}; expected {'a number' if allowed & {int, float} else 'a text'}")
    coerced = isinstance(value, str) and allowed & {int, float, bool} and not allowed - {int, float, bool, type(None)}
    # What is no number at all is told by pydantic, which knows its place; YAML 1.1 itself reads 1e-4, without a dot, as text.
    if coerced and not (float in allowed and _EXPONENT.fullmatch(str(value))) and _COERCIBLE.fullmatch(str(value)):
        raise ValueError(f"found the text {value!r}; expected {'true or false' if bool in allowed else 'a number'}, without quotes")


class Settings(BaseModel):
    """The base of every section: frozen, no unknown keys, no coercion of strings to numbers beyond YAML's own types."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        # A refused credential must not show in a traceback either.
        hide_input_in_errors=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_coercion(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, (bool, str, list, tuple)) and info.field_name in cls.model_fields:
            # A literal of numbers reads 3 as 3 and "3" as an error by itself.
            _refuse_other_types(value, frozenset(_plain_types(cls.model_fields[info.field_name].annotation)))
        return value


def refuse_secrets(value: object, where: str) -> None:
    """Returns when nothing in a file looks like a credential.

    Raises:
        ValueError: something does; its place is named and itself is not shown.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            if looks_secret(str(key)):
                raise ValueError(f"a key of `{where or 'the file'}` looks like a credential; a sweep file holds none: take it out")
            refuse_secrets(inner, f"{where}.{key}" if where else str(key))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            refuse_secrets(inner, f"{where}[{index}]")
    elif isinstance(value, str) and looks_secret(value):
        raise ValueError(
            f"the value of `{where}` looks like a credential; a sweep file holds none: put a token into a file on each node "
            "(HF_TOKEN_PATH) and take it out here"
        )

"""What every section of a sweep file is: settings that cannot be built wrong, and the words for what is wrong with them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""What people call a thing: letters, digits, dots, dashes and underscores. Never parsed."""

_SECRET = re.compile(
    r"(hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}|xox[abprs]-[A-Za-z0-9-]{10,}"
    # A user's password in an address, such as a tracking URI.
    r"|://[^/\s:@]*:[^/\s@]+@)"
)


def looks_secret(text: str) -> bool:
    """Whether something in a text looks like a credential."""
    return _SECRET.search(text) is not None


def explain(error: ValidationError) -> str:
    """What is wrong with settings, as one sentence: each key with what was found and what was expected."""
    faults = []
    for fault in error.errors(include_url=False):
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "value_error":
            faults.append(str(fault["ctx"]["error"]))
        elif fault["type"] == "extra_forbidden":
            faults.append(f"unknown key `{key}`")
        else:
            faults.append(f"`{key}`: found {fault['input']!r}; {fault['msg'][0].lower()}{fault['msg'][1:]}")
    return "; ".join(faults)


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

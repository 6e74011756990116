"""Imports point one way, heavy libraries stay out of `--help`, and each library lives where it belongs."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ALLOWED: dict[str, str] = {
    # module -> modules of ours it may import, at the top or inside a function; `import ... for types only` is free.
    "units": "",
    "problems": "",
    "resources": "",
    "yamlfile": "problems",
    "world": "problems resources yamlfile",
    "distributions": "world",
    "scenario": "layers problems regimes resources yamlfile",
    "layers": "problems resources scenario yamlfile",
    "regimes": "problems resources yamlfile",
    "controls": "problems regimes units",
    "draws": "",
    "events": "units",
    "static": "jit units",
    "pools": "units",
    "decisions": "units",
    "review": "draws units",
    "streams": "draws jit static units",
    "sampling": "distributions draws spillovers static streams units world",
    "compile": "controls draws problems review sampling spillovers static units world",
    "project": "events",
    "regulator": "controls decisions events pools project static units",
    "model": "decisions events pools project regulator static units",
    "jit": "",
    "packing": "machine static units",
    "machine": "events jit project units",
    "authority": "controls decisions events jit machine project static units",
    "kernel": "authority decisions events jit machine project static units",
    "engines": "events jit kernel model packing static",
    "spillovers": "controls events static units world",
    "sums": "jit units",
    "lives": "draws events sampling static sums units",
    "campuses": "draws events lives sampling static sums units",
    "weights": "draws lives sampling static units",
    "timeline": "draws lives sampling static sums units",
    "policy": "draws events lives static timeline units",
    "costs": "draws events lives sampling static units",
    "capacity": "campuses costs draws events lives static timeline units",
    "metrics": "campuses capacity costs draws events lives policy spillovers static timeline units weights",
    "headline": "draws metrics reduction static units",
    "reduction": "campuses costs draws events headline jit lives sampling spillovers static timeline units",
    "statistics": "metrics spillovers",
    "causes": "events lives sampling static units",
    "trace": "causes costs events lives sampling static units",
    "findings": "causes metrics statistics trace units",
    "tables": "campuses causes events lives policy sampling static trace units",
    "results": "events metrics problems scenario statistics tables",
    "cells": "problems results scenario",
    "store": "cells problems results",
    "verify": "engines events units",
    "executors": "jit problems results",
    "precision": "problems statistics",
    "design": "draws",
    "spread": "design precision",
    "sweepfile": "design layers precision problems resources scenario yamlfile",
    "plots": "findings",
}
ENGINE = {
    "units", "draws", "events", "static", "pools", "decisions", "review", "sampling", "compile", "project", "regulator", "model", "kernel",
}  # fmt: skip
DOORS = {
    "experiments",
    "report",
    "cli",
    "__main__",
    "explain",
    "backtest",
    "sensitivity",
    "sweeps",
    "recompute",
    "playing",
    "preparing",
    "sweepresult",
}
"""They may import anything below; nothing below may import them."""
LIBRARIES = {
    "simpy": {"model", "project", "regulator"},
    "dash": set(),
    "plotly": {"plots"},
    "flask": set(),
    "numba": {"jit", "machine", "packing", "reduction"},
    "ruamel": {"yamlfile", "scenario"},
    "typer": {"cli"},
    "matplotlib": set(),
    "requests": set(),
    "duckdb": {"store"},
    "filelock": {"engines", "reduction", "store"},
    "dask": {"executors"},
    "distributed": {"executors"},
}
LIGHT = ["simulator", "simulator.problems", "simulator.resources", "simulator.cli"]
"""Importing these must stay fast: they run before the first word of `--help`."""
HEAVY = ["numpy", "pandas", "scipy", "simpy", "pyarrow", "dash", "plotly", "numba", "pydantic"]


@cache
def modules() -> dict[str, Path]:
    return {path.stem: path for path in sorted((ROOT / "simulator").glob("*.py"))}


def for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).removeprefix("typing.") == "TYPE_CHECKING"


def imports(path: Path, at_top_only: bool = False) -> set[str]:
    """Dotted names a file imports when it runs: `simulator.units`, `numpy.typing` ..."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"), str(path))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno} imports by a relative path"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        if for_types_only(node):
            waiting += node.orelse  # type: ignore[attr-defined]
        elif not (at_top_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)):
            waiting += ast.iter_child_nodes(node)
    return found


def ours(path: Path, at_top_only: bool = False) -> set[str]:
    """Stems of the modules of `simulator` a file imports."""
    names = {name.split(".")[1] for name in imports(path, at_top_only) if name.startswith("simulator.")}
    unknown = names - modules().keys()
    # `from simulator import run` names something of the package itself.
    public = {
        n for n in unknown if f'"{n}"' in modules()["__init__"].read_text() or f"def {n}" in modules()["__init__"].read_text()
    }
    assert unknown <= public, f"{path.name} imports {sorted(unknown - public)}, which is not there"
    return names & modules().keys()


def test_the_reader_of_imports_sees_what_runs_and_only_that(tmp_path: Path) -> None:
    file = tmp_path / "sample.py"
    file.write_text(
        "import numpy as np\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas\nelse:\n    import json\n"
        "def f():\n    from simulator import units\n    import simulator.draws\n"
        "class C:\n    import re\n    def g(self):\n        import scipy.special\n"
    )
    assert imports(file) == {
        "numpy", "typing.TYPE_CHECKING", "json", "simulator.units", "simulator.draws", "re", "scipy.special",
    }  # fmt: skip
    assert imports(file, at_top_only=True) == {"numpy", "typing.TYPE_CHECKING", "json", "re"}
    assert ours(file) == {"units", "draws"}


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_point_one_way(name: str) -> None:
    found = ours(modules()[name]) - {name}
    if name == "__init__":
        assert ours(modules()[name], at_top_only=True) <= {"problems", "resources"}
    elif name in DOORS:
        assert "__main__" not in found
    elif name in ALLOWED:
        assert found <= set(ALLOWED[name].split()), f"{name} may not import {sorted(found - set(ALLOWED[name].split()))}"
    else:
        pytest.fail(f"simulator/{name}.py has no place in tests/test_layers.py; add it to ALLOWED with what it may import")
    if name not in DOORS and name != "__init__":
        assert not found & DOORS, f"{name} imports a door of the program"


def test_no_two_modules_need_each_other_at_import() -> None:
    at_top = {name: ours(path, at_top_only=True) - {name} for name, path in modules().items()}

    def reach(name: str, seen: tuple[str, ...]) -> None:
        assert name not in seen, " -> ".join((*seen, name))
        for other in sorted(at_top[name]):
            reach(other, (*seen, name))

    for name in at_top:
        reach(name, ())


def test_an_engine_reads_tables_and_neither_files_nor_words() -> None:
    for name in ("model", "kernel", "pools", "static", "events", "units", "draws"):
        if name in modules():
            found = ours(modules()[name])
            assert not found & {"world", "scenario", "layers", "yamlfile", "regimes", "resources", "sampling", "compile"}, name
            assert not {n.split(".")[0] for n in imports(modules()[name])} & {"csv", "json", "random", "time", "os", "pathlib"}, (
                name
            )


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_library_stays_in_its_place(library: str) -> None:
    users = {name for name, path in modules().items() if library in {i.split(".")[0] for i in imports(path)}}
    assert users <= LIBRARIES[library]


def test_chance_comes_from_keyed_draws_alone() -> None:
    for name, path in modules().items():
        names = imports(path)
        assert "random" not in {n.split(".")[0] for n in names}, name
        assert not any(n.startswith("numpy.random") for n in names), name
        text = path.read_text(encoding="utf-8")
        calls = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Attribute) and ast.unparse(n).startswith("np.random.")]
        # Resampling a finished set of results may use a seeded generator of its own; designs of assumptions come from a library
        # that asks for one.
        allowed = (
            {"np.random.Generator", "np.random.default_rng", "np.random.Philox", "np.random.SeedSequence"}
            if name in ("statistics", "design")
            else set()
        )
        assert {ast.unparse(c) for c in calls} <= allowed, name


def test_the_simulator_knows_no_dashboard() -> None:
    assert not [name for name, path in modules().items() if any(i.split(".")[0] == "dashboard" for i in imports(path))]


def test_the_dashboard_enters_by_its_store_only() -> None:
    folder = ROOT / "dashboard"
    words = {"units", "problems", "scenario"}  # names, formats and messages may be shared
    for path in sorted(folder.rglob("*.py")):
        if path.name not in ("store.py", "__init__.py"):
            assert ours(path) <= words, f"dashboard/{path.relative_to(folder)} reaches past the store"
        assert not ours(path) & {"cli", "__main__"}


@pytest.mark.parametrize("name", LIGHT)
def test_heavy_libraries_are_not_loaded_before_they_are_needed(name: str) -> None:
    if name.removeprefix("simulator.") not in modules() and name != "simulator":
        return  # not written yet
    code = f"import sys; import {name}; print([m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.strip() == "[]"


def test_every_module_says_what_it_is() -> None:
    for name, path in modules().items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if len(tree.body) > 3:
            assert ast.get_docstring(tree), f"simulator/{name}.py begins without a word"

"""Compiling with Numba: `jit` for the functions of the kernels, cached on disk under a key that notices every change.

Numba's own cache looks at the file of the function called and not at what it calls, and bakes in constants. So the cache
folder is named by a hash of all our sources that end up in machine code, and of the versions that make it.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

SOURCES = (
    "jit", "machine", "authority", "kernel", "headline", "reduction", "sums", "lives", "timeline", "streams", "draws", "decisions", "controls", "static",
    "units", "events", "project", "pools",
)  # fmt: skip
"""Modules whose text decides what the machine code does."""
PLAIN = "GROUNDBREAK_PLAIN"
"""Set in the environment: kernels stay Python functions, to step through them and to try mutants without compiling."""


@cache
def key() -> str:
    """Hash of the sources that are compiled, and of the versions of what compiles them."""
    import llvmlite
    import numba
    import numpy

    digest = hashlib.sha256(f"{sys.version} {numba.__version__} {llvmlite.__version__} {numpy.__version__}".encode())
    here = Path(__file__).parent
    for name in SOURCES:
        source = here / f"{name}.py"
        digest.update(source.read_bytes() if source.exists() else b"-")
    return digest.hexdigest()[:16]


@cache
def folder() -> Path:
    """Where compiled code is kept: GROUNDBREAK_CACHE, else the user's cache folder, else (not writable) a temporary one."""
    from platformdirs import user_cache_path

    asked = os.environ.get("GROUNDBREAK_CACHE")
    place = (Path(asked) if asked else user_cache_path("groundbreak")) / f"numba-{key()}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        if os.access(place, os.W_OK):
            return place
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="groundbreak-numba-"))


def plain() -> bool:
    """Whether kernels stay Python."""
    return bool(os.environ.get(PLAIN))


def jit(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called, or load it as compiled before."""
    if plain():
        return function
    import numba

    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder())  # read when the function is decorated
    try:
        return numba.njit(cache=True)(function)
    finally:
        numba.config.CACHE_DIR = before


_INNER: set[str] = set()


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only compiled code calls: it is kept inside what calls it."""
    if plain():
        return function
    import numba

    _INNER.add(function.__qualname__)
    return numba.njit(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function whose code is copied to where it is called: a loop around it then does several numbers at once."""
    if plain():
        return function
    import numba

    return numba.njit(inline="always")(function)


def rule(function: Callable[..., Any]) -> Any:
    """The same for a rule that is Python elsewhere, together with the functions of ours that it calls."""
    if plain():
        return function
    scope = dict(function.__globals__)
    for name in function.__code__.co_names:
        if isinstance(found := scope.get(name), FunctionType) and found.__module__.startswith("simulator."):
            scope[name] = rule(found)
    copy = FunctionType(function.__code__, scope, function.__name__, function.__defaults__)
    return inner(copy)


@contextmanager
def in_one_piece() -> Iterator[None]:
    """While this holds, what is compiled is optimised once, as a whole: inner functions are only linked into what calls them.

    Numba otherwise optimises every function with all it calls, and turns each into machine code that nothing runs: three times
    the time for the kernel. The code that runs is the same. Where Numba's insides have changed, its own way is taken.
    """
    from numba.core import codegen

    library: Any = getattr(codegen, "CPUCodeLibrary", None)
    generator: Any = getattr(codegen, "JITCPUCodegen", None)
    known = all(
        hasattr(library, name) for name in ("_raise_if_finalized", "_get_module_for_linking", "_finalize_dynamic_globals")
    )
    if not known or not hasattr(generator, "set_env"):
        yield
        return
    finalize, set_env = library.finalize, generator.set_env

    def link_only(self: Any) -> None:
        if self.name not in _INNER:
            finalize(self)
            return
        self._raise_if_finalized()
        for one in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(one._reload_init)
            self._final_module.link_in(one._get_module_for_linking(), preserve=True)
        self._finalize_dynamic_globals()
        self._finalized = True

    def set_if_there(self: Any, name: str, env: Any) -> None:
        if self._engine.get_global_value_address(name):  # what is only linked has no place of its own
            set_env(self, name, env)

    library.finalize, generator.set_env = link_only, set_if_there
    try:
        yield
    finally:
        library.finalize, generator.set_env = finalize, set_env

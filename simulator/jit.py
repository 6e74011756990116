"""Compiling with Numba: `jit` for the functions of the kernels, cached on disk under a key that notices every change.

Numba's own cache looks at the file of the function called and not at what it calls, and bakes in constants. So the cache
folder is named by a hash of all our sources that end up in machine code, and of the versions that make it.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

SOURCES = (
    "jit", "kernel", "authority", "headline", "streams", "decisions", "controls", "static", "units", "events", "project", "pools",
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


def jit(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called, or load it as compiled before."""
    if os.environ.get(PLAIN):
        return function
    import numba

    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder())  # read when the function is decorated
    try:
        return numba.njit(cache=True)(function)
    finally:
        numba.config.CACHE_DIR = before

"""Problems found in input files: where, what was read, what would be accepted; all of them at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: file, line (1-based, 0 = whole file), field path, what is wrong, and the remedy."""

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.field}: {self.message}" if self.field else f"{place}: {self.message}"


class InputProblems(Exception):
    """Bad input. Carries every problem found, in file and line order; printed one a line, exit code 2."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = sorted(set(problems), key=lambda p: (p.file, p.line, p.field, p.message))
        super().__init__("\n".join(map(str, self.problems)))


def refuse(file: str | Path, message: str, *, line: int = 0, field: str = "") -> InputProblems:
    """An `InputProblems` with a single problem, to raise where reading cannot go on."""
    return InputProblems([Problem(str(file), line, field, message)])


def nearest(word: object, allowed: Iterable[object]) -> str:
    """`; did you mean 'x'?` for the allowed word nearest to `word`, or an empty string if none is near."""
    found = difflib.get_close_matches(str(word), [str(a) for a in allowed], n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


def shown(value: object, limit: int = 60) -> str:
    """A value as it may stand in a message: one line, quoted, cut to `limit` characters, no control characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"

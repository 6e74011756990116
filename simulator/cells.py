"""What a result is a result of: cells, their parts, and runs over them, each known by the hash of what it is.

A cell is one resolved scenario with its inputs, seed and design of assumptions. Its replications are computed and stored in parts,
blocks that do not depend on how many replications are asked for. A run is what somebody asked: cells under names, and how many.
Keys are hashes of plain text that a stranger can read, so that anything stored can be checked against its own name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from simulator.problems import refuse
from simulator.results import PRODUCT, version

if TYPE_CHECKING:
    from simulator.compile import Compiled
    from simulator.sampling import Sampler
    from simulator.scenario import Scenario
    from simulator.world import World

FORMAT = 1
"""Of all that is stored, tables apart."""
BLOCK = 100
"""Replications of a part. Fixed for good: it decides what a part is called and holds."""
KEPT_LOGS = 2
"""First replications of which the whole event log is kept, unless asked otherwise."""
HEADLINES, INCREMENTS, QUANTILES, LOGS = TABLES = ("headlines", "increments", "quantiles", "logs")
KEY = re.compile(r"[0-9a-f]{16}")
PART = re.compile(r"(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,8})(?:-logs-([1-9][0-9]{0,8}))?")
LONGEST_NAME = 200
APART = (
    "__init__", "__main__", "backtest", "causes", "cells", "cli", "executors", "explain", "findings", "plots", "precision",
    "preparing", "problems", "report", "resources", "results", "sensitivity", "spread", "statistics", "store", "sweepfile", "sweepresult",
    "sweeps", "tables", "trace", "verify",
)  # fmt: skip
"""Modules that keep results or show them. The text of all others is part of what a result is a result of."""


class Part(NamedTuple):
    """Replications `first` to `last` of a cell; of its first `logs` replications the event logs are kept."""

    first: int
    last: int
    logs: int = 0

    @property
    def name(self) -> str:
        """What its folder is called: a part with logs is another one than that without, as its bytes are."""
        return f"{self.first}-{self.last}" + (f"-logs-{self.logs}" if self.logs else "")


def parts(replications: int, logs: int = KEPT_LOGS) -> list[Part]:
    """The parts that hold replications 0 to N - 1, in order. All but the last are whole blocks and so shared by longer runs."""
    ranges = ((first, min(first + BLOCK, replications) - 1) for first in range(0, replications, BLOCK))
    return [Part(first, last, max(0, min(logs - first, last - first + 1))) for first, last in ranges]


@dataclass(frozen=True)
class Cell:
    """One resolved scenario with its inputs, seed and design of assumptions: all that decides a replication's results."""

    text: str
    """The file cell.json"""

    @cached_property
    def key(self) -> str:
        """Address in the store."""
        return _short(self.text)

    @cached_property
    def described(self) -> dict[str, Any]:
        """The file as plain values."""
        found = json.loads(self.text)
        if not isinstance(found, dict):
            raise ValueError("is not the description of a cell")
        return found

    @property
    def seed(self) -> int:
        """Seed of the draws."""
        return int(self.described["seed"])

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables every part has."""
        return tuple(self.described["tables"])

    def tables_of(self, part: Part) -> tuple[str, ...]:
        """Tables of a part: it may have logs as well."""
        return (*self.tables, *((LOGS,) if part.logs else ()))

    def scenario(self, name: str) -> Scenario:
        """The scenario, ready to run again; its words are lost but for the name. Raises InputProblems if it no longer loads."""
        from simulator.scenario import content_hash, scenario_from_text

        kept = dict(self.described["scenario"])
        kept.pop("schema")
        because = f"as stored in cell {self.key}"
        kept |= {"name": name, "title": name, "supposes": f"What is stored in cell {self.key}."}
        kept["inputs"] = [
            {key: value for key, value in row.items() if value is not None}
            | {"entity": "*" if row["entity"] == ["*"] else row["entity"], "reason": because}
            for row in kept["inputs"]
        ]
        changed = kept["policy"]["set"].items()
        kept["policy"] = kept["policy"] | {"set": {leaf: {"value": value, "reason": because} for leaf, value in changed}}
        found = scenario_from_text(json.dumps(kept), f"cell {self.key}")
        if content_hash(found) != self.described["scenario_sha256"]:
            raise refuse(
                f"cell {self.key}", "its scenario means something else to this version; run it with the version it names"
            )
        return found


def describe(
    compiled: Compiled,
    seed: int,
    design: Any,
    *,
    schema: int,
    tables: Sequence[str] = (HEADLINES, INCREMENTS),
    compiled_sha256: str | None = None,
) -> Cell:
    """The cell of a compiled scenario: another key if anything differs that can change a result, the same otherwise.

    `design` is how assumptions are chosen (a dataclass or a mapping of plain values), `schema` the number of the headlines'
    definition. Law and geography count as compiled, so that a changed rule changes the scenarios under it and no others.
    `compiled_sha256`: their digest, if it is known and need not be made.
    """
    from simulator.scenario import canonical, content_hash

    return Cell(
        as_text(
            {
                "format": FORMAT,
                "product": PRODUCT,
                "version": version(),
                "code_sha256": code(),
                "scenario": canonical(compiled.scenario),
                "scenario_sha256": content_hash(compiled.scenario),
                "compiled_sha256": compiled_sha256 or compiled_digest(compiled),
                "inputs": _inputs(compiled.sampler),
                "seed": seed,
                "design": asdict(design) if is_dataclass(design) and not isinstance(design, type) else dict(design),
                "headlines": schema,
                "tables": list(tables),
            }
        )
    )


def compiled_digest(compiled: Compiled) -> str:
    """SHA-256 of the law and geography of a scenario, as compiled."""
    return _digest(compiled.static)


@cache
def code() -> str:
    """SHA-256 of the source that makes results: whoever changes the model in a checkout does not get the old model's numbers."""
    total = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem not in APART:
            total.update(f"{path.stem} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _inputs(sampler: Sampler) -> list[dict[str, str | None]]:
    """The inputs as companies know them, oldest knowledge first, with the day from which they know them."""
    known, now = list[dict[str, str | None]](), sampler
    while now.earlier:
        day, before = now.earlier
        known.append({"known_from": day.isoformat(), "sha256": world_digest(now.world)})
        now = before
    return [{"known_from": None, "sha256": world_digest(now.world)}, *reversed(known)]


def world_digest(world: World) -> str:
    """Digest of the inputs. Whether a number is reported or assumed counts too: a revision begins where reports end."""
    kinds = "\n".join(value.kind for value in world.values)
    return hashlib.sha256(f"{world.digest}\n{kinds}".encode()).hexdigest()


def _digest(thing: Any) -> str:
    """SHA-256 of a dataclass of arrays, numbers and words: every field by name, every array by type, shape and content."""
    import numpy as np

    total = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, np.ndarray):
            plain = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
            total.update(f"array {plain.dtype.str} {value.shape};".encode())
            total.update(plain.tobytes())
        elif is_dataclass(value) and not isinstance(value, type):
            total.update(f"{type(value).__name__};".encode())
            for item in fields(value):
                total.update(f"{item.name};".encode())
                add(getattr(value, item.name))
        elif isinstance(value, tuple):
            total.update(f"tuple {len(value)};".encode())
            for member in value:
                add(member)
        elif value is None or isinstance(value, bool | int | float | str | date):
            total.update(f"{type(value).__name__} {value!r};".encode())
        else:
            raise TypeError(f"a {type(value).__name__} cannot be part of what identifies a result")

    add(thing)
    return total.hexdigest()


@dataclass(frozen=True)
class Member:
    """A cell of a run, by the name it has there, with the levers that tell it from its siblings."""

    name: str
    cell: str
    """Its key"""
    seed: int
    levers: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Run:
    """What somebody asked: cells under names, a number of replications, whom to compare with. Raises ValueError if impossible."""

    members: tuple[Member, ...]
    replications: int
    reference: str
    logs: int = KEPT_LOGS
    design: Mapping[str, Any] = field(default_factory=dict, hash=False)
    version: str = field(default_factory=version)

    def __post_init__(self) -> None:
        names = [member.name for member in self.members]
        if not names or len(set(names)) < len(names):
            raise ValueError("a run has at least one cell, and no two of one name")
        if not all(isinstance(name, str) and 0 < len(name) <= LONGEST_NAME for name in names):
            raise ValueError(f"names have 1 to {LONGEST_NAME} letters")
        if not all(KEY.fullmatch(member.cell) for member in self.members):
            raise ValueError("a cell's key has 16 hexadecimal digits")
        if self.reference not in names:
            raise ValueError(f"the reference {self.reference!r} is not among the cells")
        if isinstance(self.replications, bool) or not isinstance(self.replications, int) or self.replications < 1:
            raise ValueError(f"replications must be a whole number of at least 1, not {self.replications!r}")
        if isinstance(self.logs, bool) or not isinstance(self.logs, int) or self.logs < 0:
            raise ValueError(f"logs must be a whole number of at least 0, not {self.logs!r}")
        object.__setattr__(self, "logs", min(self.logs, self.replications))  # asking for more is the same question

    @classmethod
    def of(
        cls,
        cells: Mapping[str, Cell],
        replications: int,
        *,
        reference: str = "",
        logs: int = KEPT_LOGS,
        levers: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Run:
        """The run over cells by name, in this order; the first is the reference unless named. One design for all."""
        designs = {as_text(cell.described["design"]) for cell in cells.values()}
        if len(designs) != 1 or len({cell.described["version"] for cell in cells.values()}) != 1:
            raise ValueError("the cells of a run share one design and one version")
        first = next(iter(cells.values())).described
        plain = json.loads(as_text({name: dict(values) for name, values in (levers or {}).items()}))  # as it will be read again
        members = tuple(Member(name, cell.key, cell.seed, plain.get(name, {})) for name, cell in cells.items())
        return cls(members, replications, reference or next(iter(cells)), logs, first["design"], first["version"])

    @cached_property
    def id(self) -> str:
        """Identity by content: 16 hexadecimal digits."""
        return _short(as_text(self.asked()))

    @property
    def parts(self) -> list[Part]:
        """The parts each of its cells needs."""
        return parts(self.replications, self.logs)

    def cell(self, name: str) -> str:
        """Key of the cell of a name. Raises KeyError."""
        return {member.name: member.cell for member in self.members}[name]

    def asked(self) -> dict[str, Any]:
        """The question as plain values; its hash is the id."""
        return {
            "version": self.version,
            "cells": [asdict(member) for member in self.members],
            "replications": self.replications,
            "logs_of_first": self.logs,
            "reference": self.reference,
            "design": dict(self.design),
        }

    @classmethod
    def read(cls, asked: Any) -> Run:
        """The run of a manifest's question. Raises ValueError, KeyError or TypeError for anything else."""
        members = tuple(Member(str(m["name"]), str(m["cell"]), int(m["seed"]), dict(m["levers"])) for m in asked["cells"])
        design, said = dict(asked["design"]), str(asked["version"])
        return cls(members, asked["replications"], str(asked["reference"]), asked["logs_of_first"], design, said)


# ---- small things ----------------------------------------------------------------------------------------------------------


def as_text(value: Any) -> str:
    """Plain values as a file: for people to read, and the same for equal values."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def sealed(value: Mapping[str, Any]) -> str:
    """Plain values as a file that carries its own digest."""
    return as_text({**value, "sha256": sha256(as_text(dict(value)).encode())})


def unsealed(text: str) -> dict[str, Any]:
    """What `sealed` wrote. Raises ValueError if as much as a letter was changed."""
    try:
        found = json.loads(text)
        value = {name: part for name, part in found.items() if name != "sha256"}
    except (ValueError, AttributeError, RecursionError):
        raise ValueError("cannot be read") from None
    if sealed(value) != text:
        raise ValueError("was changed")
    return value


def sha256(data: bytes) -> str:
    """Digest, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _short(text: str) -> str:
    """An address: enough of the digest never to meet another one by chance."""
    return sha256(text.encode())[:16]

"""What a worker of a sweep does: play a block of replications of some scenarios, and pack what came of it as files of the store.

The scenarios of a task share their draws, which are made once a replication. Files are the same bytes wherever and whenever they
are made; each says itself what its numbers stand for (months, companies, countries), so that it can be read without the inputs.
"""

from __future__ import annotations

import json
import pickle
import time
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from simulator import headline
from simulator.cells import HEADLINES, INCREMENTS, LOGS, QUANTILES, Part
from simulator.design import Design, quantiles
from simulator.experiments import ReplicationFailed
from simulator.metrics import TIERS
from simulator.units import TICKS_PER_DAY, month_ends

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.engines import Engine
    from simulator.sampling import Sampler
    from simulator.static import Draws, Static
    from simulator.sweepfile import Keep

    Floats = NDArray[np.float64]

FAULTS = (ArithmeticError, LookupError, ValueError, TypeError, MemoryError)
"""What a replication that cannot be played may raise"""
REMEMBERED = 16
"""Scenarios that a worker keeps ready"""
MONTHLY = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
"""Quantiles that are kept of each month if increments are not"""
ABOUT = b"groundbreak"
"""Where in the metadata of a file stands what its numbers are"""


@dataclass(frozen=True)
class Brief:
    """What all tasks of a sweep share."""

    samplers: tuple[Sampler, ...]
    weights: tuple[Floats, ...]
    """(C,) by sampler: what each country's research counts"""
    design: Design
    seed: int
    engine: Engine


@dataclass(frozen=True)
class Ready:
    """A scenario on its way to a worker: small, and opened only where it is needed."""

    key: str
    name: str
    sampler: int
    on: tuple[bool, bool, bool]
    """whether assumptions, luck and rationing are"""
    keep: Keep
    packed: bytes
    """its `Static`, pickled and compressed"""


@dataclass(frozen=True)
class Task:
    """Parts of some scenarios that share a sampler: the same replications of each."""

    cells: tuple[Ready, ...]
    parts: tuple[Part, ...]

    @property
    def runs(self) -> int:
        """Replications times scenarios."""
        return len(self.cells) * sum(part.last - part.first + 1 for part in self.parts)

    def says(self) -> str:
        names = ", ".join(cell.name for cell in self.cells[:2]) + (
            f" and {len(self.cells) - 2} more" if len(self.cells) > 2 else ""
        )
        return f"replications {self.parts[0].first} to {self.parts[-1].last} of {names}"


class Answer(NamedTuple):
    """What came of a task."""

    files: list[tuple[str, Part, dict[str, bytes]]]
    """key of the cell, part, and the Parquet file of each table"""
    seconds: float
    """of playing, without what a worker does once"""
    runs: int
    """played in that time"""


class Worker:
    """A process that plays. Scenarios are unpacked when they are first needed."""

    def __init__(self, brief: Brief):
        self.brief = brief
        self.ready: OrderedDict[str, tuple[Static, headline.Reducer]] = OrderedDict()
        self.warm = False

    def scenario(self, cell: Ready) -> tuple[Static, headline.Reducer]:
        if cell.key not in self.ready:
            static: Static = pickle.loads(zlib.decompress(cell.packed))  # made by the process that asks, never read from a file
            self.ready[cell.key] = static, headline.Reducer(static, self.brief.weights[cell.sampler])
            if len(self.ready) > REMEMBERED:
                self.ready.popitem(last=False)
        self.ready.move_to_end(cell.key)
        return self.ready[cell.key]

    def draw(self, cell: Ready, replication: int) -> Draws:
        brief, sampler = self.brief, self.brief.samplers[cell.sampler]
        assumptions, luck, rationing = cell.on
        given: dict[str, Any] = {}
        if not brief.design.plain:
            assumption = brief.design.assumption(replication)
            given["assumption"] = assumption
            if (points := quantiles(brief.design, brief.seed, assumption, sampler.assumption_names)) is not None:
                given["quantiles"] = points
        return sampler.draw(brief.seed, replication, assumptions=assumptions, luck=luck, rationing=rationing, **given)

    def try_out(self, cell: Ready) -> None:
        """Play a replication for nothing: what is compiled or loaded once is no part of the time that replications take."""
        from simulator.engines import play

        static, reducer = self.scenario(cell)
        draws = self.draw(cell, 0)
        reducer.reduce(draws, play(static, draws, self.brief.engine))


def play_task(worker: Worker, task: Task) -> Answer:
    from simulator.engines import play

    if not worker.warm:
        with suppress(*FAULTS):  # if it fails, it is told when it is played in its turn
            worker.try_out(task.cells[0])
        worker.warm = True
    cells = [(cell, *worker.scenario(cell)) for cell in task.cells]
    files: list[tuple[str, Part, dict[str, bytes]]] = []
    seconds, runs = 0.0, 0
    for part in task.parts:
        begun = time.perf_counter()
        kept = [_Kept(static, cell.keep) for cell, static, _ in cells]
        for replication in range(part.first, part.last + 1):
            drawn: dict[tuple[bool, bool, bool], Draws] = {}
            for (cell, static, reducer), table in zip(cells, kept, strict=True):
                try:
                    if cell.on not in drawn:
                        drawn[cell.on] = worker.draw(cell, replication)
                    draws = drawn[cell.on]
                    log = play(static, draws, worker.brief.engine)
                    table.add(replication, reducer.reduce(draws, log))
                    if replication - part.first < part.logs:
                        table.keep_log(replication, draws, log)
                except FAULTS as error:
                    raise ReplicationFailed(
                        cell.name, worker.brief.seed, replication, f"{type(error).__name__}: {error}"
                    ) from error
        files += [(cell.key, part, table.files()) for (cell, _, _), table in zip(cells, kept, strict=True)]
        seconds += time.perf_counter() - begun
        runs += len(cells) * (part.last - part.first + 1)
    return Answer(files, seconds, runs)


class _Kept:
    """What is kept of one part, as it grows."""

    def __init__(self, static: Static, keep: Keep):
        self.static, self.keep = static, keep
        self.replications: list[int] = []
        self.numbers: list[Floats] = []
        self.increments: list[headline.Increments] = []
        self.logs: list[tuple[int, tuple[str, ...], Any]] = []

    def add(self, replication: int, reduced: headline.Reduced) -> None:
        self.replications.append(replication)
        self.numbers.append(reduced.numbers)
        self.increments.append(reduced.increments)

    def keep_log(self, replication: int, draws: Draws, log: Any) -> None:
        self.logs.append((replication, tuple(draws.names), log))

    def files(self) -> dict[str, bytes]:
        """The Parquet file of each table: the same bytes wherever and whenever it is made."""
        import pyarrow as pa

        said = _about(self.static)
        replication = np.array(self.replications, dtype=np.int32)
        numbers = np.stack(self.numbers)
        columns = {name: pa.array(numbers[:, i], mask=~np.isfinite(numbers[:, i])) for i, name in enumerate(headline.COLUMNS)}
        found = {HEADLINES: _parquet({"replication": pa.array(replication), **columns}, said)}
        rows = np.concatenate(self.increments)
        of = np.repeat(replication, [len(each) for each in self.increments])
        if self.keep == "increments":
            table = {"replication": pa.array(of)} | {name: pa.array(rows[name]) for name in headline.INCREMENTS.names or ()}
            found[INCREMENTS] = _parquet(table, said, split=["value"])
        else:
            found[QUANTILES] = _parquet(_monthly(rows, of - replication[0], len(replication), len(said["months"])), said)
        if self.logs:
            names = self.logs[0][2].dtype.names
            table = {
                "replication": pa.array(
                    np.repeat([r for r, _, _ in self.logs], [len(log) for _, _, log in self.logs]).astype(np.int32)
                )
            }
            table |= {name: pa.array(np.concatenate([log[name] for _, _, log in self.logs])) for name in names}
            projects = {str(replication): projects for replication, projects, _ in self.logs}
            found[LOGS] = _parquet(table, {**said, "provisions": self.static.provisions, "projects": projects})
        return found


def _about(static: Static) -> dict[str, Any]:
    """What the numbers in a table stand for: written into each, so that it can be read without the inputs it came from."""
    months = [day.isoformat() for day in month_ends(static.start, _last_day(static))]
    return {
        "months": months,
        "shown": [months[t] for t in headline.shown_months(static)],
        "companies": static.companies,
        "countries": static.countries,
        "tiers": static.tier.tolist(),
        "series": [series.metric for series in headline.SERIES],
    }


def _last_day(static: Static) -> date:
    return static.start + timedelta(days=static.horizon // TICKS_PER_DAY - 1)


def _parquet(columns: Mapping[str, Any], said: Mapping[str, Any], split: Sequence[str] = ()) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    about = {ABOUT: json.dumps(said, separators=(",", ":"), ensure_ascii=True)}
    out = pa.BufferOutputStream()
    # Hardly a value comes twice; a dictionary of them costs ten times the time. Bytes of the same weight side by side pack better.
    pq.write_table(
        pa.table(dict(columns)).replace_schema_metadata(about), out, compression="zstd", use_dictionary=False,
        write_statistics=False, use_byte_stream_split=list(split),
    )  # fmt: skip
    return cast(bytes, out.getvalue().to_pybytes())


def _monthly(rows: headline.Increments, of: NDArray[np.int64], replications: int, months: int) -> dict[str, Any]:
    """Mean and quantiles of every series by month over the replications of a part: in all, and in each tier.

    The rank of a quantile is that whose expectation over parts is the quantile asked for, so that the mean over parts is too.
    """
    import pyarrow as pa

    places = (0, *range(1, len(TIERS) + 1))
    found = []
    for series in headline.SERIES:
        for place in places:
            table = headline.total(rows, series.metric, months, tier=place or None, replication=of, replications=replications)
            ordered = np.sort(table, axis=0)
            rank = np.clip(np.array(MONTHLY) * (replications + 1) - 1, 0, replications - 1)
            below = np.floor(rank).astype(np.int64)
            low, high = ordered[below], ordered[np.minimum(below + 1, replications - 1)]
            found.append(np.concatenate([table.mean(axis=0)[None], low + (high - low) * (rank - below)[:, None]]))
    numbers = np.stack(found)  # (series x places, mean and quantiles, months)
    count = len(numbers)
    columns: dict[str, Any] = {
        "series": pa.array(np.repeat(np.arange(len(headline.SERIES), dtype=np.int16), len(places) * months)),
        "place": pa.array(np.tile(np.repeat(np.array(places, dtype=np.int16), months), len(headline.SERIES))),
        "month": pa.array(np.tile(np.arange(months, dtype=np.int16), count)),
        "mean": pa.array(numbers[:, 0].ravel()),
    }
    return columns | {f"p{share * 100:02.0f}": pa.array(numbers[:, 1 + i].ravel()) for i, share in enumerate(MONTHLY)}

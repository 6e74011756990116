"""A sweep in small, to be killed, doubled and starved: cells whose numbers are a plain function of key and replication.

`python fake_sweep.py STORE REPLICATIONS LOGS DELAY [CELL ...]` runs it to the end, telling on its output what it has done so far.
"""

from __future__ import annotations

import sys
import time
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simulator.cells import Cell, Part, Run, as_text, parts
from simulator.store import Incomplete, Store, open_store


def fake_cell(number: int = 0, **changes: object) -> Cell:
    """A cell that describes nothing in particular."""
    about = {"format": 1, "product": "groundbreak", "version": "0.1.0", "scenario": {"end": f"{2030 + number}"}, "seed": 1}
    about |= {"design": {"kind": "random"}, "tables": ["headlines", "increments"]}
    return Cell(as_text(about | changes))


def values(key: str, replication: int) -> list[float]:
    """The headlines of a replication."""
    stream = np.random.default_rng([int(key, 16), replication])
    return stream.normal(size=3).round(6).tolist()


def encoded(table: pa.Table) -> bytes:
    out = BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


@lru_cache(maxsize=64)
def payload(cell: Cell, part: Part) -> dict[str, bytes]:
    """The tables of a part: `mw`, `usd` (null in every seventh replication), a series that changes in some months, a log."""
    replications = list(range(part.first, part.last + 1))
    drawn = [values(cell.key, r) for r in replications]
    tables = {
        "headlines": pa.table(
            {
                "replication": pa.array(replications, pa.int32()),
                "mw|all|2028": pa.array([v[0] for v in drawn]),
                "usd|all|end": pa.array([None if r % 7 == 3 else v[1] for r, v in zip(replications, drawn, strict=True)]),
            }
        ),
        "increments": pa.table(
            {
                "replication": pa.array([r for r in replications for _ in range(4)], pa.int32()),
                "month": pa.array([m for _ in replications for m in (0, 5, 6, 40)], pa.int16()),
                "value": pa.array([v[2] * m for v in drawn for m in (1, 2, 3, 4)]),
            }
        ),
    }
    if part.logs:
        kept = [r for r in replications[: part.logs] for _ in range(50)]
        tables["logs"] = pa.table({"replication": pa.array(kept, pa.int32()), "tick": pa.array(range(len(kept)), pa.int64())})
    return {name: encoded(table) for name, table in tables.items()}


def sweep(store: Store, cells: dict[str, Cell], replications: int, logs: int = 2, delay: float = 0.0, tell=print) -> Run:  # type: ignore[no-untyped-def]
    """Whatever is missing, then the manifest: how everybody should use a store."""
    run = Run.of(cells, replications, logs=logs)
    with store.lock(run.id, say=lambda text: tell(f"waiting {text}"), cells=[cell.key for cell in cells.values()]):
        while True:
            for cell in cells.values():
                for part in store.missing(cell, parts(replications, logs)):
                    time.sleep(delay)
                    made = payload(cell, part)
                    tell(f"computed {cell.key} {part.name}")
                    store.write(cell, part, made)
                    tell(f"stored {cell.key} {part.name}")
            try:
                store.finish(run)
            except Incomplete:
                continue
            tell(f"finished {run.id}")
            return run


def main() -> None:
    root, replications, logs, delay, *numbers = sys.argv[1:]

    def tell(text: str) -> None:
        print(text, flush=True)

    def warn(text: str) -> None:
        tell(f"warning {text}")

    cells = {f"scenario-{n}": fake_cell(int(n)) for n in numbers or ("0", "1")}
    payload(fake_cell(), Part(0, 0, 1))  # the library's first call takes its time
    tell("ready")
    sweep(open_store(Path(root), warn), cells, int(replications), int(logs), float(delay), tell)


if __name__ == "__main__":
    main()

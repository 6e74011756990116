"""A results folder: what was asked, what came out, and a manifest without clock times, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.problems import refuse, shown

if TYPE_CHECKING:
    from simulator.experiments import Comparison
    from simulator.statistics import Difference, Row

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
PRODUCT = "groundbreak"


def version() -> str:
    """The installed version; one number for the whole product."""
    from importlib.metadata import version as installed

    return installed(PRODUCT)


def run_id(comparison: Comparison) -> str:
    """Identity of a comparison by its content: resolved scenarios, inputs, version, seed, replications, reference."""
    from simulator.scenario import content_hash

    asked = [
        version(),
        comparison.world.digest,
        comparison.seed,
        comparison.replications,
        comparison.reference,
        [[s.name, content_hash(s)] for s in comparison.scenarios],
    ]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def manifest(comparison: Comparison) -> dict[str, Any]:
    """What was run on what, without clock times: the same question has the same manifest."""
    from simulator.scenario import content_hash

    world = comparison.world
    return {
        "schema_version": SCHEMA_VERSION,
        "product": PRODUCT,
        "version": version(),
        "run_id": run_id(comparison),
        "data_digest": world.digest,
        "as_known_on": world.as_known_on.isoformat() if world.as_known_on else None,
        "later_inputs": sorted(value.label for value in world.later_inputs),
        "seed": comparison.seed,
        "replications_asked": comparison.asked,
        "replications": comparison.replications,
        "interrupted": comparison.interrupted,
        "failed": comparison.failed or None,
        "reference": comparison.reference,
        "scenarios": {s.name: content_hash(s) for s in comparison.scenarios},
        "events_of_replications": sorted({r for runs in comparison.runs.values() for r in runs}),
    }


def check_target(out: Path) -> None:
    """Refuse early what cannot become a results folder: a file, a foreign folder, a place that cannot be written.

    Raises InputProblems; changes nothing.
    """
    out = _place(out)
    if out.exists() and not out.is_dir():
        raise refuse(out, "is a file; name a folder for the results", field="--out")
    if out.is_dir() and any(out.iterdir()) and not _ours(out):
        raise refuse(out, "is not empty and holds no earlier results; name an empty or a new folder", field="--out")
    if foreign := _foreign(out):
        names = ", ".join(sorted(foreign)[:3]) + (" and others" if len(foreign) > 3 else "")
        raise refuse(
            out,
            f"holds files that are not results of ours and would be lost: {names}; move them, or name another folder",
            field="--out",
        )
    # The folder is made beside its place and then renamed, so the parent must be writable; an old one is emptied as well.
    above = next(parent for parent in out.parents if parent.exists())
    for place in (above, out) if out.is_dir() else (above,):
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            raise refuse(out, f"cannot be written: no permission in {place}; name another folder", field="--out")


@contextmanager
def writing(out: Path) -> Iterator[Path]:
    """A new folder that takes the place of `out` when the block ends without an error; else nothing has changed.

    Raises InputProblems as `check_target`.
    """
    check_target(out)
    out = _place(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise refuse(out, f"cannot be written: {error.strerror}; name another folder", field="--out") from None
    try:
        yield folder
        folder.chmod(0o755)
        if out.exists():
            old = folder.with_name(folder.name + "-old")
            os.rename(out, old)
            try:
                os.rename(folder, out)
            except BaseException:
                if not out.exists():
                    os.rename(old, out)
                raise
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(folder, out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _place(out: Path) -> Path:
    """Where the folder really is: a link stays, what it points to is replaced. Raises InputProblems for an impossible path."""
    try:
        place = out.resolve()
        place.exists()
        return place
    except (OSError, RuntimeError) as error:  # too long, or links in a circle
        raise refuse(
            shown(str(out)), f"is no possible path: {getattr(error, 'strerror', None) or error}", field="--out"
        ) from None


def _foreign(folder: Path) -> set[str]:
    """Names in an earlier results folder that its manifest does not list."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return set()
    listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("files", [])
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return present - set(listed) - {MANIFEST}


def _ours(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["product"] == PRODUCT)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def as_json(comparison: Comparison, rows: list[Row], differences: list[Difference]) -> str:
    """The whole comparison as one JSON object (the contract of `compare --json`)."""
    return json.dumps(
        {
            "schema_version": SCHEMA_VERSION,
            "run_id": run_id(comparison),
            "seed": comparison.seed,
            "replications": comparison.replications,
            "interrupted": comparison.interrupted,
            "level": 0.95,
            "reference": comparison.reference,
            "scenarios": comparison.names(),
            "metrics": [asdict(row) for row in rows],
            "differences": [asdict(row) for row in differences],
        },
        allow_nan=False,
    )


def write(comparison: Comparison, rows: list[Row], differences: list[Difference], text: str, folder: Path) -> None:
    """Fill a results folder: scenarios, tables (Parquet and CSV), all that is told of the replications kept in full, manifest."""
    import pandas as pd

    from simulator.metrics import METRICS
    from simulator.scenario import to_yaml
    from simulator.statistics import rows as all_rows
    from simulator.tables import told

    (folder / "scenarios").mkdir()
    for scenario in comparison.scenarios:
        (folder / "scenarios" / f"{scenario.name}.yaml").write_text(to_yaml(scenario), encoding="utf-8")
    tables = {
        "metrics": pd.DataFrame([asdict(r) for r in rows]),
        "differences": pd.DataFrame([asdict(d) for d in differences]),
        "provisions": _provisions(comparison),
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
        table.to_parquet(folder / f"{name}.parquet", index=False)
    pd.DataFrame([asdict(r) for r in all_rows(comparison, monthly=True)]).to_parquet(folder / "monthly.parquet", index=False)
    _events(comparison).to_parquet(folder / "events.parquet", index=False)
    for name, table in told(comparison).items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    meanings = pd.DataFrame([asdict(m) for m in METRICS.values()])
    meanings.to_csv(folder / "meanings.csv", index=False, lineterminator="\n")
    (folder / "summary.txt").write_text(text, encoding="utf-8")
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    listed = {**manifest(comparison), "files": files}
    (folder / MANIFEST).write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")


def _provisions(comparison: Comparison) -> Any:
    """What each provision did, mean over replications."""
    import pandas as pd

    columns = ("cleared_mw", "waited_mw_days", "relocated_mw", "cancelled_mw", "downsized_mw")
    names = ("scenario", "provision", "title", "citation", "source_url", "certain", *columns)
    table = []
    for compiled in comparison.compiled:
        name = compiled.scenario.name
        mean = comparison.provisions[name].mean(axis=0)
        for i, id in enumerate(compiled.static.provisions):
            if mean[i].any():
                cited = compiled.provisions[id]
                table.append(
                    {
                        "scenario": name,
                        "provision": id,
                        "title": cited.title,
                        "citation": cited.citation,
                        "source_url": cited.source,
                        "certain": cited.certain,
                        **dict(zip(columns, mean[i].tolist(), strict=True)),
                    }
                )
    return pd.DataFrame(table, columns=list(names))  # named also if nothing happened


def _events(comparison: Comparison) -> Any:
    """The event logs of the first replications, with stages, marks, provisions and projects by name."""
    import numpy as np
    import pandas as pd

    from simulator.events import Mark, Stage

    stages, marks = {int(s): s.name.lower() for s in Stage}, {int(m): m.name.lower() for m in Mark}
    frames = []
    for compiled in comparison.compiled:
        static = compiled.static
        names = np.array(["", *static.provisions], dtype=object)
        for replication, (draws, log) in comparison.runs[compiled.scenario.name].items():
            projects = np.array([*draws.names, ""], dtype=object)
            frame = pd.DataFrame({name: log[name] for name in log.dtype.names or ()})
            frame["stage"] = frame["stage"].map(stages).astype("category")
            frame["mark"] = frame["mark"].map(marks).astype("category")
            frame["provision"] = pd.Categorical(names[log["rule"] + 1])
            frame["project"] = pd.Categorical(projects[np.where(log["root"] >= 0, log["root"], -1)])
            frame.insert(0, "replication", replication)
            frame.insert(0, "scenario", compiled.scenario.name)
            frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

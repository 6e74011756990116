"""The store: whole or not there, whatever is killed, doubled, damaged, full or forbidden."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from fake_sweep import encoded, fake_cell, payload, sweep, values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import simulator.store
from simulator.cells import BLOCK, FORMAT, Cell, Part, Run, as_text, parts, sealed, unsealed
from simulator.problems import InputProblems
from simulator.store import Disagreement, Incomplete, Store, open_store

HERE = Path(__file__).parent
TWO = {"scenario-0": fake_cell(0), "scenario-1": fake_cell(1)}
"""What `fake_sweep.py` runs unless told otherwise."""


def silent(text: str) -> None:
    pass


def strict(text: str) -> None:
    raise AssertionError(f"nothing was damaged: {text}")


def tree(root: Path, but: tuple[str, ...] = ("locks", "tmp")) -> dict[str, bytes]:
    """Everything that is content: file by file."""
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in sorted(found.items())
        if not name.startswith(but) and not name.endswith("timing.jsonl")
    }


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug of this machine: only one test looks whether the disk is waited for."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", strict)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A store with one finished run of three parts a cell. Copy it before changing it."""
    root = tmp_path_factory.mktemp("finished") / "store"
    return root, sweep(open_store(root, strict), TWO, 250, tell=silent)


@pytest.fixture
def copy(finished: tuple[Path, Run], tmp_path: Path) -> tuple[Path, Run]:
    shutil.copytree(finished[0], tmp_path / "store")
    return tmp_path / "store", finished[1]


def place(root: Path, cell: Cell, part: Part) -> Path:
    return root / "cells" / cell.key / "parts" / part.name


# ------------------------------------------------------------------ what is stored, and reading it


def test_a_run_is_stored_as_the_layout_says_and_read_back_in_order(store: Store) -> None:
    run = sweep(store, TWO, 250, tell=silent)
    first = fake_cell(0)
    inside = ("headlines.parquet", "increments.parquet", "part.json")
    expected = {"store.json", f"runs/{run.id}/manifest.json"} | {f"cells/{cell.key}/cell.json" for cell in TWO.values()}
    for cell in TWO.values():
        expected |= {f"cells/{cell.key}/parts/{name}/{file}" for name in ("100-199", "200-249") for file in inside}
        expected |= {f"cells/{cell.key}/parts/0-99-logs-2/{file}" for file in (*inside, "logs.parquet")}
    assert set(tree(store.root)) == expected

    read = store.read(first.key, run.parts, "headlines")
    assert read["replication"].to_pylist() == list(range(250))
    assert read["mw|all|2028"].to_pylist() == [values(first.key, r)[0] for r in range(250)]
    assert [r for r, v in enumerate(read["usd|all|end"].to_pylist()) if v is None] == list(range(3, 250, 7))
    assert len(store.read(first.key, run.parts, "increments")) == 1000
    assert set(store.read(first.key, run.parts, "logs")["replication"].to_pylist()) == {0, 1}
    backwards = store.read(first.key, reversed(run.parts), "headlines", columns=["replication"])
    assert backwards["replication"].to_pylist() == list(range(250))
    some = store.read(first.key, run.parts, "increments", columns=["value"], where=pc.field("month") == 5)
    assert some.column_names == ["value"] and len(some) == 250
    assert [len(part) for part in store.each(first.key, run.parts, "headlines")] == [100, 100, 50]
    assert store.runs() == [run] == [store.run(run.id)]
    assert store.size(run) == sum(len(data) for name, data in tree(store.root).items() if "/parts/" in name)
    assert store.verify(run.id) == []


def test_the_same_question_gives_the_same_bytes_at_any_time_and_a_longer_one_uses_what_is_there(tmp_path: Path) -> None:
    for name in ("one", "two"):
        store = open_store(tmp_path / name, strict)
        run = sweep(store, TWO, 250, tell=silent)
        store.log(run.id, event="done", seconds=1.5)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    told: list[str] = []
    assert sweep(store, TWO, 250, tell=told.append) == run and told == [f"finished {run.id}"]
    longer = sweep(store, TWO, 300, tell=told.append)
    assert [line.split()[2] for line in told if line.startswith("computed")] == ["200-299"] * 2
    other = sweep(store, TWO, 250, logs=120, tell=told.append)
    assert [line.split()[2] for line in told if line.startswith("computed")][2:] == ["0-99-logs-100", "100-199-logs-20"] * 2
    assert {r.id for r in store.runs()} == {run.id, longer.id, other.id}
    assert all(store.verify(r.id) == [] for r in store.runs())


def test_a_stranger_can_read_what_a_cell_and_a_run_are_and_check_the_names(copy: tuple[Path, Run]) -> None:
    root, run = copy
    for folder in (root / "cells").iterdir():
        text = (folder / "cell.json").read_bytes()
        assert subprocess.run(["sha256sum"], input=text, capture_output=True, check=True).stdout[:16].decode() == folder.name
    manifest = json.loads((root / "runs" / run.id / "manifest.json").read_text())
    assert manifest["run_id"] == run.id and manifest["asked"]["replications"] == 250
    assert [c["name"] for c in manifest["asked"]["cells"]] == ["scenario-0", "scenario-1"]
    for key, listed in manifest["parts"].items():
        for name, digest in listed.items():
            about = root / "cells" / key / "parts" / name / "part.json"
            assert subprocess.run(["sha256sum", about], capture_output=True, check=True).stdout[:64].decode() == digest
    assert not re.search(r'"(at|time|date|created)"|T\d\d:\d\d', json.dumps(manifest))


def test_reading_what_is_not_there_says_what_to_do(copy: tuple[Path, Run]) -> None:
    root, run = copy
    store, cell = open_store(root, strict), fake_cell(0)
    with pytest.raises(InputProblems, match="300-399: is not there; run the same question again"):
        store.read(cell.key, [Part(300, 399)], "headlines")
    path = place(root, cell, run.parts[1]) / "headlines.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputProblems, match=r"100-199: headlines.parquet has [\d,]+ bytes, not [\d,]+; run the same question"):
        store.read(cell.key, run.parts, "headlines")
    with pytest.raises(ValueError, match="none of these parts has logs"):
        store.read(cell.key, run.parts[1:], "logs")
    with pytest.raises(InputProblems, match=r"cell.json: is not there"):
        store.cell("0" * 16)


def test_an_empty_store_is_not_made_by_looking(tmp_path: Path) -> None:
    store = open_store(tmp_path / "none" / "yet", strict)
    assert store.runs() == [] and store.missing(fake_cell(), parts(150, 0)) == [Part(0, 99), Part(100, 149)]
    assert store.timing("0" * 16) == []
    with pytest.raises(InputProblems, match="the store is empty"):
        store.run("ab")
    assert not (tmp_path / "none").exists()


# ------------------------------------------------------------------ where it is


def test_the_place_is_that_asked_for_then_the_variable_then_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDBREAK_STORE", str(tmp_path / "variable"))
    assert open_store(tmp_path / "asked").root == tmp_path / "asked"
    assert open_store().root == tmp_path / "variable"
    monkeypatch.setenv("GROUNDBREAK_STORE", "")
    monkeypatch.setattr("platformdirs.user_data_path", lambda name, appauthor: tmp_path / "home" / name)
    assert open_store().root == tmp_path / "home" / "groundbreak" / "store"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_store(Path("~/mine")).root == tmp_path / "mine"


def test_a_folder_that_is_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(InputProblems, match=r"--store: is not a store and holds other files: thesis.doc"):
        open_store(tmp_path)
    with pytest.raises(InputProblems, match="is a file; name a folder"):
        open_store(tmp_path / "thesis.doc")
    with pytest.raises(InputProblems, match="cannot be opened"):
        open_store(tmp_path / ("x" * 300))
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(InputProblems, match="cannot be opened"):
        open_store(tmp_path / "circle")
    (tmp_path / "mount" / "lost+found").mkdir(parents=True)
    (tmp_path / "mount" / ".hidden").touch()
    sweep(open_store(tmp_path / "mount", strict), TWO, 5, tell=silent)
    assert sorted(os.listdir(tmp_path)) == ["circle", "mount", "thesis.doc"]


def test_a_store_of_a_later_format_is_not_touched(copy: tuple[Path, Run]) -> None:
    root, _ = copy
    (root / "store.json").write_text(as_text({"product": "groundbreak", "format": FORMAT + 1}))
    before = tree(root, ())
    with pytest.raises(
        InputProblems, match=rf"has format {FORMAT + 1}, and this .* knows format {FORMAT}: .* by a later version"
    ):
        open_store(root)
    (root / "store.json").write_text("{")
    with pytest.raises(InputProblems, match="says nothing of a store; if the folder is one, delete this file"):
        open_store(root)
    (root / "store.json").unlink()
    told: list[str] = []
    sweep(open_store(root, strict), TWO, 250, tell=told.append)
    assert len(told) == 1, "nothing was computed again"
    assert {k: v for k, v in tree(root, ()).items() if "locks" not in k} == {
        k: v for k, v in before.items() if "locks" not in k
    } | {"store.json": as_text({"product": "groundbreak", "format": FORMAT}).encode()}


def test_nothing_from_outside_becomes_a_path(copy: tuple[Path, Run]) -> None:
    root, run = copy
    store = open_store(root, strict)
    for bad in ("../x", "..", "", "/etc", "a/b", "G1", "a" * 17, "ab\n", "*", "AB"):
        for act in (store.run, store.remove, store.verify, store.duckdb, lambda id: store.export(id, root / "out")):
            with pytest.raises(InputProblems, match="is not the id of a run"):
                act(bad)  # type: ignore[operator]
        for use in (store.cell, store.log, store.timing, lambda id: store.read(id, run.parts, "headlines")):
            with pytest.raises(ValueError, match="is not an id"):
                use(bad)  # type: ignore[operator]
        with pytest.raises(ValueError, match="is not an id"), store.lock(bad):
            pass
    manifest = root / "runs" / run.id / "manifest.json"
    found = unsealed(manifest.read_text())
    found["asked"]["cells"][0]["cell"] = "../../../../etc/abcd"
    manifest.write_text(sealed(found))
    with pytest.raises(InputProblems, match="is damaged: a cell's key has 16 hexadecimal digits"):
        store.run(run.id)


def test_a_run_is_found_by_as_much_of_its_id_as_tells_it_from_others(store: Store) -> None:
    runs = [sweep(store, {"only": fake_cell(7)}, n, 0, tell=silent) for n in range(1, 20)]
    by_first: dict[str, list[Run]] = {}
    for run in runs:
        by_first.setdefault(run.id[0], []).append(run)
    assert any(len(same) > 1 for same in by_first.values())
    for first, same in by_first.items():
        if len(same) == 1:
            assert store.run(first) == same[0]
        else:
            with pytest.raises(InputProblems, match=f"begins {len(same)} ids: {min(run.id for run in same)}"):
                store.run(first)
    for run in runs:
        assert store.run(run.id[:8]) == run
    absent = next(c for c in "0123456789abcdef" if not any(run.id.startswith(c + c) for run in runs)) * 2
    with pytest.raises(InputProblems, match=f"{absent}: no run in .* begins so; there are "):
        store.run(absent)


# ------------------------------------------------------------------ writing


def test_a_payload_that_is_not_the_parts_is_refused_before_anything_is_written(store: Store) -> None:
    cell, part = fake_cell(), Part(0, 99)
    good = payload(cell, part)
    for bad, why in (
        ({"headlines": good["headlines"]}, "needs headlines, increments; the payload has headlines"),
        (good | {"logs": b""}, "the payload has headlines, increments, logs"),
        (good | {"../../x": b""}, "the payload has"),
        (payload(cell, Part(100, 199)), "a row of headlines for each of its replications"),
        (payload(cell, Part(0, 49)), "a row of headlines for each of its replications"),
    ):
        with pytest.raises(ValueError, match=why):
            store.write(cell, part, bad)
    with pytest.raises(pa.ArrowInvalid):
        store.write(cell, part, good | {"increments": b"PAR1 no"})
    for odd in (Part(50, 99), Part(0, 100), Part(100, 99), Part(0, 9, 11), Part(-100, -1)):
        with pytest.raises(ValueError, match="is no part"):
            store.write(cell, odd, good)
    assert not store.root.exists()


def test_two_answers_to_one_question_are_an_error_that_names_both(copy: tuple[Path, Run]) -> None:
    root, run = copy
    store, cell, part = open_store(root, strict), fake_cell(0), run.parts[1]
    before = tree(root)
    table = pq.read_table(pa.BufferReader(payload(cell, part)["increments"]))
    other = payload(cell, part) | {"increments": encoded(table.set_column(2, "value", pc.add(table["value"], 1.0)))}
    with pytest.raises(Disagreement) as caught:
        store.write(cell, part, other)
    digests = [json.loads((place(root, cell, part) / "part.json").read_text())["files"]["increments.parquet"]["sha256"]]
    digests.append(simulator.store.sha256(other["increments"]))
    assert all(digest in str(caught.value) for digest in digests) and "headlines" not in str(caught.value)
    store.write(cell, part, payload(cell, part))
    assert tree(root) == before

    shutil.rmtree(place(root, cell, part))
    store.write(cell, part, other)
    with pytest.raises(Disagreement, match=f"part 100-199 of cell {cell.key} was [0-9a-f]{{64}} and is [0-9a-f]{{64}}"):
        store.finish(run)
    [problem] = store.verify(run.id)
    assert "is whole, but not what this run was finished with" in str(problem)
    store.remove(run.id)
    assert sweep(store, TWO, 250, tell=silent) == run and tree(root) == before


def test_a_run_with_a_part_missing_is_not_finished(store: Store) -> None:
    cell, run = fake_cell(), Run.of({"a": fake_cell()}, 250)
    with pytest.raises(Incomplete, match=r"cell.json: is not there"):
        store.finish(run)
    for part in run.parts[:2]:
        store.write(cell, part, payload(cell, part))
    with pytest.raises(Incomplete, match="200-249: is not there"):
        store.finish(run)
    assert store.runs() == [] and store.missing(cell, run.parts) == run.parts[2:]
    store.write(cell, run.parts[2], payload(cell, run.parts[2]))
    store.finish(run)
    store.finish(run)
    assert store.runs() == [run]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs to know the names of open files")
def test_what_is_seen_is_on_the_disk_already(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file of a part, and the names in its folder, before the folder is moved to its place; then that move."""
    cell, part = fake_cell(), Part(0, 99, 1)
    done: list[tuple[str, str]] = []
    rename = os.rename
    monkeypatch.setattr(os, "fsync", lambda file: done.append(("safe", Path(os.readlink(f"/proc/self/fd/{file}")).name)))
    monkeypatch.setattr(os, "rename", lambda a, b: (done.append(("move", Path(b).name)), rename(a, b)))
    store.write(cell, part, payload(cell, part))
    files = {"headlines.parquet", "increments.parquet", "logs.parquet", "part.json"}
    move = done.index(("move", part.name))
    assert files < {name for act, name in done[:move] if act == "safe"} and done[move - 1][0] == "safe"
    assert done[move - 1][1] not in files and done[move + 1 :] == [("safe", "parts")]


def test_several_threads_may_write_the_same_parts(tmp_path: Path) -> None:
    """With a lock all would be done once; without one the bytes are the same all the same."""
    wanted, cells, failed = parts(500, 0), list(TWO.values()), []

    def work(store: Store, backwards: bool) -> None:
        try:
            for part in reversed(wanted) if backwards else wanted:
                for cell in cells:
                    store.write(cell, part, payload(cell, part))
        except BaseException as error:
            failed.append(error)

    shared = open_store(tmp_path / "store", strict)
    stores = [shared, shared, open_store(tmp_path / "store", strict), open_store(tmp_path / "store", strict)]
    threads = [threading.Thread(target=work, args=(store, i % 2 == 1)) for i, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert all(shared.missing(cell, wanted) == [] for cell in cells)
    assert not [path for path in (tmp_path / "store" / "tmp").rglob("*") if path.is_file() and path.suffix != ".lock"]


# ------------------------------------------------------------------ damage


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 + at % 255
    path.write_bytes(data)


def swap(path: Path, at: int) -> None:
    """The same file of another part: sound in itself, and foreign here."""
    others = [p for p in sorted(path.parents[1].glob(f"*/{path.name}")) if p != path]
    path.write_bytes(others[at % len(others)].read_bytes() if others else b"")


def replaced_by_a_link(path: Path, at: int) -> None:
    moved = path.with_name(".elsewhere")
    path.rename(moved)
    path.symlink_to(moved)


def replaced_by_a_folder(path: Path, at: int) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path, int], Any]] = {
    "a bit": flip,
    "truncated": lambda path, at: os.truncate(path, at % path.stat().st_size),
    "longer": lambda path, at: path.write_bytes(path.read_bytes() + bytes(at % 9 + 1)),
    "empty": lambda path, at: path.write_bytes(b""),
    "gone": lambda path, at: path.unlink(),
    "zeros": lambda path, at: path.write_bytes(bytes(path.stat().st_size)),
    "foreign": swap,
    "a link": replaced_by_a_link,
    "a folder": replaced_by_a_folder,
}


def damaged_and_put_right(original: Path, run: Run, kind: str, file: str, which: int, at: int) -> None:
    cell, part = fake_cell(0), run.parts[0 if file == "logs.parquet" else which]
    if kind == "foreign" and file == "logs.parquet":
        kind = "truncated"  # there is no other
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        shutil.copytree(original, root)
        DAMAGE[kind](place(root, cell, part) / file, at)
        told: list[str] = []
        store = open_store(root, told.append)
        [problem] = store.verify(run.id)
        assert problem.file == str(place(root, cell, part))
        assert store.missing(cell, run.parts) == [part]
        [said] = told
        assert str(place(root, cell, part)) in said and "set aside as aside/" in said and len(said.splitlines()) == 1
        with pytest.raises(Incomplete):
            store.finish(run)
        store.write(cell, part, payload(cell, part))
        store.finish(run)
        assert tree(root, ("locks", "tmp", "aside")) == tree(original) and len(told) == 1


ANY_DAMAGE = {
    "kind": st.sampled_from(sorted(DAMAGE)),
    "file": st.sampled_from(["headlines.parquet", "increments.parquet", "logs.parquet", "part.json"]),
    "which": st.integers(0, 2),
    "at": st.integers(0, 1 << 20),
}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**ANY_DAMAGE)
def test_any_damage_to_a_part_is_found_named_and_put_right(
    finished: tuple[Path, Run], kind: str, file: str, which: int, at: int
) -> None:
    damaged_and_put_right(*finished, kind, file, which, at)


@pytest.mark.long
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**ANY_DAMAGE)
def test_damage_a_thousand_times(finished: tuple[Path, Run], kind: str, file: str, which: int, at: int) -> None:
    damaged_and_put_right(*finished, kind, file, which, at)


def test_parts_from_elsewhere_are_found_out(copy: tuple[Path, Run]) -> None:
    root, run = copy
    one, two = TWO.values()
    before = tree(root)
    for spoil in (
        lambda at: (shutil.rmtree(at), shutil.copytree(place(root, two, run.parts[1]), at)),  # of another cell
        lambda at: (shutil.rmtree(at), shutil.copytree(place(root, one, run.parts[0]), at)),  # of another range
        lambda at: (shutil.rmtree(at), at.symlink_to(place(root, one, run.parts[2]))),
        lambda at: (shutil.rmtree(at), at.write_text("a file")),
        lambda at: (shutil.rmtree(at), at.mkdir(), (at / "notes.txt").write_text("mine")),
        lambda at: (at / "part.json").write_text("[" * 100_000),
        lambda at: (at / "part.json").write_text(sealed({"format": FORMAT + 1})),
    ):
        spoil(place(root, one, run.parts[1]))
        told: list[str] = []
        store = open_store(root, told.append)
        assert store.missing(one, run.parts) == [run.parts[1]] and len(told) == 1
        sweep(store, TWO, 250, tell=silent)
        assert tree(root, ("locks", "tmp", "aside")) == before
    assert (root / "aside" / f"{one.key}-100-199-4" / "notes.txt").read_text() == "mine", "what is not ours is kept"


def test_a_part_that_spoils_between_looking_and_writing_is_put_right(copy: tuple[Path, Run]) -> None:
    root, run = copy
    told: list[str] = []
    store, cell, before = open_store(root, told.append), fake_cell(0), tree(root)
    flip(place(root, cell, run.parts[0]) / "logs.parquet", 100)
    store.write(cell, run.parts[0], payload(cell, run.parts[0]))
    assert len(told) == 1 and tree(root, ("locks", "tmp", "aside")) == before


def test_a_damaged_description_or_manifest_is_found_and_written_again(copy: tuple[Path, Run]) -> None:
    root, run = copy
    before, cell = tree(root), fake_cell(0)
    about, manifest = root / "cells" / cell.key / "cell.json", root / "runs" / run.id / "manifest.json"
    for damage in (lambda p: flip(p, 77), lambda p: p.write_bytes(b""), lambda p: p.write_bytes(b"\xff\xfe"), os.unlink):
        damage(about)
        told: list[str] = []
        store = open_store(root, told.append)
        [problem] = store.verify(run.id)
        assert problem.file == str(about)
        with pytest.raises(Incomplete):
            store.finish(run)
        assert store.missing(cell, run.parts) == [] and len(told) == (damage is not os.unlink)
        store.finish(run)
        assert tree(root) == before
    for damage in (lambda p: flip(p, 77), lambda p: flip(p, -90), lambda p: p.write_bytes(b"{}"), lambda p: os.truncate(p, 100)):
        damage(manifest)
        told = []
        store = open_store(root, told.append)
        assert store.runs() == [] and len(told) == 1 and "is damaged" in told[0]
        with pytest.raises(InputProblems, match=r"manifest.json: is damaged"):
            store.verify(run.id)
        store.finish(run)
        assert tree(root) == before
    other = "0123456789abcdef"
    shutil.copytree(root / "runs" / run.id, root / "runs" / other)
    with pytest.raises(InputProblems, match=f"is that of run {run.id}"):
        open_store(root, strict).run(other)


def test_files_of_others_are_left_where_they_are(copy: tuple[Path, Run]) -> None:
    root, run = copy
    cell = fake_cell(0)
    mine = [root / "notes", root / "cells" / "notes", root / "cells" / cell.key / "notes", root / "runs" / "notes"]
    mine += [
        root / "runs" / run.id / "notes",
        place(root, cell, run.parts[1]) / "notes",
        place(root, cell, run.parts[1]).parent / "x",
    ]
    for path in mine:
        path.write_text("mine")
    told: list[str] = []
    store = open_store(root, told.append)
    assert store.runs() == [run] and store.verify(run.id) == [] and store.missing(cell, run.parts) == []
    store.remove(run.id)
    assert store.runs() == [] and "holds files that are not ours (notes)" in told[0] and len(told) == 1
    assert all(path.read_text() == "mine" for path in mine)
    assert not (root / "cells" / fake_cell(1).key).exists() and not place(root, cell, run.parts[0]).exists()


def test_verify_computes_again_and_compares(copy: tuple[Path, Run]) -> None:
    root, run = copy
    store = open_store(root, strict)
    seen: list[tuple[int, int]] = []
    assert store.verify(run.id, payload, lambda done, total: seen.append((done, total))) == []
    assert seen == [(i, 6) for i in range(1, 7)]

    def otherwise(cell: Cell, part: Part) -> dict[str, bytes]:
        return payload(cell, part) | ({"increments": b"other"} if part.first == 100 and cell == fake_cell(1) else {})

    [problem] = store.verify(run.id, otherwise)
    assert problem.file.endswith(f"{fake_cell(1).key}/parts/100-199/increments.parquet")
    assert re.fullmatch(r"is stored as [0-9a-f]{64}, and now comes out as [0-9a-f]{64}", problem.message)


# ------------------------------------------------------------------ removing


def test_removing_a_run_leaves_what_others_need(store: Store) -> None:
    short = sweep(store, TWO, 150, tell=silent)
    alone = tree(store.root)
    long = sweep(store, TWO | {"third": fake_cell(2)}, 250, tell=silent)
    with_both = sum(len(data) for name, data in tree(store.root).items() if "/parts/" in name)
    store.log(long.id, event="done")
    freed = store.remove(long.id[:10])
    assert tree(store.root) == alone and not (store.root / "runs" / long.id).exists()
    assert freed == with_both - store.size(short)
    assert store.verify(short.id) == [] and store.runs() == [short]
    with pytest.raises(InputProblems, match="no run in"):
        store.remove(long.id)
    store.remove(short.id)
    assert set(tree(store.root)) == {"store.json"}
    assert sweep(store, TWO, 150, tell=silent) == short and tree(store.root) == alone


def test_what_an_interrupted_run_left_is_kept_until_asked_to_go(store: Store) -> None:
    run = sweep(store, TWO, 150, tell=silent)
    cell = fake_cell(3)
    before = tree(store.root)
    store.write(cell, Part(0, 99), payload(cell, Part(0, 99)))
    store.write(fake_cell(0), Part(100, 199), payload(fake_cell(0), Part(100, 199)))
    store.log("ab" * 8, event="begun")
    assert store.missing(cell, [Part(0, 99)]) == []
    assert store.prune() > 0
    assert tree(store.root) == before and store.verify(run.id) == [] and not (store.root / "runs" / ("ab" * 8)).exists()
    assert store.prune() == 0


def test_nothing_is_removed_while_it_is_not_known_what_others_need(copy: tuple[Path, Run]) -> None:
    root, run = copy
    told: list[str] = []
    store = open_store(root, told.append)
    other = sweep(store, TWO, 150, tell=silent)
    manifest = root / "runs" / other.id / "manifest.json"
    flip(manifest, 50)
    before = tree(root)
    for act in (lambda: store.remove(run.id), store.prune):
        with pytest.raises(InputProblems, match=r"manifest.json: is damaged: .* nothing was removed: remove it first"):
            act()
        assert tree(root) == before
    store.remove(other.id)
    assert store.verify(run.id) == []
    store.prune()
    store.remove(run.id)
    assert set(tree(root)) == {"store.json"}


# ------------------------------------------------------------------ several processes


def started(root: Path, replications: int, logs: int = 2, delay: float = 0.0, *cells: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "fake_sweep.py"), str(root), str(replications), str(logs), str(delay)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    return subprocess.Popen([*command, *map(str, cells)], stdout=subprocess.PIPE, text=True, env=environment)


def said(process: subprocess.Popen[str]) -> list[str]:
    """The rest of what a process said; it must have ended well."""
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    return out.splitlines()


def killed_until_done(folder: Path, kills: int, seed: int, replications: int = 2000) -> None:
    """Kill writers at random moments until so many are dead; each tree that gets finished in between is compared."""
    chance = random.Random(seed)
    logs = 2
    expected_store = open_store(folder / "expected", strict)
    run = sweep(expected_store, TWO, replications, logs, tell=silent)
    expected = tree(folder / "expected")
    root, dead, trees = folder / "tree-0", 0, 0
    while dead < kills or trees == 0:
        store = open_store(root, strict)
        before = {(cell.key, part.name) for cell in TWO.values() for part in set(run.parts) - set(store.missing(cell, run.parts))}
        process = started(root, replications, logs)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        if dead < kills:
            try:
                process.wait(chance.uniform(0, 0.15))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        out, _ = process.communicate(timeout=120)
        lines = [line.split() for line in out.splitlines() if line.endswith("\n") or line]
        dead += process.returncode == -signal.SIGKILL
        assert process.returncode in (0, -signal.SIGKILL) and "warning" not in out
        # Whatever is visible is whole (a warning would fail), and what was said to be stored is there.
        there = {(cell.key, part.name) for cell in TWO.values() for part in set(run.parts) - set(store.missing(cell, run.parts))}
        stored = {(line[1], line[2]) for line in lines if line[0] == "stored" and len(line) == 3}
        computed = {(line[1], line[2]) for line in lines if line[0] == "computed" and len(line) == 3}
        assert before | stored <= there
        assert len(computed - there) <= 1, "more than the part in hand was lost"
        assert not computed & before, "something was computed twice"
        if process.returncode == 0:
            assert tree(root) == expected
            assert store.verify(run.id, payload if trees == 0 else None) == []
            # The first writer after a kill cleans up behind it, and the last one behind itself.
            assert os.listdir(root / "tmp") == []
            trees += 1
            root = folder / f"tree-{trees}"
        else:
            manifest = root / "runs" / run.id / "manifest.json"
            assert not manifest.exists() or manifest.read_bytes() == expected[f"runs/{run.id}/manifest.json"]


def test_a_writer_killed_at_any_moment_loses_one_part_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    killed_until_done(tmp_path, kills=5, seed=1)


@pytest.mark.long
def test_a_hundred_kills_at_random_moments(tmp_path: Path) -> None:
    killed_until_done(tmp_path, kills=120, seed=2)


STEPS = ("mkdir", "rename", "replace", "unlink", "rmdir", "fsync", "write")


def die_at(step: int) -> None:
    """From now on, this process ends without another word at its so-manieth change to the disk."""
    count = 0
    for name in STEPS:
        real = getattr(os, name)

        def counted(*args: Any, real: Any = real, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count > step:
                os._exit(9)
            return real(*args, **kwargs)

        setattr(os, name, counted)


def each_step(original: str, folder: str, act: str, id: str) -> None:
    """In a process of its own: try an act on a copy of a store again and again, dying one step later each time."""
    for step in range(10_000):
        root = Path(folder) / str(step)
        shutil.copytree(original, root)
        child = os.fork()
        if not child:
            die_at(step)
            store = open_store(root, strict)
            if act == "finish":
                store.finish(Run.read(json.loads((Path(folder) / "asked.json").read_text())))
            else:
                getattr(store, act)(*([id] if act == "remove" else []))
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            print(step + 1)
            return


@pytest.mark.parametrize("act", ["remove", "prune", "finish"])
def test_killed_at_each_step_of_an_act_the_store_is_sound(finished: tuple[Path, Run], tmp_path: Path, act: str) -> None:
    original, run = finished
    base = tmp_path / "base"
    shutil.copytree(original, base)
    store = open_store(base, strict)
    short = sweep(store, TWO, 50, 1, tell=silent)
    after_all = tree(base)
    if act == "finish":
        shutil.rmtree(base / "runs" / short.id)
    if act == "prune":
        store.write(fake_cell(5), Part(0, 99), payload(fake_cell(5), Part(0, 99)))
    folder = tmp_path / "steps"
    folder.mkdir()
    (folder / "asked.json").write_text(json.dumps(short.asked()))
    code = f"import test_store; test_store.each_step({str(base)!r}, {str(folder)!r}, {act!r}, {short.id!r})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    steps = int(done.stdout)
    assert steps > 5
    without = tree(original)
    for step in range(steps):
        root = folder / str(step)
        store = open_store(root, strict)
        assert run in store.runs() and store.verify(run.id) == [], step
        assert all(store.verify(r.id) == [] for r in store.runs())
        if act == "finish":
            store.finish(short)
        if act == "remove" and short in store.runs():
            store.remove(short.id)
        store.prune()
        assert tree(root) == (without if act == "remove" else after_all), step
        del store
        assert os.listdir(root / "tmp") == []


def test_two_processes_with_the_same_question_do_the_work_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "store"
    other = started(root, 1000, 0, 0.08)
    assert other.stdout is not None
    while "computed" not in other.stdout.readline():
        pass
    monkeypatch.setattr(simulator.store, "PATIENCE", 0.1)
    store = open_store(root, strict)
    told: list[str] = []
    run = sweep(store, TWO, 1000, 0, tell=told.append)
    waited = f"waiting another process (process {other.pid}) is working on the same question; waiting for it"
    assert told == [waited, f"finished {run.id}"]
    assert sum(line.startswith("computed") for line in said(other)) == 19, "all but the one already read"
    assert store.verify(run.id) == []


def test_two_processes_with_questions_that_overlap_agree(tmp_path: Path) -> None:
    root = tmp_path / "store"
    both = [started(root, 1500, 0, 0.0, 0, 1), started(root, 1550, 0, 0.0, 1, 2)]
    ids = [said(process)[-1].split()[1] for process in both]
    store = open_store(root, strict)
    assert {run.id for run in store.runs()} == set(ids) and len(set(ids)) == 2
    assert all(store.verify(id, payload) == [] for id in ids)


def test_parts_taken_away_under_the_feet_of_a_run_are_computed_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by somebody who deletes files: the run finds at its end that parts are missing, and is not listed with holes."""
    short = sweep(store, TWO, 200, 0, tell=silent)
    told: list[str] = []
    monkeypatch.setattr(Store, "_refuse_if_busy", lambda *about: None)

    def tell(text: str) -> None:
        if text.startswith("stored") and not any(line.startswith("stored") for line in told):
            open_store(store.root, strict).remove(short.id)
        told.append(text)

    run = sweep(store, TWO, 300, 0, tell=tell)
    computed = [line.split()[2] for line in told if line.startswith("computed")]
    assert sorted(computed) == sorted([*2 * ["0-99", "100-199", "200-299"], "200-299"]), "what was missing or taken away"
    assert store.runs() == [run] and store.verify(run.id, payload) == []


@pytest.mark.parametrize("by", ["id", "cell"])
def test_a_run_being_worked_on_is_not_removed_and_a_killed_worker_blocks_nobody(copy: tuple[Path, Run], by: str) -> None:
    root, run = copy
    other = sweep(open_store(root, strict), {"third": fake_cell(2)}, 5, tell=silent)
    code = (
        "import sys, time; from pathlib import Path; from simulator.store import open_store\n"
        "with open_store(Path(sys.argv[1])).lock(sys.argv[2], cells=sys.argv[3:]): print('held', flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    locked = [run.id] if by == "id" else ["0" * 16, "1" * 16, fake_cell(1).key]
    command = [sys.executable, "-c", code, str(root), *locked]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    store, before = open_store(root, strict), tree(root)
    for act, what in ((lambda: store.remove(run.id), "this"), (store.prune, "a")):
        with pytest.raises(
            InputProblems, match=rf"another process \(process {holder.pid}\) is working on {what} run; let it end"
        ):
            act()
    assert tree(root) == before
    store.remove(other.id)  # which is none of its business
    told: list[str] = []
    threading.Timer(1.5, holder.kill).start()
    with store.lock(locked[0], told.append):
        assert holder.wait() == -signal.SIGKILL
    assert told == [f"another process (process {holder.pid}) is working on the same question; waiting for it"]
    with store.lock(locked[0], strict):
        pass
    holder.stdout.close()
    store.remove(run.id)
    assert os.listdir(root / "locks") == ["store.lock"]


def test_what_another_live_process_has_not_finished_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "store"
    slow = open_store(root, strict)
    unfinished = slow._temporary()
    unfinished.mkdir()
    (root / "tmp" / "of-a-dead-process" / "1").mkdir(parents=True)
    (root / "tmp" / "dead-too.lock").touch()
    (root / "tmp" / "a-file-never-moved").touch()
    other = open_store(root, strict)
    sweep(other, TWO, 5, tell=silent)
    assert unfinished.is_dir()
    assert len(list((root / "tmp").iterdir())) == 4, "of each of the living its folder and its lock"
    del other
    shutil.rmtree(root / "tmp")  # by a tidy user
    sweep(slow, TWO, 150, tell=silent)
    assert len(slow.runs()) == 2


# ------------------------------------------------------------------ full, forbidden, read-only


@contextmanager
def disk_full_after(steps: int, code: int = errno.ENOSPC) -> Iterator[list[int]]:
    """Every change to the disk fails after so many. The list says how many were tried."""
    tried = [0]
    real = {name: getattr(os, name) for name in ("open", "write", "fsync", "mkdir", "rename", "replace")}

    def wrapped(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if name != "open" or args[1] & os.O_CREAT:
                tried[0] += 1
                if tried[0] > steps:
                    raise OSError(code, os.strerror(code))
            return real[name](*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in real:
            patch.setattr(os, name, wrapped(name))
        yield tried


@pytest.mark.parametrize(
    ("act", "codes"),
    [
        *((act, [errno.ENOSPC]) for act in ("first write", "another write", "finish", "remove", "prune")),
        ("another write", [errno.EDQUOT, errno.EACCES, errno.EIO]),
    ],
)
def test_a_disk_that_is_full_at_any_step_leaves_the_store_as_it_was(tmp_path: Path, act: str, codes: list[int]) -> None:
    cell, base = fake_cell(0), tmp_path / "base"
    cells = {"one": cell}
    run = Run.of(cells, 120)
    if act != "first write":
        store = open_store(base, strict)
        kept = sweep(store, cells, 100, tell=silent)
        if act != "another write":
            sweep(store, cells, 120, tell=silent)
        if act == "finish":
            shutil.rmtree(base / "runs" / run.id)
        if act == "prune":
            store.write(fake_cell(9), Part(0, 9), payload(fake_cell(9), Part(0, 9)))
    acts: dict[str, Callable[[Store], Any]] = {
        "first write": lambda store: store.write(cell, run.parts[0], payload(cell, run.parts[0])),
        "another write": lambda store: store.write(cell, run.parts[1], payload(cell, run.parts[1])),
        "finish": lambda store: store.finish(run),
        "remove": lambda store: store.remove(run.id),
        "prune": lambda store: store.prune(),
    }
    before: dict[str, bytes] = tree(base) if base.exists() else {}
    shutil.copytree(base, tmp_path / "after") if base.exists() else None
    acts[act](open_store(tmp_path / "after", strict))
    after = tree(tmp_path / "after")
    messages = {
        errno.ENOSPC: "the disk is full; make room, or name another folder. What is stored is whole",
        errno.EDQUOT: "the disk is full",
        errno.EACCES: "cannot be used: Permission denied; name another folder",
        errno.EIO: "cannot be used: Input/output error",
    }
    for steps in range(1000):
        code = codes[steps % len(codes)]
        root = tmp_path / str(steps)
        shutil.copytree(base, root) if base.exists() else None
        store = open_store(root, strict)
        with disk_full_after(steps, code) as tried:
            try:
                acts[act](store)
                failed = False
            except InputProblems as error:
                failed = True
                assert messages[code] in str(error) and len(error.problems) == 1 and error.problems[0].field == "--store"
        if tried[0] <= steps:
            assert not failed and tree(root) == after
            break
        now = tree(root)
        if act in ("remove", "prune"):
            assert set(after) <= set(now) <= set(before), "nothing new, and nothing lost that others need"
        else:
            new = {name for name in now if name not in before}
            assert new in ({*after} - {*before}, set()) or new <= {"store.json", f"cells/{cell.key}/cell.json"}, new
        assert all(after.get(name, before.get(name)) == data for name, data in now.items())
        again = open_store(root, strict)
        if act != "first write":
            assert again.verify(kept.id) == []
        if act != "remove" or run in again.runs():
            acts[act](again)
        else:
            again.prune()
        assert tree(root) == after
        del store, again
        shutil.rmtree(root)
    else:
        raise AssertionError("never got through")
    assert steps > 3


def test_a_timing_log_that_cannot_be_written_stops_nothing(copy: tuple[Path, Run]) -> None:
    root, run = copy
    told: list[str] = []
    store, before = open_store(root, told.append), tree(root)
    store.log(run.id, event="computed", replications=100, seconds=0.25)
    with disk_full_after(0):
        store.log(run.id, event="finished")
    assert len(told) == 1 and "timing.jsonl: cannot be written" in told[0]
    with open(root / "runs" / run.id / "timing.jsonl", "a") as file:
        file.write('{"event": "torn')
    [line] = store.timing(run.id)
    assert line["event"] == "computed" and line["seconds"] == 0.25 and line["at"].endswith("+00:00")
    assert tree(root) == before and store.verify(run.id) == []


def test_a_small_disk_fills_up_for_real(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    if os.name != "posix" or os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        store = open_store(disk, strict)
        with pytest.raises(InputProblems, match="the disk is full; make room"):
            sweep(store, TWO, 20_000, tell=silent)
        cell, wanted = fake_cell(0), parts(20_000)
        missing = store.missing(cell, wanted)
        assert 0 < len(missing) < len(wanted) and store.runs() == []
        assert store.read(cell.key, [part for part in wanted if part not in missing], "headlines")["replication"].to_pylist() == [
            r for part in wanted if part not in missing for r in range(part.first, part.last + 1)
        ]
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        told: list[str] = []
        run = sweep(open_store(disk, strict), {"scenario-0": cell}, 20_000, tell=told.append)
        assert sum(line.startswith("computed") for line in told) == len(missing)
        assert store.verify(run.id) == []
        del store
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@contextmanager
def without_rights(root: Path, unreadable: Path) -> Iterator[None]:
    """A folder that may be read and not written, and in it one that may not even be read; for the superuser, as somebody else."""
    import duckdb  # noqa: F401 (cannot be imported where somebody else may not read it)
    import filelock  # noqa: F401

    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    unreadable.chmod(0)
    superuser = os.geteuid() == 0
    try:
        if superuser:
            os.seteuid(65534)
        yield
    finally:
        if superuser:
            os.seteuid(0)
        unreadable.chmod(stat.S_IRWXU)
        for path in (root, *root.rglob("*")):
            path.chmod(stat.S_IRWXU)


def test_a_store_that_may_only_be_read_can_be_read_and_says_so(finished: tuple[Path, Run]) -> None:
    original, run = finished
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        root, cell, told = Path(folder) / "store", fake_cell(0), list[str]()
        shutil.copytree(original, root)
        short = sweep(open_store(root, strict), TWO, 50, tell=silent)
        made, fresh = payload(cell, Part(300, 399)), fake_cell(6)
        with without_rights(root, place(root, cell, run.parts[1])):
            store = open_store(root, told.append)
            assert {run.id} < {r.id for r in store.runs()}
            assert store.missing(cell, run.parts) == [run.parts[1]]
            assert len(told) == 1 and "Permission denied; it counts as missing" in told[0]
            assert store.missing(fresh, run.parts) == run.parts
            assert len(store.read(cell.key, run.parts[:1], "headlines")) == 100
            with pytest.raises(InputProblems, match="100-199: cannot be read: Permission denied"):
                store.read(cell.key, run.parts, "headlines")
            assert ["Permission denied" in str(problem) for problem in store.verify(run.id)] == [True]
            with pytest.raises(InputProblems, match=r"100-199/headlines.parquet: is not there; run the same question again"):
                store.duckdb()
            assert store.duckdb(short.id).execute("SELECT count(*) FROM headlines").fetchall() == [(100,)]
            for act in (
                lambda: store.write(cell, Part(300, 399), made),
                lambda: store.finish(run),
                lambda: store.remove(run.id),
                store.prune,
                lambda: store.lock(run.id).__enter__(),
                lambda: open_store(root / "runs" / "below").write(fresh, Part(300, 399), made),
            ):
                with pytest.raises(InputProblems, match="cannot be used: Permission denied; name another folder"):
                    act()
            store.log(run.id, event="done")
            assert len(told) == 2 and "cannot be written: Permission denied" in told[1]
        with without_rights(root, root), pytest.raises(InputProblems, match="cannot be opened: Permission denied"):
            open_store(root)


# ------------------------------------------------------------------ DuckDB, export


def test_one_query_over_all_runs(tmp_path: Path) -> None:
    """In a folder whose name is a pattern, a quotation and a wildcard at once, with a scenario that would like to be SQL."""
    store = open_store(tmp_path / "it's [odd] *? %", strict)
    evil = "x'); DROP TABLE runs; --"
    short = sweep(store, {"a": fake_cell(0), evil: fake_cell(1)}, 150, tell=silent)
    longer = Run.of({"a": fake_cell(0)}, 250, levers={"a": {"cap": 0.5, "on": (1, 2)}})
    for part in longer.parts[2:]:
        store.write(fake_cell(0), part, payload(fake_cell(0), part))
    store.write(fake_cell(0), Part(100, 199), payload(fake_cell(0), Part(100, 199)))
    orphan = fake_cell(8)
    store.write(orphan, Part(0, 99), payload(orphan, Part(0, 99)))
    store.finish(longer)
    wider = Cell(as_text({**json.loads(fake_cell(4).text), "version": "0.2.0"}))
    table = pq.read_table(pa.BufferReader(payload(wider, Part(0, 9))["headlines"]))
    table = table.append_column("new|all|2028", pa.array(range(10))).drop_columns(["usd|all|end"])
    store.write(wider, Part(0, 9), payload(wider, Part(0, 9)) | {"headlines": encoded(table)})
    new = Run.of({"b": wider}, 10, logs=0)
    store.finish(new)

    db = store.duckdb()
    counted = "SELECT run, scenario, seed, count(*) FROM {} GROUP BY ALL ORDER BY ALL"
    expected = sorted([(short.id, "a", 1, 150), (short.id, evil, 1, 150), (longer.id, "a", 1, 250), (new.id, "b", 1, 10)])
    assert db.execute(counted.format("headlines")).fetchall() == expected
    assert db.execute(counted.format("increments")).fetchall() == [(*row[:3], row[3] * 4) for row in expected]
    assert db.execute(counted.format("logs")).fetchall() == [(*row[:3], 100) for row in expected if row[0] != new.id]
    rows = db.execute(
        'SELECT replication, "mw|all|2028" FROM headlines WHERE run = ? AND scenario = ? ORDER BY 1', [short.id, evil]
    )
    assert rows.fetchall() == [(r, values(fake_cell(1).key, r)[0]) for r in range(150)]
    missing = 'SELECT count(*), count("usd|all|end"), count("new|all|2028") FROM headlines WHERE run = ?'
    assert db.execute(missing, [new.id]).fetchall() == [(10, 0, 10)]
    assert db.execute(missing, [longer.id]).fetchall() == [(250, 250 - len(range(3, 250, 7)), 0)]
    about = db.execute("SELECT scenario, replications, logs, reference, version, levers FROM runs WHERE run = ?", [longer.id])
    assert about.fetchall() == [("a", 250, 2, True, "0.1.0", '{"cap": 0.5, "on": [1, 2]}')]
    only = store.duckdb(longer.id[:9])
    assert only.execute("SELECT DISTINCT run FROM headlines UNION SELECT run FROM runs").fetchall() == [(longer.id,)]


def test_sql_reaches_the_views_and_nothing_else(copy: tuple[Path, Run], tmp_path: Path) -> None:
    import duckdb

    root, _ = copy
    before = tree(root, ())
    db = open_store(root, strict).duckdb()
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    hidden = pa.table({"a": [1]})
    for sql in (
        f"SELECT * FROM read_csv('{secret}')",
        f"SELECT * FROM '{secret}'",
        f"COPY headlines TO '{tmp_path / 'out.parquet'}'",
        f"ATTACH '{tmp_path / 'x.db'}'",
        "SET enable_external_access = true",
        "SET threads = 1",
        "INSTALL httpfs",
        "SELECT * FROM hidden",
        "INSERT INTO runs SELECT * FROM runs",
        "DELETE FROM headlines",
    ):
        with pytest.raises(duckdb.Error):
            db.execute(sql)
    assert len(hidden) == 1 and tree(root, ()) == before and sorted(os.listdir(tmp_path)) == ["secret.csv", "store"]
    assert db.execute("SELECT count(*) FROM headlines").fetchall() == [(500,)]


def test_an_empty_store_has_empty_views(tmp_path: Path) -> None:
    db = open_store(tmp_path / "store", strict).duckdb()
    for view in ("runs", "headlines", "increments", "logs"):
        assert db.execute(f"SELECT run, scenario, seed FROM {view}").fetchall() == []


def test_a_run_is_exported_whole_over_an_earlier_one_and_nothing_else(copy: tuple[Path, Run], tmp_path: Path) -> None:
    root, run = copy
    store, out = open_store(root, strict), tmp_path / "out"
    store.export(run.id[:6], out, {"summary.txt": "words\n", "scenarios/a.yaml": "name: a\n"})
    keys = [cell.key for cell in TWO.values()]
    names = ["headlines.parquet", "increments.parquet", "logs.parquet", "manifest.json", "scenarios/a.yaml", "summary.txt"]
    assert set(tree(out, ("-",))) == {*names, *(f"cells/{key}.json" for key in keys)}
    read = pq.read_table(out / "headlines.parquet")
    assert read.column_names == ["scenario", "seed", "replication", "mw|all|2028", "usd|all|end"]
    for name, key in zip(TWO, keys, strict=True):
        mine = read.filter(pc.field("scenario") == name).drop_columns(["scenario", "seed"])
        assert mine.equals(store.read(key, run.parts, "headlines"))
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["run_id"] == run.id and set(manifest["files"]) == set(tree(out, ("-",))) - {"manifest.json"}
    before = tree(out, ("-",))
    store.export(run.id, out, {"summary.txt": "words\n", "scenarios/a.yaml": "name: a\n"})
    assert tree(out, ("-",)) == before
    (out / "thesis.doc").write_text("years of work")
    with pytest.raises(InputProblems, match=r"holds files that are not results of ours and would be lost: thesis.doc"):
        store.export(run.id, out)
    (out / "thesis.doc").unlink()
    flip(place(root, fake_cell(1), run.parts[2]) / "increments.parquet", 40)
    with pytest.raises(InputProblems, match=r"increments.parquet was changed"):
        store.export(run.id, out)
    assert tree(out, ("-",)) == before, "what was exported before is still there"


# ------------------------------------------------------------------ anything, in any order


class Anything(RuleBasedStateMachine):
    """Runs begun, finished, damaged and removed in any order: what is listed is whole, what is not needed can go."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name) / "store"
        self.told: list[str] = []
        self.store = open_store(self.root, self.told.append)
        self.finished: dict[str, Run] = {}
        self.damaged: set[tuple[str, str]] = set()

    def teardown(self) -> None:
        del self.store
        self.folder.cleanup()

    @rule(which=st.sets(st.integers(0, 2), min_size=1), n=st.sampled_from([1, 100, 130, 200, 230]), logs=st.integers(0, 2))
    def finish(self, which: set[int], n: int, logs: int) -> None:
        cells = {f"s{i}": fake_cell(i) for i in sorted(which)}
        run = sweep(self.store, cells, n, logs, tell=silent)
        self.finished[run.id] = run
        self.damaged -= {(cell.key, part.name) for cell in cells.values() for part in run.parts}

    @rule(which=st.integers(0, 3), block=st.integers(0, 2))
    def interrupted(self, which: int, block: int) -> None:
        cell, part = fake_cell(which), Part(block * BLOCK, block * BLOCK + BLOCK - 1)
        self.store.write(cell, part, payload(cell, part))
        self.damaged.discard((cell.key, part.name))

    @precondition(lambda self: self.finished)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.finished)))
        self.store.remove(id)
        del self.finished[id]
        self.damaged = {(key, name) for key, name in self.damaged if (self.root / "cells" / key / "parts" / name).exists()}

    @rule()
    def prune(self) -> None:
        self.store.prune()
        needed = {(m.cell, part.name) for run in self.finished.values() for m in run.members for part in run.parts}
        there = {(path.parents[1].name, path.name) for path in self.root.glob("cells/*/parts/*")}
        assert there <= needed and needed - there <= self.damaged
        self.damaged &= needed
        assert {path.name for path in (self.root / "cells").glob("*")} == {key for key, _ in there}

    @precondition(lambda self: list(self.root.glob("cells/*/parts/*/*")))
    @rule(data=st.data(), kind=st.sampled_from(["a bit", "truncated", "gone"]), at=st.integers(0, 10_000))
    def damage(self, data: st.DataObject, kind: str, at: int) -> None:
        path = data.draw(st.sampled_from(sorted(self.root.glob("cells/*/parts/*/*"))))
        if kind == "gone" or path.stat().st_size:
            DAMAGE[kind](path, at)
            self.damaged.add((path.parents[2].name, path.parent.name))

    @rule()
    def reopen(self) -> None:
        self.store = open_store(self.root, self.told.append)

    @invariant()
    def what_is_listed_is_whole(self) -> None:
        assert {run.id: run for run in self.store.runs()} == self.finished
        for run in self.finished.values():
            needed = {(m.cell, part.name) for m in run.members for part in run.parts}
            wrong = {tuple(Path(problem.file).parts[i] for i in (-3, -1)) for problem in self.store.verify(run.id)}
            assert wrong == needed & self.damaged


Anything.TestCase.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
test_anything_in_any_order = Anything.TestCase

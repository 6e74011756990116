"""Where results live: addressed by what was asked, so that the same question is computed once, and written whole or not at all.

    store.json                                    that this folder is a store, and the format of what is in it
    cells/<key>/cell.json                         one scenario, seed and design; the key is the hash of this very file
    cells/<key>/parts/<first>-<last>[-logs-<k>]/  replications first to last, of the first k of them with their event logs:
                                                  a Parquet file for each table, and part.json with their digests
    runs/<id>/manifest.json                       what was asked (the id is its hash) and the digest of every part of the answer
    runs/<id>/timing.jsonl                        when, and how fast; in no digest
    locks/, tmp/, aside/                          who works on what; what is not finished; what was found damaged

Everything is made in tmp/ and renamed to its place, so a process killed at any moment leaves only whole things behind. What is
read is checked against its digest first: what is damaged counts as not there, and is computed again.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import shutil
import uuid
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.cells import BLOCK, FORMAT, HEADLINES, KEY, LOGS, PART, TABLES, Cell, Part, Run, as_text, sealed, sha256, unsealed
from simulator.problems import InputProblems, Problem, refuse, shown
from simulator.results import MANIFEST, PRODUCT, writing

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from filelock import FileLock
    from pyarrow.compute import Expression

ENVIRONMENT = "GROUNDBREAK_STORE"
PATIENCE = 1.0
"""Seconds of waiting for another process before it is mentioned."""
ATTEMPTS = 5
"""Times a finished part is moved to its place, should others tidy or remove there at the same moment."""
FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}

Say = Callable[[str], None]
Payload = Mapping[str, bytes]
"""Parquet file of each table, as bytes"""


class Incomplete(Exception):
    """A run cannot be finished because parts of it are not there. Compute what `Store.missing` names and finish again."""


class Disagreement(RuntimeError):
    """The same question had two answers: the store keeps the first. Names both digests."""


# ---- the store -------------------------------------------------------------------------------------------------------------


def open_store(path: Path | None = None, warn: Say | None = None) -> Store:
    """The store in a folder: that given, else GROUNDBREAK_STORE, else the user's data folder. Made when first written to.

    `warn` is told of what was found damaged. Raises InputProblems for a folder that holds something else, or a later format.
    """
    asked = path or os.environ.get(ENVIRONMENT)
    if asked:
        place = Path(asked).expanduser()
    else:
        from platformdirs import user_data_path

        place = user_data_path(PRODUCT, appauthor=False) / "store"
    try:
        store = Store(place.resolve(), warn or _as_warning)
        store.check()
    except (OSError, RuntimeError) as error:  # no permission, too long, links in a circle
        raise refuse(
            shown(str(place)), f"cannot be opened: {getattr(error, 'strerror', None) or error}", field="--store"
        ) from None
    return store


class _Flaw(ValueError):
    """Why a file of the store cannot be used."""


class Store:
    """Results on disk. Reading changes nothing. May be used by several processes at once."""

    def __init__(self, root: Path, warn: Say) -> None:
        self.root, self.warn = root, warn
        self._scratch: tuple[int, Path] | None = None
        self._count = itertools.count()

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    # ---- cells and parts

    def missing(self, cell: Cell, wanted: Iterable[Part]) -> list[Part]:
        """The parts that are not there, or are there and cannot be used: those are named to `warn` and set aside."""
        wanted = list(wanted)
        if not os.path.lexists(self.root / "cells" / cell.key):
            return wanted
        with suppress(InputProblems):  # a store that cannot be written to can still be read
            self._describe(cell)
        found = []
        for part in wanted:
            place = self._place(cell.key, part)
            if not os.path.lexists(place):
                found.append(part)
            elif flaw := self._flaw(cell.key, part, cell.tables):
                found.append(part)
                try:
                    self._set_aside(cell, part)
                except InputProblems:
                    self.warn(f"{place}: {flaw}; it counts as missing")
        return found

    def write(self, cell: Cell, part: Part, payload: Payload) -> None:
        """Store a part. Another process may write the same at the same time: both come to have the same bytes.

        Raises Disagreement if they have not, InputProblems if the folder cannot be written to or the disk is full, ValueError
        for a payload that is not this part's. Whatever is raised, the store is as it was.
        """
        described = _describe_part(cell, part, payload)
        files = {f"{table}.parquet": payload[table] for table in sorted(payload)} | {"part.json": described.encode()}
        with self._clear():
            self._describe(cell)
            folder = self._temporary()
            try:
                os.mkdir(folder)
                for name, data in files.items():
                    _put(folder / name, data)
                _sync(folder)
                for _ in range(ATTEMPTS):
                    if self._settled(folder, cell, part, described):
                        return
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        raise refuse(self._place(cell.key, part), "cannot be put in place: another process keeps changing it", field="--store")

    def _settled(self, folder: Path, cell: Cell, part: Part, described: str) -> bool:
        """Whether the part is in its place: moved there now, or written by another process before. False to try again."""
        place = self._place(cell.key, part)
        try:
            os.makedirs(place.parent, exist_ok=True)
            os.rename(folder, place)
        except OSError as error:
            if not os.path.lexists(place):
                if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                    raise
                self._describe(cell)  # the whole cell was removed under our feet
                return False
        else:
            _sync(place.parent)
            return True
        if self._flaw(cell.key, part, cell.tables):
            self._set_aside(cell, part)
            return False
        with suppress(FileNotFoundError):
            other = (place / "part.json").read_text(encoding="utf-8")
            if other != described:
                raise Disagreement(_differ(place, other, described))
            return True
        return False

    def each(
        self, cell: str, wanted: Iterable[Part], table: str, columns: Sequence[str] | None = None, where: Expression | None = None
    ) -> Iterator[pa.Table]:
        """A table of a cell, part by part in the order given, so in constant memory. Checked against the digests as it is read.

        `columns` and `where` (an expression of `pyarrow.compute`) leave out the rest. Raises InputProblems for what is not there.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        for part in wanted:
            if table == LOGS and not part.logs:
                continue
            place = self._place(cell, part)
            try:
                read = pq.ParquetFile(pa.BufferReader(self._data(cell, part, table))).read(
                    columns=None if columns is None or where is not None else list(columns)
                )
            except (_Flaw, OSError, pa.ArrowInvalid) as error:
                told = str(error) if isinstance(error, _Flaw) else _reason(error)
                raise refuse(place, f"{told}; run the same question again, and it is computed again") from None
            if where is not None:
                read = read.filter(where)
                read = read if columns is None else read.select(list(columns))
            yield read

    def read(
        self, cell: str, wanted: Iterable[Part], table: str, columns: Sequence[str] | None = None, where: Expression | None = None
    ) -> pa.Table:
        """A table of a cell over the parts given, in order of replication. Raises as `each`; ValueError if no part has it."""
        import pyarrow as pa

        found = list(self.each(cell, sorted(wanted), table, columns, where))
        if not found:
            raise ValueError(f"none of these parts has {table}")
        return pa.concat_tables(found)

    def cell(self, key: str) -> Cell:
        """The cell of a key, checked against it. Raises InputProblems if it is not there or not what its key says."""
        path = self.root / "cells" / _valid(key) / "cell.json"
        try:
            cell = Cell(path.read_text(encoding="utf-8"))
            if cell.key != key:
                raise _Flaw("is not what its key says")
            if cell.described["format"] != FORMAT or not set(cell.tables) <= set(TABLES):
                raise _Flaw("is of another format")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise refuse(path, _reason(error)) from None
        return cell

    # ---- runs

    def finish(self, run: Run) -> None:
        """Write the manifest: from now on the run is listed and its parts are kept. Finishing it again changes nothing.

        Raises Incomplete if a part is missing, Disagreement if the same run was finished before with other digests.
        """
        with self._clear(), self._alone():
            digests: dict[str, dict[str, str]] = {}
            for key in dict.fromkeys(member.cell for member in run.members):
                try:
                    cell = self.cell(key)
                except InputProblems as error:
                    raise Incomplete(str(error)) from None
                digests[key] = {}
                for part in run.parts:
                    if flaw := self._flaw(key, part, cell.tables, deep=False):
                        raise Incomplete(f"{self._place(key, part)}: {flaw}")
                    digests[key][part.name] = _sha(self._place(key, part) / "part.json")
            text = sealed(_listed(run, digests))
            place = self.root / "runs" / run.id
            manifest = place / MANIFEST
            if manifest.exists():
                if manifest.read_text(encoding="utf-8", errors="replace") == text:
                    return
                try:
                    _, before = self._manifest(run.id)
                except InputProblems as error:
                    self.warn(f"{error}; written again")
                else:
                    raise Disagreement(_two_answers(manifest, before, digests))
            os.makedirs(place, exist_ok=True)
            self._replace(manifest, text)

    def runs(self) -> list[Run]:
        """All finished runs, by id. Those whose manifest cannot be read are named to `warn`."""
        found = []
        for id in self._ids():
            try:
                found.append(self._manifest(id)[0])
            except InputProblems as error:
                self.warn(str(error))
        return found

    def run(self, prefix: str) -> Run:
        """The finished run of an id or of its beginning. Raises InputProblems if there is none, or more than one."""
        return self._manifest(self._id(prefix))[0]

    def size(self, run: Run) -> int:
        """Bytes of the parts of a run; other runs may share them."""
        places = (self._place(cell, part) for cell in {member.cell for member in run.members} for part in run.parts)
        return sum(_weight(place) for place in places if os.path.isdir(place))

    def remove(self, prefix: str) -> int:
        """Remove a run, and the parts of its cells that no other run needs. The bytes that became free.

        Raises InputProblems, with nothing removed, while another process works on the run or if the manifest of another run
        cannot be read, as nobody then knows what it needs.
        """
        id = self._id(prefix)
        with self._clear(), self._alone():
            try:
                cells = {member.cell for member in self._manifest(id)[0].members}
            except InputProblems:
                cells = set()  # what it had is known no more; `prune` finds it
            self._refuse_if_busy(lambda name, held: name == f"run-{id}" or bool(held & cells), "this run")
            needed = self._needed(but=id)
            # First the run disappears, then what it had: killed in between, parts are left that belong to no run.
            trash = list[Path]()
            self._forget(self.root / "runs" / id, trash)
            freed = sum(self._clear_cell(key, needed.get(key, set()), trash) for key in sorted(cells))
            _empty(trash)
            return freed

    def prune(self) -> int:
        """Remove what belongs to no finished run: parts of interrupted runs, and what was set aside. The bytes that became free.

        Raises InputProblems, with nothing removed, while another process works on a run.
        """
        with self._clear(), self._alone():
            self._refuse_if_busy(lambda name, held: True, "a run")
            needed = self._needed()
            trash: list[Path] = []
            cells = [name for name in _names(self.root / "cells") if KEY.fullmatch(name)]
            freed = sum(self._clear_cell(key, needed.get(key, set()), trash) for key in cells)
            runs = (self.root / "runs" / name for name in _names(self.root / "runs") if KEY.fullmatch(name))
            for run in runs:
                if not (run / MANIFEST).exists():
                    self._forget(run, trash)
            for place in (self.root / "aside" / name for name in _names(self.root / "aside")):
                freed += _weight(place)
                trash.append(self._to_trash(place))
            _empty(trash)
            return freed

    def verify(
        self,
        prefix: str,
        recompute: Callable[[Cell, Part], Payload] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Problem]:
        """What is wrong with a run: every file against its digest and, if `recompute` is given, against a fresh computation.

        Empty if all is as it was written. Changes nothing. Raises InputProblems if the run is not there or its manifest damaged.
        """
        run, digests = self._manifest(self._id(prefix))
        keys = list(dict.fromkeys(member.cell for member in run.members))
        problems = []
        done, total = itertools.count(1), len(keys) * len(run.parts)
        for key in keys:
            try:
                cell = self.cell(key)
            except InputProblems as error:
                problems += error.problems
                continue
            for part in run.parts:
                place = self._place(key, part)
                flaw = self._flaw(key, part, cell.tables)
                if not flaw and _sha(place / "part.json") != digests[key][part.name]:
                    flaw = "is whole, but not what this run was finished with"
                if flaw:
                    problems.append(Problem(str(place), 0, "", flaw))
                elif recompute:
                    again = recompute(cell, part)
                    for table in cell.tables_of(part):
                        before, now = sha256(self._data(key, part, table)), sha256(again.get(table, b""))
                        if before != now:
                            message = f"is stored as {before}, and now comes out as {now}"
                            problems.append(Problem(str(place / f"{table}.parquet"), 0, "", message))
                if progress:
                    progress(next(done), total)
        return problems

    def export(self, prefix: str, out: Path, extra: Mapping[str, str] | None = None) -> None:
        """Write a run to a folder for others: a Parquet file a table over all scenarios, the cells, the manifest.

        `extra` are further files, name to text. Constant memory. Raises InputProblems as `simulator.results.writing`.
        """
        run, digests = self._manifest(self._id(prefix))
        with writing(out) as folder:
            try:
                for table in TABLES:
                    self._export_table(run, table, folder / f"{table}.parquet")
                texts = {f"cells/{key}.json": self.cell(key).text for key in digests} | dict(extra or {})
                for name, text in texts.items():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_text(text, encoding="utf-8")
                files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
                (folder / MANIFEST).write_text(sealed({**_listed(run, digests), "files": files}), encoding="utf-8")
            except OSError as error:
                raise _refusal(out, error, "--out") from None

    def _export_table(self, run: Run, table: str, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        having = [member for member in run.members if table in self.cell(member.cell).tables_of(run.parts[0])]
        if not having:
            return
        first = [next(self.each(member.cell, run.parts, table)).schema for member in having]
        common = pa.unify_schemas(first, promote_options="permissive")
        schema = pa.schema([("scenario", pa.string()), ("seed", pa.int64()), *common])
        with open(path, "wb") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for member in having:
                for read in self.each(member.cell, run.parts, table):
                    rows = len(read)
                    held = {name: read[name] for name in read.column_names}
                    held |= {"scenario": pa.repeat(member.name, rows), "seed": pa.repeat(member.seed, rows)}
                    columns = [held.get(column.name, pa.nulls(rows, column.type)) for column in schema]
                    writer.write_table(pa.table(columns, names=schema.names).cast(schema))

    def duckdb(self, *prefixes: str) -> duckdb.DuckDBPyConnection:
        """A connection with the views `runs` and, of each table, its rows over finished runs (all, or those named).

        Rows begin with run, scenario, seed and cell. SQL reaches these views and nothing else: no file, no network, no settings.
        Raises InputProblems if files are missing, as sums over the rest would be wrong; digests are for `verify` to check.
        """
        import duckdb
        import pyarrow as pa

        runs = [self.run(prefix) for prefix in prefixes] or self.runs()
        rows: list[dict[str, Any]] = [
            {
                "run": run.id, "scenario": m.name, "seed": m.seed, "cell": m.cell, "reference": m.name == run.reference,
                "replications": run.replications, "logs": run.logs, "version": run.version,
                "design": json.dumps(dict(run.design), sort_keys=True), "levers": json.dumps(dict(m.levers), sort_keys=True),
            }
            for run in runs for m in run.members
        ]  # fmt: skip
        words, whole = pa.string(), pa.int64()
        about = {"run": words, "scenario": words, "seed": whole, "cell": words}
        more = {"reference": pa.bool_(), "replications": whole, "logs": whole, "version": words, "design": words, "levers": words}
        parts = {run.id: run.parts for run in runs}
        holds = [{**row, "part": part.name} for row in rows for part in parts[row["run"]]]
        files = self._files({(row["cell"], part) for row in rows for part in parts[row["run"]]})

        connection = duckdb.connect(":memory:")
        connection.register("runs", pa.Table.from_pylist(rows, pa.schema([*about.items(), *more.items()])))
        connection.register("_holds", pa.Table.from_pylist(holds, pa.schema([*about.items(), ("part", words)])))
        for table in TABLES:
            connection.register(f"_{table}", self._rows(files[table]))
            # The names in this text are our own; what the store holds is data of the registered tables.
            view = f"SELECT h.run, h.scenario, h.seed, t.* EXCLUDE (part) FROM _{table} t JOIN _holds h USING (cell, part)"
            connection.execute(f"CREATE VIEW {table} AS {view}")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return connection

    def _files(self, held: Iterable[tuple[str, Part]]) -> dict[str, list[tuple[str, Part, Path]]]:
        """Files of parts, by table. Raises InputProblems for those that are not there."""
        wanted = sorted(held)
        cells = {key: self.cell(key) for key in {key for key, _ in wanted}}
        files = {
            table: [
                (key, part, self._place(key, part) / f"{table}.parquet")
                for key, part in wanted
                if table in cells[key].tables_of(part)
            ]
            for table in TABLES
        }
        if lost := [path for found in files.values() for _, _, path in found if not os.path.isfile(path)]:
            raise InputProblems(Problem(str(path), 0, "", "is not there; run the same question again") for path in lost)
        return files

    def _rows(self, files: Sequence[tuple[str, Part, Path]]) -> Any:
        """Files of one table as one, with the columns of all and, before them, `cell` and `part`. Read when it is asked."""
        import pyarrow as pa
        import pyarrow.dataset as ds
        import pyarrow.fs
        import pyarrow.parquet as pq

        first = {key: path for key, _, path in reversed(files)}  # a cell's parts are alike
        try:
            schemas = [pq.read_schema(path) for path in first.values()] or [pa.schema([("replication", pa.int32())])]
        except (OSError, pa.ArrowInvalid) as error:
            raise refuse(self.root, f"a part cannot be read ({_reason(error)}); `verify` names it") from None
        common = pa.unify_schemas(schemas, promote_options="permissive")
        schema = pa.schema([("cell", pa.string()), ("part", pa.string()), *common])
        if not files:
            return schema.empty_table()
        return ds.FileSystemDataset.from_paths(
            [str(path) for _, _, path in files],
            schema=schema,
            format=ds.ParquetFileFormat(),
            filesystem=pyarrow.fs.LocalFileSystem(),
            partitions=[(ds.field("cell") == key) & (ds.field("part") == part.name) for key, part, _ in files],
        )

    def log(self, id: str, **facts: Any) -> None:
        """Add a line to a run's timing log, with the time of day. A log that cannot be written is only mentioned."""
        line = json.dumps({"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts}, sort_keys=True) + "\n"
        place = self.root / "runs" / _valid(id)
        try:
            self._found()
            os.makedirs(place, exist_ok=True)
            file = os.open(place / "timing.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                os.write(file, line.encode())
            finally:
                os.close(file)
        except (OSError, InputProblems) as error:
            self.warn(f"{place / 'timing.jsonl'}: cannot be written: {getattr(error, 'strerror', None) or error}")

    def timing(self, id: str) -> list[dict[str, Any]]:
        """The lines of a run's timing log; one torn by a kill is left out."""
        found = []
        with suppress(OSError):
            for line in (self.root / "runs" / _valid(id) / "timing.jsonl").read_text("utf-8", "replace").splitlines():
                with suppress(ValueError):
                    found.append(json.loads(line))
        return found

    # ---- locks, and what is not finished

    @contextmanager
    def lock(self, id: str, say: Say | None = None, cells: Iterable[str] = ()) -> Iterator[None]:
        """Work on a question alone. Waits for another process that does; `say` is told why. A killed one blocks nobody.

        `id` is that of a run, or any of its kind on which all who ask the same agree. No run with one of the `cells` is removed.
        """
        with self._held(f"run-{_valid(id)}", "is working on the same question", say, cells):
            yield

    @contextmanager
    def _held(self, name: str, why: str, say: Say | None = None, cells: Iterable[str] = ()) -> Iterator[None]:
        from filelock import Timeout

        self._found()
        path = self.root / "locks" / f"{name}.lock"
        lock = _lock(path, on_acquired=partial(_sign, text="\n".join([f"process {os.getpid()}", *cells])))
        with self._clear():
            os.makedirs(path.parent, exist_ok=True)
            try:
                lock.acquire(timeout=PATIENCE)
            except Timeout:
                (say or self.warn)(f"another process ({_signed(path)[0]}) {why}; waiting for it")
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _refuse_if_busy(self, concerns: Callable[[str, set[str]], bool], what: str) -> None:
        """Raise InputProblems if another process works on something that concerns us. Locks that nobody holds are removed."""
        from filelock import Timeout

        for path in sorted((self.root / "locks").glob("run-*.lock")):
            lock = _lock(path)
            try:
                with lock.acquire(timeout=0):
                    path.unlink()
            except Timeout:
                who, *cells = _signed(path)
                if concerns(path.stem, set(cells)):
                    message = f"another process ({who}) is working on {what}; let it end, or stop it, and try again"
                    raise refuse(self.root, message, field="--store") from None

    def _found(self) -> None:
        """Make the folder a store, if it is none yet. Raises InputProblems if it cannot be made."""
        if os.path.exists(self.root / "store.json"):
            return
        with self._clear():
            os.makedirs(self.root, exist_ok=True)
            self.check()
            made = self.root / "tmp" / uuid.uuid4().hex
            for attempt in range(ATTEMPTS):
                os.makedirs(made.parent, exist_ok=True)
                try:
                    _put(made, as_text({"product": PRODUCT, "format": FORMAT}).encode())
                    return os.replace(made, self.root / "store.json")
                except FileNotFoundError:  # tidied away by another process
                    if attempt == ATTEMPTS - 1:
                        raise
                finally:
                    with suppress(OSError):
                        made.unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else finishes or removes anything meanwhile."""
        self._temporary()  # which asks for the same lock the first time
        with self._held("store", "is finishing or removing a run"):
            yield

    def check(self) -> None:
        """Raise InputProblems if the folder is something else than a store of this format; a folder not yet there will do."""
        root, about = self.root, self.root / "store.json"
        if root.exists() and not root.is_dir():
            raise refuse(root, "is a file; name a folder for the store", field="--store")
        if about.exists():
            try:
                found = json.loads(about.read_text(encoding="utf-8"))
                ours, format = found["product"] == PRODUCT, found["format"]
            except (ValueError, KeyError, TypeError):
                ours, format = False, 0
            if not ours:
                raise refuse(about, "says nothing of a store; if the folder is one, delete this file", field="--store")
            if format != FORMAT:
                which = "a later" if isinstance(format, int) and format > FORMAT else "another"
                message = (
                    f"this store has format {shown(format)}, and this version of {PRODUCT} knows format {FORMAT}: it was written"
                )
                raise refuse(root, f"{message} by {which} version; use that, or name another folder", field="--store")
        elif root.is_dir():
            ours_too = {"cells", "runs", "locks", "tmp", "aside", "lost+found"}
            if foreign := [name for name in _names(root) if name not in ours_too and not name.startswith(".")]:
                held = ", ".join(foreign[:3]) + (" and others" if len(foreign) > 3 else "")
                raise refuse(
                    root, f"is not a store and holds other files: {held}; name an empty or a new folder", field="--store"
                )

    def _temporary(self) -> Path:
        """A path in this process's own folder under tmp/. The first time, folders of processes that are gone are removed."""
        if self._scratch is None or self._scratch[0] != os.getpid() or not self._scratch[1].is_dir():
            from filelock import Timeout

            with self._held("store", "is finishing or removing a run"):
                tmp = self.root / "tmp"
                os.makedirs(tmp, exist_ok=True)
                for name in {name.removesuffix(".lock") for name in _names(tmp)}:
                    lock = _lock(tmp / f"{name}.lock")
                    with suppress(Timeout):
                        lock.acquire(timeout=0)
                        _leave(tmp / name, lock)
                scratch = tmp / uuid.uuid4().hex
                own = _lock(Path(f"{scratch}.lock"), thread_local=False)
                own.acquire(timeout=0)
                os.mkdir(scratch)
            self._scratch = os.getpid(), scratch
            weakref.finalize(self, _leave, scratch, own, os.getpid())
        return self._scratch[1] / str(next(self._count))

    @contextmanager
    def _clear(self) -> Iterator[None]:
        """A failure of the file system in words."""
        try:
            yield
        except OSError as error:
            raise _refusal(self.root, error, "--store") from None

    def _replace(self, path: Path, text: str) -> None:
        """Put a small file in its place, whole."""
        made = self._temporary()
        try:
            _put(made, text.encode())
            os.replace(made, path)
            _sync(path.parent)
        finally:
            with suppress(OSError):
                made.unlink(missing_ok=True)

    # ---- what is on disk

    def _place(self, key: str, part: Part) -> Path:
        return self.root / "cells" / _valid(key) / "parts" / part.name

    def _describe(self, cell: Cell) -> None:
        """See to it that cell.json is there and right."""
        path = self.root / "cells" / cell.key / "cell.json"
        try:
            if path.read_text(encoding="utf-8", errors="replace") == cell.text:
                return
            self.warn(f"{path}: is not what its key says; to be written again")
        except FileNotFoundError:
            pass
        except OSError as error:
            self.warn(f"{path}: {_reason(error)}; to be written again")
        with self._clear():
            self._found()
            for attempt in range(ATTEMPTS):
                os.makedirs(path.parent, exist_ok=True)
                try:
                    return self._replace(path, cell.text)
                except FileNotFoundError:  # removed under our feet
                    if attempt == ATTEMPTS - 1:
                        raise

    def _flaw(self, key: str, part: Part, tables: Sequence[str], deep: bool = True) -> str:
        """Why a part cannot be used; empty if it can. Not `deep`: without reading the tables."""
        try:
            about = self._about(key, part)
            expected = {f"{table}.parquet" for table in (*tables, *((LOGS,) if part.logs else ()))}
            if set(about["files"]) != expected:
                return f"holds {', '.join(sorted(about['files'])) or 'no table'}, not {', '.join(sorted(expected))}"
            for name, said in about["files"].items():
                if deep:
                    self._data(key, part, name.removesuffix(".parquet"), about)
                elif (place := self._place(key, part) / name).stat().st_size != said["bytes"]:
                    return f"{name} has {place.stat().st_size:,} bytes, not {said['bytes']:,}"
        except _Flaw as flaw:
            return str(flaw)
        except OSError as error:
            return _reason(error)
        return ""

    def _about(self, key: str, part: Part) -> dict[str, Any]:
        """A part's own account of itself, as far as it can be right. Raises _Flaw or OSError."""
        place = self._place(key, part)
        if place.is_symlink() or not place.is_dir():
            raise _Flaw("is not there" if not os.path.lexists(place) else "is not a folder of this store")
        path = place / "part.json"
        if path.is_symlink() or not path.is_file():
            raise _Flaw("has no part.json")
        try:
            about = unsealed(path.read_text(encoding="utf-8", errors="replace"))
        except ValueError as error:
            raise _Flaw(f"its part.json {error}") from None
        if about.get("format") != FORMAT:
            raise _Flaw(f"has format {shown(about.get('format'))}, not {FORMAT}")
        if (about["cell"], about["first"], about["last"], about["logs"]) != (key, *part):
            raise _Flaw(f"is {about['first']}-{about['last']} of cell {about['cell']}, which does not belong here")
        return about

    def _data(self, key: str, part: Part, table: str, about: Mapping[str, Any] | None = None) -> bytes:
        """Bytes of a table, just as they were written. Raises _Flaw or OSError."""
        name = f"{table}.parquet"
        files = (about or self._about(key, part))["files"]
        if name not in files:
            raise _Flaw(f"has no {table}")
        path = self._place(key, part) / name
        if path.is_symlink() or not path.is_file():
            raise _Flaw(f"{name} is not there" if not os.path.lexists(path) else f"{name} is not a file of this store")
        data = path.read_bytes()
        if len(data) != files[name]["bytes"]:
            raise _Flaw(f"{name} has {len(data):,} bytes, not {shown(files[name]['bytes'])}")
        if sha256(data) != files[name]["sha256"]:
            raise _Flaw(f"{name} was changed: its digest is not that of part.json")
        return data

    def _set_aside(self, cell: Cell, part: Part) -> None:
        """Move what cannot be used out of the way, unless another process has already put it right. Raises InputProblems."""
        place = self._place(cell.key, part)
        with self._clear(), self._held("store", "is finishing or removing a run"):
            if not os.path.lexists(place) or not (why := self._flaw(cell.key, part, cell.tables)):
                return
            os.makedirs(self.root / "aside", exist_ok=True)
            aside = (self.root / "aside" / f"{cell.key}-{part.name}-{n}" for n in itertools.count())
            target = next(path for path in aside if not os.path.lexists(path))
            os.rename(place, target)
        self.warn(f"{place}: {why}; set aside as {target.relative_to(self.root)}, and to be computed again")

    def _manifest(self, id: str) -> tuple[Run, dict[str, dict[str, str]]]:
        """A finished run and the digests of its parts. Raises InputProblems if its manifest is not what its id says."""
        path = self.root / "runs" / _valid(id) / MANIFEST
        try:
            found = unsealed(path.read_text(encoding="utf-8", errors="replace"))
            run = Run.read(found["asked"])
            digests: dict[str, dict[str, str]] = found["parts"]
        except OSError as error:
            raise refuse(path, _reason(error)) from None
        except (ValueError, KeyError, TypeError) as error:
            raise refuse(path, f"is damaged: {error if isinstance(error, ValueError) else 'it is not a manifest'}") from None
        if run.id != id:
            raise refuse(path, f"is that of run {run.id}")
        return run, digests

    def _ids(self) -> list[str]:
        runs = self.root / "runs"
        with self._clear():
            return [name for name in _names(runs) if KEY.fullmatch(name) and (runs / name / MANIFEST).exists()]

    def _id(self, prefix: str) -> str:
        """The id that begins so. Nothing else becomes part of a path."""
        if not re.fullmatch(r"[0-9a-f]{1,16}", prefix):
            raise refuse(shown(prefix), "is not the id of a run: 16 hexadecimal digits, or as many as tell it from others")
        ids = self._ids()
        found = [id for id in ids if id.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        if found:
            raise refuse(
                prefix, f"begins {len(found)} ids: {', '.join(found[:5])}{' ...' if len(found) > 5 else ''}; say more of it"
            )
        known = f"there are {', '.join(ids[:5])}{' ...' if len(ids) > 5 else ''}" if ids else "the store is empty"
        raise refuse(prefix, f"no run in {self.root} begins so; {known}")

    def _needed(self, but: str = "") -> dict[str, set[str]]:
        """Key of a cell -> the parts that finished runs need, but for one. Raises InputProblems for a damaged manifest."""
        needed: dict[str, set[str]] = {}
        for id in self._ids():
            if id != but:
                try:
                    run = self._manifest(id)[0]
                except InputProblems as error:
                    told = "; so it is not known what that run needs, and nothing was removed: remove it first"
                    raise InputProblems(Problem(p.file, p.line, p.field, p.message + told) for p in error.problems) from None
                for member in run.members:
                    needed.setdefault(member.cell, set()).update(part.name for part in run.parts)
        return needed

    def _clear_cell(self, key: str, needed: set[str], trash: list[Path]) -> int:
        """Move parts of a cell that are not needed to the trash, and the cell if nothing is left. Bytes moved. Only what is ours."""
        cell = self.root / "cells" / key
        freed = 0
        for name in _names(cell / "parts"):
            place = cell / "parts" / name
            if not PART.fullmatch(name) or name in needed or place.is_symlink():
                continue
            if strange := set(_names(place)) - {"part.json", *(f"{table}.parquet" for table in TABLES)}:
                self.warn(f"{place}: holds files that are not ours ({', '.join(sorted(strange)[:3])}); left as it is")
                continue
            freed += _weight(place)
            trash.append(self._to_trash(place))
        if not _names(cell / "parts") and set(_names(cell)) <= {"parts", "cell.json"} and cell.exists():
            trash.append(self._to_trash(cell))
        return freed

    def _forget(self, run: Path, trash: list[Path]) -> None:
        """Take from a run's folder what is ours, the manifest first, and the folder if nothing else is in it."""
        ours = (run / name for name in (MANIFEST, "timing.jsonl") if os.path.lexists(run / name))
        trash.extend(self._to_trash(path) for path in ours)
        with suppress(OSError):
            os.rmdir(run)

    def _to_trash(self, place: Path) -> Path:
        target = self._temporary()
        os.rename(place, target)
        return target


# ---- small things ----------------------------------------------------------------------------------------------------------


def _describe_part(cell: Cell, part: Part, payload: Payload) -> str:
    """part.json of a payload. Raises ValueError if it is not that of the part."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    size = part.last - part.first + 1
    if part.first < 0 or part.first % BLOCK or not 0 < size <= BLOCK or not 0 <= part.logs <= size:
        raise ValueError(f"{part.name} is no part: parts begin at multiples of {BLOCK}")
    if set(payload) != set(cell.tables_of(part)):
        raise ValueError(f"part {part.name} needs {', '.join(cell.tables_of(part))}; the payload has {', '.join(payload)}")
    files = {}
    for table, data in sorted(payload.items()):
        file = pq.ParquetFile(pa.BufferReader(data))
        if table == HEADLINES:
            held = file.read(columns=["replication"])["replication"].to_pylist()
            if held != list(range(part.first, part.last + 1)):
                raise ValueError(f"part {part.name} needs a row of headlines for each of its replications, in their order")
        files[f"{table}.parquet"] = {"bytes": len(data), "rows": file.metadata.num_rows, "sha256": sha256(data)}
    about = {"format": FORMAT, "cell": cell.key, "first": part.first, "last": part.last, "logs": part.logs, "files": files}
    return sealed(about)


def _sha(path: Path) -> str:
    return sha256(path.read_bytes())


def _valid(key: str) -> str:
    if not KEY.fullmatch(key):
        raise ValueError(f"{shown(key)} is not an id: 16 hexadecimal digits")
    return key


def _listed(run: Run, digests: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """A run's manifest."""
    return {"format": FORMAT, "product": PRODUCT, "run_id": run.id, "asked": run.asked(), "parts": digests}


def _names(folder: Path) -> list[str]:
    """What a folder holds, sorted; nothing if it is not there."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _weight(place: Path) -> int:
    """Bytes of a file, or of the files in a folder."""
    files = (path for path in place.rglob("*") if path.is_file() and not path.is_symlink()) if place.is_dir() else (place,)
    return sum(path.lstat().st_size for path in files)


def _empty(trash: Iterable[Path]) -> None:
    for place in trash:
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink()


def _put(path: Path, data: bytes) -> None:
    """A new file, safe on the disk when this returns."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    finally:
        os.close(file)


def _sync(folder: Path) -> None:
    """Names in a folder, safe on the disk. Systems that cannot do it for folders do it by themselves."""
    if os.name == "nt":
        return
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(file)


def _leave(scratch: Path, lock: FileLock, owner: int | None = None) -> None:
    """Remove a folder under tmp/ and its lock, which is held. In a forked child, what its parent owns stays."""
    if owner in (None, os.getpid()):
        if scratch.is_dir():
            shutil.rmtree(scratch, ignore_errors=True)
        for path in (scratch, lock.lock_file):
            with suppress(OSError):
                os.unlink(path)
        lock.release()


def _lock(path: Path, **options: Any) -> FileLock:
    """A lock of the operating system, which lets go of it when its holder dies. (Without it, a file would be left behind.)"""
    from filelock import FileLock

    return FileLock(path, fallback_to_soft=False, **options)


def _sign(file: int, text: str) -> None:
    """Write into a lock who holds it and for which cells, for those who wait. Nothing depends on it, so the disk may be full."""
    with suppress(OSError):
        os.ftruncate(file, 0)
        os.write(file, text.encode())


def _signed(path: Path) -> list[str]:
    """Who holds a lock, and the cells it is held for."""
    with suppress(OSError):
        return [shown(line).strip("'") for line in path.read_text("utf-8", "replace").splitlines()] or ["of unknown number"]
    return ["of unknown number"]


def _reason(error: BaseException) -> str:
    """Why something could not be read, on one line."""
    if isinstance(error, FileNotFoundError):
        return "is not there, or not whole"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    return str(error) if isinstance(error, _Flaw | InputProblems) else f"cannot be read: {str(error).splitlines()[0][:100]}"


def _refusal(place: Path, error: OSError, field: str) -> InputProblems:
    """What a failed write means to who asked for it."""
    if error.errno in FULL:
        message = (
            "the disk is full; make room, or name another folder. What is stored is whole, and the same command goes on from it"
        )
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        message = f"cannot be used: {error.strerror}; name another folder, or ask for the right to use this one"
    elif error.errno in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
        message = f"its file system cannot lock files ({error.strerror}), which the store needs; name a folder on a local disk"
    else:
        message = f"cannot be used: {error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
    return refuse(place, message, field=field)


def _differ(place: Path, stored: str, fresh: str) -> str:
    """That two computations of one part do not agree: which tables, with both digests."""
    before, now = (json.loads(text)["files"] for text in (stored, fresh))
    told = [
        f"{name} is stored as {before.get(name, {}).get('sha256', 'nothing')} and now comes out as {now[name]['sha256']}"
        for name in now
        if before.get(name) != now[name]
    ]
    return (
        f"{place}: two computations of the same question differ: {'; '.join(told)}. The store keeps the first. "
        "Other versions of the libraries can be the reason; `groundbreak verify` computes again what is stored"
    )


def _two_answers(manifest: Path, before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> str:
    """That a run was finished before with other digests: the first part that differs, with both."""
    differing = ((key, name) for key in now for name in now[key] if before[key][name] != now[key][name])
    key, name = next(differing)
    return (
        f"{manifest}: this run was finished before with other results: part {name} of cell {key} was {before[key][name]} "
        f"and is {now[key][name]}. Remove the run and run it again if the new ones are right"
    )


def _as_warning(text: str) -> None:
    warnings.warn(text, stacklevel=3)

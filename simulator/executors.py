"""Tasks for many workers: this process, processes of this machine, or a Dask cluster, behind one door.

    with executor(start=prepare, context=scenarios, workers=8) as pool:
        for task, result in pool.map(play, tasks):
            ...

What a task returns never depends on who worked it. Results come as they are finished; tasks are taken from their iterator when
there is somebody to work them, so a million of them need no more memory than ten.

A worker answers in data: done, failed (the task's own fault) or unfit (the worker's: it cannot import, start or read). That keeps
the three apart wherever the worker runs, and nothing is ever unpickled in a place where a fault of it would be silent.
"""

from __future__ import annotations

import functools
import gc
import os
import pickle
import platform
import re
import shutil
import signal
import tempfile
import threading
import time
import traceback
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, NamedTuple, TypeVar

from simulator.problems import InputProblems, nearest, refuse, shown

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

C = TypeVar("C")
S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

LOCAL = "local"
"""The address that stands for a Dask cluster on this machine, begun and ended with the executor."""
IN_HAND = 2
"""Tasks in hand for each worker: one that it works, one that waits, so that nobody waits for the hand-over."""
ATTEMPTS = 3
"""Times that a task may be in hand when its worker dies. The last time it is worked alone, so that the guilty one is named."""
LOOK = 0.2
"""Seconds after which to look for an interrupt when no task was finished."""
ANSWER = 10.0
"""Seconds in which a scheduler must answer, and a cluster without a single worker must get one."""


class TaskFailed(RuntimeError):
    """A task raised: which task, with what, and where. The exception itself is `error` unless it could not be sent."""

    def __init__(self, name: str, cause: str, trace: str = "", task: object = None, error: BaseException | None = None):
        super().__init__(name, cause, trace)
        self.name, self.cause, self.trace, self.task, self.error = name, cause, trace, task, error

    def __str__(self) -> str:
        return f"{self.name}: {self.cause}"


class WorkerFailed(RuntimeError):
    """Workers that cannot start, cannot import, differ from this program, or die again and again: why, and where it was raised."""

    def __init__(self, cause: str, trace: str = ""):
        super().__init__(cause, trace)
        self.cause, self.trace = cause, trace

    def __str__(self) -> str:
        return self.cause


# ---- what a worker does, wherever it runs -----------------------------------------------------------------------------------


class Answer(NamedTuple):
    """What came of a task: its pickled result, or what went wrong."""

    kind: str
    """`done`, `failed` or `unfit`"""
    pickled: bytes
    """the result, or the exception if it survives being sent"""
    cause: str = ""
    trace: str = ""


_STATES: dict[str, Any] = {}
"""In a worker: what `start` made, by the token of the executor. A Dask worker may serve several."""
_BEGINNING = threading.Lock()


def _state(token: str, brief: Callable[[], bytes]) -> Any:
    """What `start` made of the context, made now if this is the first task that this process sees."""
    with _BEGINNING:
        if token not in _STATES:
            start, context = pickle.loads(brief())  # made by the program that asks, for its own workers
            _STATES[token] = start(context)
            gc.collect()
            gc.freeze()  # the collector need not look at it again
    return _STATES[token]


@functools.lru_cache(maxsize=4)
def _function(pickled: bytes) -> Any:
    return pickle.loads(pickled)


def work(token: str, brief: Callable[[], bytes], function: bytes, task: bytes) -> Answer:
    """Work one task. Never raises."""
    try:
        state, call, given = _state(token, brief), _function(function), pickle.loads(task)
    except BaseException as error:
        return _told("unfit", error)
    try:
        return Answer("done", pickle.dumps(call(state, given), pickle.HIGHEST_PROTOCOL))
    except BaseException as error:
        return _told("failed", error)


def _told(kind: str, error: BaseException) -> Answer:
    trace = "".join(traceback.format_exception(error))
    pickled = b""
    with suppress(Exception):
        # An exception whose arguments are not those of its constructor comes back as another one, or not at all.
        sent = pickle.dumps(error)
        if str(pickle.loads(sent)) == str(error):
            pickled = sent
    return Answer(kind, pickled, _words(error), trace)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _root(error: BaseException) -> str:
    """What began it."""
    while error.__cause__:
        error = error.__cause__
    return _words(error)


def identity() -> dict[str, str]:
    """All that decides the bytes of a result and lives outside the task: versions, machine, compiled code."""
    from importlib.metadata import version as installed

    from simulator.jit import key
    from simulator.results import version

    return {
        "groundbreak": version(),
        "python": platform.python_version(),
        "numpy": installed("numpy"),
        "numba": installed("numba"),
        "compiled code": key(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


# ---- Ctrl-C -----------------------------------------------------------------------------------------------------------------


class Interrupts:
    """Ctrl-C kept for a moment at which it can do no harm: raised inside the pool's own code it can leave the pool hanging.

    A second one is raised at once. Processes begun inside `deaf` never see any, not even while they start.
    """

    def __init__(self) -> None:
        self.seen = False
        self._before: Any = None
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            self._before = signal.signal(signal.SIGINT, self._note)

    def _note(self, signum: int, frame: Any) -> None:
        if self.seen:
            raise KeyboardInterrupt
        self.seen = True

    def check(self) -> None:
        """Raise KeyboardInterrupt if one has come."""
        if self.seen:
            raise KeyboardInterrupt

    def restore(self) -> None:
        """Hand Ctrl-C back."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Block the signal: children inherit that. (On Windows they turn deaf once they have started.)"""
        if not hasattr(signal, "pthread_sigmask"):
            yield
            return
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # begun with the first process it would let the signal through again
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


# ---- pools ------------------------------------------------------------------------------------------------------------------


def _never() -> bool:
    return False


class Pool(ABC, Generic[S]):
    """Somebody to work tasks. Made by `executor`; serves any number of `map`s, one after another."""

    kind: str
    workers: int
    """How many work at a time."""
    restarts = 0
    """How often workers died and others took their place."""

    @abstractmethod
    def map(
        self,
        function: Callable[[S, T], R],
        tasks: Iterable[T],
        *,
        describe: Callable[[T], str] = shown,
        stop: Callable[[], bool] = _never,
    ) -> Iterator[tuple[T, R]]:
        """Tasks with what `function(state, task)` returned, as they are finished.

        `state` is what `start(context)` returned in the process that works. When `stop()` turns true no further task is taken,
        and those in hand are finished; breaking off drops those in hand. Raises TaskFailed for the first task that raises (by its
        name from `describe`), WorkerFailed, and KeyboardInterrupt.
        """

    def close(self, broken_off: bool) -> None:
        """End the workers; in the midst of their work if broken off."""


class _Here(Pool[S]):
    """This process."""

    kind, workers = "this process", 1

    def __init__(self, start: Callable[[C], S], context: C):
        self._start = functools.cache(lambda: start(context))

    def map(
        self,
        function: Callable[[S, T], R],
        tasks: Iterable[T],
        *,
        describe: Callable[[T], str] = shown,
        stop: Callable[[], bool] = _never,
    ) -> Iterator[tuple[T, R]]:
        fresh = map(_Job, tasks)
        while not stop():
            if (job := next(fresh, None)) is None:
                return
            task = job.task
            try:
                state = self._start()
            except Exception as error:
                raise WorkerFailed(f"this process cannot begin to work: {_words(error)}") from error
            try:
                result = function(state, task)
            except Exception as error:
                trace = "".join(traceback.format_exception(error))
                raise TaskFailed(describe(task), _words(error), trace, task, error) from error
            yield task, result


@dataclass
class _Job(Generic[T]):
    """A task that is to be worked or in hand."""

    task: T
    lost: int = 0
    """times that its worker died"""


class _Lost(Exception):
    """The worker of a job died, and how often it did."""

    def __init__(self, times: int = 1):
        super().__init__(times)
        self.times = times


class _NotYet(Exception):
    """What was finished is gone and is being worked again."""


class _Elsewhere(Pool[S]):
    """Other processes: what those of this machine and those of a cluster have in common."""

    def __init__(self, start: Callable[[C], S], context: C):
        import uuid

        self.token = uuid.uuid4().hex
        self.brief = pickle.dumps((start, context), pickle.HIGHEST_PROTOCOL)
        self.interrupts = Interrupts()
        self.in_hand: dict[Any, _Job[Any]] = {}
        self.dropped = False
        self.describe: Callable[[Any], str] = shown

    def map(
        self,
        function: Callable[[S, T], R],
        tasks: Iterable[T],
        *,
        describe: Callable[[T], str] = shown,
        stop: Callable[[], bool] = _never,
    ) -> Iterator[tuple[T, R]]:
        self.describe = describe
        call = pickle.dumps(function, pickle.HIGHEST_PROTOCOL)
        fresh, again = map(_Job, tasks), deque[_Job[T]]()
        last = False
        try:
            while True:
                self.interrupts.check()
                last = last or stop()
                gone = False
                alone = any(job.lost >= ATTEMPTS - 1 for job in (*again, *self.in_hand.values()))
                while len(self.in_hand) < (1 if alone else IN_HAND * self.workers):
                    job = again.popleft() if again else None if last else next(fresh, None)
                    if job is None:
                        last = True
                        break
                    try:
                        with self.interrupts.deaf():
                            future = self.submit(call, pickle.dumps(job.task, pickle.HIGHEST_PROTOCOL))
                    except _Lost as loss:
                        job.lost, gone = job.lost + loss.times, True
                        again.append(job)
                        break
                    self.in_hand[future] = job
                if not (self.in_hand or again):
                    return
                for future in self.finished():
                    job = self.in_hand.pop(future)
                    try:
                        answer = self.answer(future)
                    except _Lost as loss:
                        job.lost, gone = job.lost + loss.times, True
                        again.append(job)
                    except _NotYet:
                        self.in_hand[future] = job
                    else:
                        yield job.task, self._result(answer, job.task, describe)
                if gone:
                    again = deque(sorted(again, key=lambda job: -job.lost))
                    self.replace([describe(job.task) for job in again if job.lost >= ATTEMPTS])
        finally:
            self.drop()

    def _result(self, answer: Answer, task: T, describe: Callable[[T], str]) -> Any:
        if answer.kind == "unfit":
            raise WorkerFailed(f"a worker cannot begin to work: {answer.cause}", answer.trace)
        try:
            given = pickle.loads(answer.pickled) if answer.pickled else None  # made by our own worker
        except Exception as error:
            raise TaskFailed(describe(task), f"its result cannot be read: {_words(error)}", "", task, error) from error
        if answer.kind == "failed":
            raise TaskFailed(describe(task), answer.cause, answer.trace, task, given) from given
        return given

    @abstractmethod
    def submit(self, function: bytes, task: bytes) -> Any:
        """Hand a task to the workers. Raises _Lost if they are gone."""

    @abstractmethod
    def finished(self) -> Collection[Any]:
        """Those in hand that are finished; none if that takes longer than a look."""

    @abstractmethod
    def answer(self, future: Any) -> Answer:
        """What came of one that is finished. Raises _Lost if its worker died, _NotYet if it is not there after all."""

    @abstractmethod
    def replace(self, blamed: list[str]) -> None:
        """Others take the place of workers that died. Raises WorkerFailed if that has happened too often to the tasks blamed."""

    def drop(self) -> None:
        """Forget those in hand."""
        self.dropped = self.dropped or bool(self.in_hand)
        for future in self.in_hand:
            future.cancel()
        self.in_hand.clear()


# ---- processes of this machine ----------------------------------------------------------------------------------------------


class _Spawning(SpawnContext):
    """Processes begun afresh, remembered to say how they ended."""

    def __init__(self) -> None:
        self.begun: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]  # a class there, made with a call all the same
        process = super().Process(*args, **kwargs)
        self.begun.append(process)
        return process


def _settle(folder: str) -> None:
    """First thing in a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    threading.Thread(target=_follow, args=(folder,), daemon=True).start()


def _follow(folder: str) -> None:
    """End with the parent, however it ended: else a worker would wait for ever for a task from nobody."""
    import multiprocessing
    from multiprocessing.connection import wait as end_of

    parent = multiprocessing.parent_process()
    if parent is not None:
        end_of([parent.sentinel])
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


PREFIX, CONTEXT = "groundbreak-", "context"


def _locked(file: BinaryIO) -> bool:
    """Lock a file until it is closed or we end, however that is. False if another program has."""
    try:
        import fcntl
    except ImportError:  # where there are no such locks nothing is swept up either
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sweep_up() -> None:
    """Remove what programs left that were killed: their lock is gone."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{CONTEXT}"):
        with suppress(OSError), open(path, "rb") as file:  # somebody else's, or just now removed
            if _locked(file):
                shutil.rmtree(path.parent, ignore_errors=True)


class _Processes(_Elsewhere[S]):
    """Processes of this machine, from the standard library."""

    kind = "processes"

    def __init__(self, start: Callable[[C], S], context: C, workers: int):
        super().__init__(start, context)
        self.workers = workers
        # Not handed over at the start: a parent that writes to a child that has died waits for ever once the pipe is full.
        self.folder = ""
        self.kept: BinaryIO | None = None
        try:
            _sweep_up()
            self.folder = tempfile.mkdtemp(prefix=PREFIX)
            path = os.path.join(self.folder, CONTEXT)
            self.kept = open(path + "~", "wb")  # noqa: SIM115  (stays open, and locked, as long as we live)
            self.kept.write(self.brief)
            self.kept.flush()
            _locked(self.kept)
            os.rename(path + "~", path)
        except OSError as error:
            self._clear()
            raise WorkerFailed(f"there is no place for what the workers need: {_words(error)}; TMPDIR names another") from error
        self.brief = b""
        self.reader = functools.partial(_read, path)
        self._open()

    def _open(self) -> None:
        self.spawning = _Spawning()
        self.pool = ProcessPoolExecutor(self.workers, mp_context=self.spawning, initializer=_settle, initargs=(self.folder,))
        self.answered = False

    def submit(self, function: bytes, task: bytes) -> Any:
        try:
            return self.pool.submit(work, self.token, self.reader, function, task)
        except BrokenProcessPool:
            raise _Lost from None

    def finished(self) -> Collection[Any]:
        done, others = wait(self.in_hand, timeout=LOOK, return_when=FIRST_COMPLETED)
        if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
            done |= wait(others).done  # one death ends the pool: all the others are told in the same moment
        return done

    def answer(self, future: Future[Answer]) -> Answer:
        try:
            answer = future.result()
        except BrokenProcessPool:
            raise _Lost from None
        self.answered = True
        return answer

    def replace(self, blamed: list[str]) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)
        codes = [code for process in self.spawning.begun if (code := process.exitcode)]
        # The pool itself ends the others with SIGTERM.
        code = next((code for code in codes if code != -signal.SIGTERM), codes[0] if codes else 0)
        how = f"{signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if blamed:
            hint = "; out of memory?" if code == -signal.SIGKILL else ""
            raise WorkerFailed(f"{', '.join(blamed)}: its worker process died {ATTEMPTS} times ({how}{hint})")
        if code > 0 and not self.answered:
            raise WorkerFailed(
                f"a worker process could not start ({how}; its own words are above). A program that asks for more than one process "
                'must guard its entry point with `if __name__ == "__main__":`'
            )
        self.restarts += 1
        self._open()

    def close(self, broken_off: bool) -> None:
        try:
            if broken_off or self.dropped:
                for process in self.spawning.begun:
                    if process.is_alive():
                        process.terminate()
            self.pool.shutdown(wait=True, cancel_futures=True)
        finally:
            self._clear()

    def _clear(self) -> None:
        if self.kept:
            with suppress(OSError):  # a full disk is told once
                self.kept.close()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.interrupts.restore()


# ---- Dask -------------------------------------------------------------------------------------------------------------------

ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9a-fA-F:.]+\]|[^\s/:\[\]]+):(\d{1,5})")


def _door(token: str) -> Callable[[bytes, bytes], Any]:
    """What a Dask worker calls. Made inside a function it is sent by value: the scheduler needs none of our modules."""

    def groundbreak(function: bytes, task: bytes) -> Any:
        from distributed import get_worker

        from simulator.executors import work

        plugin: Any = get_worker().plugins[token]
        return tuple(work(token, lambda: plugin.brief, function, task))

    return groundbreak


def _asked() -> Callable[[], dict[str, str]]:
    """What asks a worker who it is; sent by value, so that it answers even without our modules."""

    def who() -> dict[str, str]:
        try:
            from simulator.executors import identity

            return identity()
        except Exception as error:
            import os
            import platform
            import sys

            return {
                "groundbreak": f"cannot be imported by {sys.executable} in {os.getcwd()}: {type(error).__name__}: {error}",
                "python": platform.python_version(),
            }

    return who


def _carrier(token: str, brief: bytes) -> Any:
    """A plugin that carries the context to each worker once, also to those that come later; sent by value."""
    from distributed import WorkerPlugin

    class Carrier(WorkerPlugin):
        def __init__(self) -> None:
            self.brief = brief

        def teardown(self, worker: Any) -> None:
            import sys

            if ours := sys.modules.get("simulator.executors"):
                ours._STATES.pop(token, None)

    return Carrier()


def differences(mine: dict[str, str], theirs: dict[str, dict[str, str]]) -> str:
    """What differs between this program and workers, a line each: what, here, there, who. Empty if nothing does."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for who in sorted(theirs):
        for what, here in mine.items():
            there = theirs[who].get(what, "unknown")
            # Where our package cannot be imported there is nothing to say of what it would have told.
            if there != here and (what in theirs[who] or "groundbreak" not in theirs[who]):
                found.setdefault((what, here, there), []).append(who)
    if not found:
        return ""
    table = [("", "here", "there", "who")]
    for (what, here, there), who_all in found.items():
        table.append((what, here, there, who_all[0] + (f" and {len(who_all) - 1} more" if len(who_all) > 1 else "")))
    wide = [max(len(row[i]) for row in table) for i in range(3)]
    return "\n".join("  ".join((*(cell.ljust(w) for cell, w in zip(row, wide, strict=False)), row[3])).rstrip() for row in table)


class _Dask(_Elsewhere[S]):
    """A Dask cluster: the scheduler shares out the tasks, and gives those of a worker that dies to another."""

    kind = "dask"

    def __init__(self, start: Callable[[C], S], context: C, address: str, workers: int):
        super().__init__(start, context)
        self.address = address
        self.count = 0
        self.client: Any = None
        self.cluster: Any = None
        self.folder = ""
        self.sent = False
        try:
            self._open(workers)
        except BaseException:
            self.close(True)
            raise

    def _open(self, workers: int) -> None:
        import logging

        import distributed
        from dask import config

        settings: Any = config
        dask: Any = distributed  # half of it is untyped
        if self.address == LOCAL:
            self.folder = tempfile.mkdtemp(prefix=PREFIX)
            try:
                # One death more is forgiven; who was there both times is then worked alone.
                with self.interrupts.deaf(), settings.set({"distributed.scheduler.allowed-failures": 1}):
                    self.cluster = dask.LocalCluster(
                        n_workers=workers, threads_per_worker=1, memory_limit=0, local_directory=self.folder,
                        host="127.0.0.1", dashboard_address="127.0.0.1:0",
                        scheduler_kwargs={"dashboard": False, "local_directory": self.folder},
                        silence_logs=logging.CRITICAL,
                    )  # fmt: skip
            except Exception as error:
                raise WorkerFailed(f"no Dask cluster could be started on this machine: {_root(error)}") from error
        where = self.cluster.scheduler_address if self.cluster else self.address
        with warnings.catch_warnings():
            # Said by `differences`, with what matters to us, and as an error.
            warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)
            try:
                self.client = dask.Client(where, timeout=ANSWER, set_as_default=False, name="groundbreak")
            except (OSError, TimeoutError, ValueError) as error:
                raise self._refuse(f"no Dask scheduler answers there ({_words(error)}); see `dask scheduler`") from None
        self._within(self._prepare)
        self.door = _door(self.token)
        self.seen = time.monotonic()
        self._count_workers()

    def _refuse(self, message: str) -> InputProblems:
        return refuse(self.address, message, field="--cluster")

    def _within(self, call: Callable[[], None]) -> None:
        """Do something that asks every worker: one that does not answer at all is no reason to wait for ever."""
        raised: list[BaseException] = []

        def guarded() -> None:
            try:
                call()
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        thread.join(3 * ANSWER)
        if thread.is_alive():
            raise WorkerFailed(f"a worker of {self.address} does not answer")
        if raised:
            raise raised[0]

    def _prepare(self) -> None:
        """Wait for a worker, see that all are as this program is, and give them the context."""
        try:
            self.client.wait_for_workers(1, timeout=ANSWER)
        except TimeoutError:
            raise self._refuse("the scheduler there has no workers; see `dask worker`") from None
        versions = self.client.get_versions()
        shared = ("python", "dask", "distributed", "cloudpickle")  # needed to read each other's messages

        def told(one: Any) -> dict[str, str]:
            return {name: str(one["packages"][name]) for name in shared} if one else {"python": "no answer"}

        theirs = {"the scheduler": told(versions["scheduler"]), **{who: told(one) for who, one in versions["workers"].items()}}
        if not (table := differences(told(versions["client"]), theirs)):
            answers = self.client.run(_asked(), on_error="return")
            theirs = {who: each if isinstance(each, dict) else {"python": _words(each)} for who, each in answers.items()}
            table = differences(identity(), theirs)
        if table:
            raise WorkerFailed(
                f"the workers of {self.address} are not as this program is, so results would not be the same bytes; install the "
                f"same versions there (requirements.lock names them):\n{table}"
            )
        self.sent = True
        for who, answer in self.client.register_plugin(_carrier(self.token, self.brief), name=self.token).items():
            if answer.get("status") != "OK":
                raise WorkerFailed(f"worker {who} cannot take the context: {_words(answer['exception'])}")
        self.brief = b""

    def _count_workers(self) -> None:
        """Once in a while: are there still any? Raises WorkerFailed if the cluster is gone."""
        now = time.monotonic()
        try:
            threads = sum(self.client.nthreads().values())
        except Exception as error:
            raise WorkerFailed(f"the connection to the Dask scheduler {self.address} is lost: {_words(error)}") from error
        self.counted = now
        if threads:
            self.workers, self.seen = threads, now
        elif now - self.seen > ANSWER:
            in_hand = ", ".join(self.describe(job.task) for job in islice(self.in_hand.values(), 3))
            raise WorkerFailed(f"all workers of {self.address} are gone{f'; in hand was {in_hand}' if in_hand else ''}")

    def submit(self, function: bytes, task: bytes) -> Any:
        self.count += 1
        return self.client.submit(self.door, function, task, key=f"groundbreak-{self.token}-{self.count}", pure=False)

    def finished(self) -> Collection[Any]:
        import distributed

        dask: Any = distributed
        if time.monotonic() - self.counted > 1:
            self._count_workers()
        try:
            with self.client.as_current():
                done: set[Any] = dask.wait(list(self.in_hand), timeout=LOOK, return_when="FIRST_COMPLETED").done
            return done
        except TimeoutError:
            return ()
        except CancelledError as error:
            raise self._forgotten(error) from error

    def answer(self, future: Any) -> Answer:
        import distributed

        try:
            return Answer(*future.result(timeout=ANSWER))
        except TimeoutError:  # the worker died before its result was fetched
            raise _NotYet from None
        except distributed.KilledWorker:
            # All that waited for that worker are suspected. Worked alone, the guilty one is found.
            raise _Lost(ATTEMPTS - 1) from None
        except CancelledError as error:
            raise self._forgotten(error) from error
        except Exception as error:
            raise WorkerFailed(f"a worker of {self.address} cannot begin to work: {_words(error)}") from error

    def _forgotten(self, error: Exception) -> WorkerFailed:
        return WorkerFailed(f"the Dask scheduler {self.address} is gone or has given up: {_words(error)}")

    def replace(self, blamed: list[str]) -> None:
        if blamed:
            raise WorkerFailed(f"{', '.join(blamed)}: each worker of {self.address} that worked this task died; out of memory?")

    def close(self, broken_off: bool) -> None:
        try:
            if self.cluster is not None and (broken_off or self.dropped):
                for nanny in self.cluster.workers.values():
                    nanny.close_gracefully()  # or it would begin another one
                    with suppress(ProcessLookupError):
                        if nanny.pid:
                            os.kill(nanny.pid, signal.SIGKILL)
            elif self.sent and self.cluster is None:
                with suppress(Exception):  # a cluster that is gone has nothing of ours
                    self._within(lambda: self.client.unregister_worker_plugin(self.token))
            for each in (self.client, self.cluster):
                if each is not None:
                    with suppress(TimeoutError):
                        each.close(timeout=ANSWER)
        finally:
            if self.folder:
                shutil.rmtree(self.folder, ignore_errors=True)
            self.interrupts.restore()


# ---- the door ---------------------------------------------------------------------------------------------------------------


def _same(context: Any) -> Any:
    return context


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_cluster(cluster: str) -> None:
    """Refuse early what cannot be a cluster: a word that is no address, Dask not installed. Raises InputProblems."""
    from importlib.util import find_spec

    if cluster != LOCAL and not ADDRESS.fullmatch(cluster):
        raise refuse(
            shown(cluster),
            f"is no address of a Dask scheduler; write tcp://host:port, or {LOCAL!r} for processes of this machine"
            + nearest(cluster, [LOCAL]),
            field="--cluster",
        )
    if find_spec("distributed") is None:
        raise refuse(cluster, "Dask is not installed; install it with `pip install 'groundbreak[dask]'`", field="--cluster")


@contextmanager
def executor(
    *,
    start: Callable[[Any], Any] = _same,
    context: Any = None,
    workers: int | None = None,
    cluster: str | None = None,
) -> Iterator[Pool[Any]]:
    """Somebody to work tasks: see `Pool.map`.

    `start(context)` runs once in each process that works; tasks get what it returns. `workers` None uses every core, 1 this
    process. `cluster` "local" begins a Dask cluster of so many workers here, "tcp://host:port" uses the one whose scheduler that
    is. Functions must belong to modules that workers can import, and a script that asks for more than this process must guard its
    entry point with `if __name__ == "__main__":`.

    Raises InputProblems for a cluster that is none, WorkerFailed.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    pool: Pool[Any]
    if cluster is not None:
        check_cluster(cluster)
        pool = _Dask(start, context, cluster, workers or cores())
    elif (workers or cores()) == 1:
        pool = _Here(start, context)
    else:
        pool = _Processes(start, context, workers or cores())
    broken_off = True
    try:
        yield pool
        broken_off = False
    finally:
        pool.close(broken_off)

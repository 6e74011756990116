"""Executors: the same results wherever they are worked, workers that die or cannot start, interrupts, and nothing left behind."""

from __future__ import annotations

import logging
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chores import (
    Weights,
    dies_at_7,
    dies_at_start,
    dies_once,
    echo,
    fails_at_7,
    fails_oddly,
    learn,
    leaves,
    mixed,
    nap,
    raises_at_start,
    sleep,
    unreadable,
)

from simulator import executors
from simulator.executors import (
    ATTEMPTS,
    IN_HAND,
    Interrupts,
    TaskFailed,
    WorkerFailed,
    check_cluster,
    differences,
    executor,
)
from simulator.problems import InputProblems

SECONDS = 60
"""Nothing here takes this long on the slowest machine, unless it waits for ever."""

# ------------------------------------------------------------------ where it is worked


@contextmanager
def dask(workers: int, folder: Path) -> Iterator[Any]:
    """A Dask cluster of processes on this machine that says nothing."""
    distributed: Any = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, memory_limit=0, local_directory=str(folder), silence_logs=logging.CRITICAL,
        host="127.0.0.1", dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False, "local_directory": str(folder)},
    ) as cluster:  # fmt: skip
        yield cluster


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a cluster of two that several executors use one after another."""
    with dask(2, tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(params=["1", "2", "dask"])
def where(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How to ask for each executor."""
    return {"cluster": request.getfixturevalue("scheduler")} if request.param == "dask" else {"workers": int(request.param)}


@pytest.fixture(params=["2", "dask"])
def elsewhere(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How to ask for those that work in other processes."""
    return {"cluster": request.getfixturevalue("scheduler")} if request.param == "dask" else {"workers": 2}


@pytest.fixture(params=["2", "dask"])
def mortal(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The same with workers that nobody else needs."""
    return {"workers": 2, **({"cluster": "local"} if request.param == "dask" else {})}


def script(body: str, folder: Path, guarded: bool = True) -> list[str]:
    """A command that runs a program of its own."""
    body = textwrap.dedent(body)
    if guarded:
        body = "def main():\n" + textwrap.indent(body, "    ") + "\nif __name__ == '__main__':\n    main()\n"
    path = folder / "program.py"
    head = f"import os, signal, sys, time\nsys.path[:0] = [{str(Path(__file__).parent)!r}, {str(folder)!r}]\n"
    path.write_text(f"{head}from simulator.executors import executor\n{body}")
    return [sys.executable, "-W", "error", str(path)]


def gone(pid: int) -> bool:
    """True if a process is no more, or only waits to be counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def deaf(pid: int) -> bool:
    """True if SIGINT is blocked in a process: it was before its first own word, if it never blocks it itself."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    blocked = next(int(line.split()[1], 16) for line in lines if line.startswith("SigBlk"))
    return bool(blocked >> (signal.SIGINT - 1) & 1)


def until(condition: Any, seconds: float = SECONDS) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


# ------------------------------------------------------------------ results


@pytest.mark.parametrize("where", ["1", "2", "4", "dask"], indirect=True)
def test_results_are_the_same_bytes_wherever_they_are_worked(where: dict[str, Any]) -> None:
    here = {task: np.cumsum(Weights(5).weights * task).tobytes() for task in range(60)}
    with executor(start=Weights, context=5, **where) as pool:
        found = list(pool.map(mixed, iter(range(60))))
        again = list(pool.map(mixed, range(10)))
    assert {task: result[0] for task, result in found} == here
    assert len(found) == 60 and sorted(task for task, _ in again) == list(range(10))
    by_process = {pid: made for _, (_, pid, made) in (*found, *again)}
    if pool.kind == "this process":
        assert set(by_process) == {os.getpid()} and pool.workers == 1
    else:
        assert 1 <= len(by_process) <= pool.workers and os.getpid() not in by_process
        assert pool.kind == "dask" or set(by_process.values()) == {1}, "the context was not made once in each process"
    assert pool.restarts == 0


def test_tasks_are_taken_only_when_there_is_somebody_to_work_them(where: dict[str, Any]) -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    with executor(**where) as pool:
        outcomes = pool.map(echo, endless())
        for done, _ in enumerate(outcomes, start=1):
            assert taken - done <= IN_HAND * pool.workers
            if done == 50:
                break
        outcomes.close()  # type: ignore[attr-defined]
        assert len(list(pool.map(echo, range(5)))) == 5, "the pool serves again after a map that was broken off"


def test_stopping_finishes_what_is_in_hand(where: dict[str, Any]) -> None:
    done: list[int] = []
    with executor(**where) as pool:
        tasks = iter(range(1000))
        for task, _ in pool.map(echo, tasks, stop=lambda: len(done) >= 3):
            done.append(task)
        left = next(tasks)
    assert 3 <= len(done) <= 3 + IN_HAND * pool.workers
    assert sorted(done) == list(range(left)), "a task was taken and not finished"


def test_nothing_to_do(where: dict[str, Any]) -> None:
    with executor(start=raises_at_start, **where) as pool:
        assert list(pool.map(echo, [])) == []
        assert list(pool.map(echo, [1, 2, 3], stop=lambda: True)) == []


# ------------------------------------------------------------------ tasks that fail


def test_a_task_that_raises_is_named(where: dict[str, Any]) -> None:
    with pytest.raises(TaskFailed) as raised, executor(**where) as pool:
        list(pool.map(fails_at_7, range(100), describe=lambda task: f"replication {task}"))
    assert str(raised.value) == "replication 7: ValueError: seven is not allowed"
    assert raised.value.task == 7 and isinstance(raised.value.error, ValueError) and raised.value.__cause__ is raised.value.error
    assert "in fails_at_7" in raised.value.trace


def test_an_exception_that_cannot_be_sent_is_told(where: dict[str, Any]) -> None:
    with pytest.raises(TaskFailed, match=r"^1: Odd: cannot be sent$"), executor(**where) as pool:
        list(pool.map(fails_oddly, [1]))


def test_a_task_that_leaves_or_returns_what_cannot_be_sent_is_named(elsewhere: dict[str, Any]) -> None:
    with pytest.raises(TaskFailed, match=r"^1: SystemExit: 4$"), executor(**elsewhere) as pool:
        list(pool.map(leaves, [1]))
    with (
        pytest.raises(TaskFailed, match=r"^1: (AttributeError|PicklingError): Can't (pickle|get) local object"),
        executor(**elsewhere) as pool,
    ):
        list(pool.map(unreadable, [1]))
    assert pickle.loads(pickle.dumps(TaskFailed("a", "b", "c"))).args == ("a", "b", "c")


# ------------------------------------------------------------------ workers that fail


def test_a_worker_that_cannot_import_says_so_within_seconds(
    elsewhere: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module can be imported here and not there, as with a package that is missing on one machine."""
    (tmp_path / "tender.py").write_text(
        f"import os\nif os.getpid() != {os.getpid()}:\n    raise ImportError('libtender.so.3 is missing')\n"
        "def work(state, task):\n    return task\ndef start(context):\n    return 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    tender: Any = __import__("tender")
    for asked in ({"start": tender.start}, {}):
        with pytest.raises(WorkerFailed) as raised, executor(**asked, **elsewhere) as pool:
            if "cluster" in elsewhere:  # a worker that was there before does not know our path
                list(pool.map(learn, [str(tmp_path)] * 8, describe=str)) if not asked else None
            list(pool.map(tender.work, range(10)))
        assert "cannot begin to work: ImportError: libtender.so.3 is missing" in str(raised.value) or (
            "cluster" in elsewhere and "cannot begin to work: ModuleNotFoundError: No module named 'tender'" in str(raised.value)
        )


def test_a_start_that_raises_is_told(where: dict[str, Any]) -> None:
    with (
        pytest.raises(WorkerFailed, match="cannot begin to work: OSError: no space for compiled code"),
        executor(start=raises_at_start, **where) as pool,
    ):
        list(pool.map(echo, range(10)))


def test_a_worker_killed_at_its_start_is_told(mortal: dict[str, Any]) -> None:
    with (
        pytest.raises(WorkerFailed, match=r"died.*(SIGKILL|out of memory)|all workers of local are gone; in hand was "),
        executor(start=dies_at_start, **mortal) as pool,
    ):
        list(pool.map(echo, range(10)))


def test_a_program_without_a_guard_is_told_so(tmp_path: Path) -> None:
    body = """
    with executor(workers=2) as pool:
        print(sorted(pool.map(max, [1, 2])))
    """
    command = script(body, tmp_path, guarded=False)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "WorkerFailed: a worker process could not start (exit code 1; its own words are above)" in done.stderr
    assert "must guard its entry point" in done.stderr


def test_workers_that_die_in_the_midst_change_nothing(mortal: dict[str, Any], tmp_path: Path) -> None:
    flag = str(tmp_path / "died")
    with executor(**mortal) as pool:
        found = dict(pool.map(dies_once, [(flag, number) for number in range(60)]))
    assert found == {(flag, number): number for number in range(60)}
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith("died")} == {"died-3", "died-40"}
    assert pool.restarts == (2 if pool.kind == "processes" else 0)


def test_a_worker_killed_from_outside_changes_nothing(mortal: dict[str, Any]) -> None:
    killed: set[int] = set()
    found = []
    with executor(**mortal) as pool:
        for task, pid in pool.map(nap, range(60)):
            found.append(task)
            if len(found) in (5, 30) and pid not in killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
    assert sorted(found) == list(range(60)) and killed


def test_a_task_that_kills_its_worker_each_time_is_named(mortal: dict[str, Any]) -> None:
    with pytest.raises(WorkerFailed) as raised, executor(**mortal) as pool:
        list(pool.map(dies_at_7, range(30), describe=lambda task: f"replication {task}"))
    # A Dask nanny gives up if its worker dies before it has heard from it: then nobody may be left.
    assert re.match(r"replication 7: |all workers of local are gone; in hand was replication 7$", str(raised.value))
    if pool.kind == "processes":
        assert str(raised.value) == f"replication 7: its worker process died {ATTEMPTS} times (SIGKILL; out of memory?)"


# ------------------------------------------------------------------ clusters


def test_workers_that_differ_are_refused_with_a_table(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = executors.identity()
    assert set(mine) == {"groundbreak", "python", "numpy", "numba", "compiled code", "machine"}
    monkeypatch.setattr(executors, "identity", lambda: {**mine, "numpy": "1.0", "compiled code": "abc"})
    with pytest.raises(WorkerFailed) as raised, executor(cluster=scheduler):
        pass
    message, head, *rows = str(raised.value).splitlines()
    assert "not as this program is, so results would not be the same bytes" in message and "requirements.lock" in message
    assert head.split() == ["here", "there", "who"]
    assert [row.split()[:3] for row in rows] == [["numpy", "1.0", mine["numpy"]], ["compiled", "code", "abc"]]
    assert all(row.endswith(" and 1 more") and "tcp://127.0.0.1:" in row for row in rows)


def test_the_table_names_what_differs_and_only_that() -> None:
    mine = {"groundbreak": "1", "numpy": "2", "python": "3"}
    assert differences(mine, {"a": dict(mine), "b": dict(mine)}) == ""
    told = differences(mine, {"a": {**mine, "numpy": "9"}, "b": {"groundbreak": "cannot be imported", "python": "3"}})
    assert [line.split() for line in told.splitlines()] == [
        ["here", "there", "who"], ["numpy", "2", "9", "a"], ["groundbreak", "1", "cannot", "be", "imported", "b"],
    ]  # fmt: skip


def test_a_cluster_of_this_machine_comes_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors.tempfile, "tempdir", str(tmp_path))
    with executor(start=Weights, context=3, workers=2, cluster="local") as pool:
        pids = {pid for _, (_, pid, _) in pool.map(mixed, range(20))}
        assert pool.kind == "dask" and pool.workers == 2 and pids
    assert all(map(gone, pids)) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        ("127.0.0.1:8786", "is no address of a Dask scheduler; write tcp://host:port, or 'local'"),
        ("locl", "did you mean 'local'?"), ("tcp://", "write tcp://host:port"), ("http://x:80", "write tcp://host:port"),
        ("tcp://host", "write tcp://host:port"), ("", "write tcp://host:port"),
    ],
)  # fmt: skip
def test_what_is_no_cluster_is_refused(cluster: str, words: str) -> None:
    with pytest.raises(InputProblems, match="--cluster") as raised, executor(cluster=cluster):
        pass
    assert words in str(raised.value)


def test_where_nobody_answers_and_where_nobody_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "ANSWER", 0.5)
    nobody = r"--cluster: no Dask scheduler answers there .*`dask scheduler`"
    with pytest.raises(InputProblems, match=nobody), executor(cluster="tcp://127.0.0.1:9"):
        pass
    idle = r"--cluster: the scheduler there has no workers; see `dask worker`"
    with dask(0, tmp_path) as cluster, pytest.raises(InputProblems, match=idle), executor(cluster=cluster.scheduler_address):
        pass


def test_without_dask_one_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputProblems, match=r"Dask is not installed; install it with `pip install 'groundbreak\[dask\]'`"):
        check_cluster("local")


def test_workers_that_all_go_are_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = r"all workers of tcp://127.0.0.1:.* are gone"
    with (
        dask(1, tmp_path) as cluster,
        pytest.raises(WorkerFailed, match=gone),
        executor(cluster=cluster.scheduler_address) as pool,
    ):
        monkeypatch.setattr(executors, "ANSWER", 0.5)
        for number, _ in enumerate(pool.map(nap, range(10_000))):
            if number == 3:
                cluster.scale(0)


# ------------------------------------------------------------------ interrupts, and what is left behind


@pytest.mark.parametrize("asked", ["workers=1", "workers=2", "workers=2, cluster='local'"])
def test_an_interrupt_ends_the_work_and_leaves_nobody(asked: str, tmp_path: Path) -> None:
    body = f"""
    import chores
    done = 0
    try:
        with executor({asked}) as pool:
            for task, pid in pool.map(chores.nap, range(100_000)):
                done += 1
                if done < 20:
                    print(pid, flush=True)
    except KeyboardInterrupt:
        print("kept", done, signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)
        sys.exit(130)
    """
    with subprocess.Popen(
        script(body, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:  # fmt: skip
        assert process.stdout
        pids = {int(process.stdout.readline()) for _ in range(5)}
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, err
    assert out.splitlines()[-1].startswith("kept ") and out.splitlines()[-1].endswith(" True")
    assert "Traceback" not in err
    assert until(lambda: all(map(gone, pids)))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("groundbreak-")] == []


@pytest.mark.parametrize("asked", ["workers=2", "workers=2, cluster='local'"])
def test_workers_end_with_a_program_that_was_killed(asked: str, tmp_path: Path) -> None:
    body = f"""
    import chores
    with executor({asked}) as pool:
        for task, pid in pool.map(chores.nap, range(100_000)):
            print(pid, flush=True)
            time.sleep(0.02)
    """
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(script(body, tmp_path), stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        pids = {int(process.stdout.readline()) for _ in range(8)}
        deaf_ones = set(filter(deaf, pids))
        process.kill()
    assert deaf_ones == pids, "Ctrl-C in a terminal would reach a worker while it starts"
    assert until(lambda: all(map(gone, pids))), "workers outlive the program"
    if "cluster" not in asked:
        assert until(lambda: not [path for path in tmp_path.iterdir() if path.name.startswith("groundbreak-")])


def test_the_handler_of_ctrl_c_is_given_back(elsewhere: dict[str, Any]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), executor(**elsewhere) as pool:
        for number, _ in enumerate(pool.map(nap, range(1000))):
            if number == 3:
                signal.raise_signal(signal.SIGINT)
            assert number < 10, "the interrupt was not noticed"
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def test_a_second_interrupt_is_raised_at_once() -> None:
    interrupts = Interrupts()
    try:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        interrupts.restore()


def test_a_caller_that_breaks_off_does_not_wait_for_what_is_in_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors.tempfile, "tempdir", str(tmp_path))
    with executor(workers=2) as pool:
        for _ in pool.map(sleep, [0.0, 600.0, 600.0, 600.0]):
            break
    assert list(tmp_path.iterdir()) == []


def test_what_killed_programs_left_is_swept_up_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors.tempfile, "tempdir", str(tmp_path))
    for name in ("groundbreak-left", "groundbreak-other", "another-left"):
        (tmp_path / name).mkdir()
    (tmp_path / "groundbreak-left" / "context").write_bytes(b"x")
    (tmp_path / "groundbreak-other" / "mine").write_bytes(b"x")
    (tmp_path / "another-left" / "context").write_bytes(b"x")
    with executor(workers=2) as pool:
        mine = {path.name for path in tmp_path.iterdir()} - {"groundbreak-other", "another-left"}
        assert len(mine) == 1 and "groundbreak-left" not in mine
        with executor(workers=2) as another:
            assert mine < {path.name for path in tmp_path.iterdir()}, "that of a program that lives was taken"
            assert len(list(another.map(echo, [1]))) == len(list(pool.map(echo, [1]))) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"groundbreak-other", "another-left"}


def test_no_place_for_what_workers_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(executors.tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(WorkerFailed, match=r"no place for what the workers need: FileNotFoundError.*TMPDIR"), executor(workers=2):
        pass
    assert signal.getsignal(signal.SIGINT) is before


def test_workers_must_be_some() -> None:
    with pytest.raises(ValueError, match="workers must be at least 1, not 0"), executor(workers=0):
        pass

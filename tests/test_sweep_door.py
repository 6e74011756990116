"""Sweeps through the door: the commands as processes, exit codes, interrupted and killed ones, two that ask the same."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
SHORT = ("--set", "end=2025-06-30")
PAIR = ("history", "no-controls")


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1", **more}


def begun(*arguments: str, cwd: Path = ROOT, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd, env=environment(PYTHONPATH=str(cwd), **more),
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in out + err, err
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def groundbreak(*arguments: str, cwd: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    return ended(begun(*arguments, cwd=cwd, **more))


def contents(store: Path) -> dict[str, str]:
    files = (path for path in store.rglob("*") if path.is_file() and path.name != "timing.jsonl")
    kept = {path.relative_to(store).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return {name: digest for name, digest in kept.items() if name.startswith(("cells/", "runs/"))}


def progress(stderr: str) -> list[dict[str, Any]]:
    """What `--json` tells on the way: every line of standard error is an object."""
    return [line for line in map(json.loads, stderr.splitlines()) if line["event"] == "progress"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], subprocess.CompletedProcess[str]]:
    """A sweep of two short scenarios in one process: the store, the JSON object, and what was said."""
    store = tmp_path_factory.mktemp("whole")
    done = groundbreak("sweep", *PAIR, *SHORT, "--replications", "130", "--workers", "1", "--store", str(store), "--json")
    assert done.returncode == 0, done.stderr
    return store, json.loads(done.stdout), done


def test_the_json_object_and_its_progress(whole: tuple[Path, dict[str, Any], subprocess.CompletedProcess[str]]) -> None:
    _, said, done = whole
    assert (said["replications"], said["reference"], said["level"], said["interrupted"], said["failed"]) == (
        130,
        "history",
        0.95,
        False,
        None,
    )
    assert re.fullmatch("[0-9a-f]{16}", said["run_id"]) and (said["loaded"], said["played"]) == (0, 260)
    assert [each["name"] for each in said["scenarios"]] == list(PAIR)
    seen = progress(done.stderr)
    assert all(line["total"] == 260 for line in seen)
    assert [line["done"] for line in seen] == sorted(line["done"] for line in seen) and seen[-1]["done"] == 260
    assert seen[-1]["half_width"] > 0 and seen[-1]["left"] == 0 and seen[-1]["unit"] == "MW IT"


def test_two_workers_and_chunks_give_the_same_bytes(
    whole: tuple[Path, dict[str, Any], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = groundbreak(
        "sweep", *PAIR, *SHORT, "--replications", "130", "--workers", "2", "--chunk", "200", "--store", str(tmp_path / "store"), cwd=ROOT
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "store") == contents(whole[0])
    assert done.stdout.splitlines()[0] == "history and no-controls: 2 scenarios x 130 replications, assumptions drawn at random."
    assert "IT capacity online on 2025-06-30: mean of futures, and 10 to 90 % of them." in done.stdout
    assert re.search(r"^    1\. (history|no-controls) +[\d.,]+ [MG]W \([\d.,]+ [MG]W to [\d.,]+ [MG]W\)$", done.stdout, re.M)
    assert re.search(r"^More replications (would not|may) change the ranking", done.stdout, re.M)
    assert re.search(r"^260 of 260 runs; no-controls - history: [+-]", done.stderr, re.M)


def test_asked_again_it_is_read_and_exported(
    whole: tuple[Path, dict[str, Any], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    store, said, _ = whole
    before, out = contents(store), tmp_path / "out"
    done = groundbreak("sweep", *PAIR, *SHORT, "--replications", "130", "--store", str(store), "--out", str(out))
    assert done.returncode == 0 and f"Run {said['run_id']}: 260 runs, 260 of them stored before, in {store}" in done.stdout
    assert done.stderr == "" and f"Tables are in {out}" in done.stdout and contents(store) == before
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert names >= {
        "headlines.parquet", "increments.parquet", "logs.parquet", "means.csv", "differences.csv", "summary.txt", "manifest.json",
        "scenarios/history.yaml", "scenarios/no-controls.yaml",
    }  # fmt: skip
    gaps = pd.read_csv(out / "differences.csv")
    assert len(gaps) == len(said["differences"]) and set(gaps["scenario"]) == {"no-controls"}
    assert (out / "summary.txt").read_text() in done.stdout
    assert len(pd.read_parquet(out / "headlines.parquet")) == 260


def test_runs_are_listed_shown_and_removed(
    whole: tuple[Path, dict[str, Any], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    shutil.copytree(whole[0], tmp_path / "store", ignore=shutil.ignore_patterns("locks", "tmp"))
    id, store = whole[1]["run_id"], ("--store", str(tmp_path / "store"))
    listed = groundbreak("runs", "list", *store)
    assert listed.returncode == 0 and re.match(rf"{id} +130 x 2 +seed 1 +[\d.]+ MB +history, no-controls\n$", listed.stdout)
    record = json.loads(groundbreak("runs", "list", "--json", *store).stdout)
    assert record["run_id"] == id and record["replications"] == 130 and record["bytes"] > 0
    shown = groundbreak("runs", "show", id[:8], *store)
    assert shown.returncode == 0 and f"Run {id}: 2 scenarios x 130 replications" in shown.stdout and "260 runs in" in shown.stdout
    assert json.loads(groundbreak("runs", "show", id, "--json", *store).stdout)["differences"] == whole[1]["differences"]
    wrong = groundbreak("runs", "show", "ffff", *store)
    assert wrong.returncode == 2 and "no run in" in wrong.stderr and wrong.stdout == ""
    removed = groundbreak("runs", "remove", id, *store)
    assert removed.returncode == 0 and re.match(r"[\d.]+ MB are free again\n$", removed.stdout)
    assert contents(tmp_path / "store") == {} and groundbreak("runs", "list", *store).stdout.startswith("no runs in ")
    assert groundbreak("runs", "remove", *store).returncode == 2
    assert groundbreak("runs", "remove", "--unfinished", *store).stdout == "0.0 MB are free again\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("history", "policies"), "policies is a sweep: name it alone, or scenarios only"),
        (("polices",), "no shipped scenario has this name"),
        (
            ("history", "--precision", "two"),
            "--precision: 'two' is not a share of the mean of the reference; write for example 2%",
        ),
        (("history", "--budget", "soon"), "--budget: 'soon' is not a length of time; write for example 20s, 5min or 1h"),
        (("history", "--precision-abs", "-3"), "--precision-abs: '-3' is not a positive quantity"),
        (("history", "--max-replications", "5"), "max_replications: is for precision or budget"),
        (("history", "--engine", "simpi"), "'simpi' is not an engine; allowed are simpy, compiled; did you mean 'simpy'?"),
        (("history", "--cluster", "10.0.0.1"), "is no address of a Dask scheduler"),
        (("history", "--reference", "histroy"), "'histroy' is not among the scenarios: history; did you mean 'history'?"),
        (("history", "--set", "end=2025-06-15"), "results are monthly; end on the last day of a month"),
        (("none.yaml",), "none.yaml: no such file"),
    ],
)
def test_bad_input_is_told_and_nothing_is_printed(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = groundbreak("sweep", *arguments, "--store", str(tmp_path / "store"))
    assert done.returncode == 2 and says in done.stderr and done.stdout == ""
    assert contents(tmp_path / "store") == {}


def test_a_sweep_file_with_faults_names_them_all(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\ntitle: Mine\nscenarios: [histroy]\nkeep: all\n")
    done = groundbreak("sweep", str(tmp_path / "mine.yaml"), "--store", str(tmp_path / "store"))
    lines = done.stderr.splitlines()
    assert done.returncode == 2 and len(lines) == 2
    assert (
        lines[0].endswith("did you mean 'history'?")
        and f"{tmp_path / 'mine.yaml'}:4: keep: 'all' is not what can be kept" in lines[1]
    )


def test_a_store_that_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    done = groundbreak("sweep", *PAIR, *SHORT, "--replications", "2", "--store", str(tmp_path))
    assert done.returncode == 2 and "is not a store and holds other files: letters.txt" in done.stderr


def test_the_schema_of_sweeps_is_printed() -> None:
    done = groundbreak("schema", "--sweep")
    assert done.returncode == 0 and json.loads(done.stdout)["title"] == "Groundbreak sweep"


def test_ctrl_c_keeps_what_is_whole_and_the_same_command_goes_on(tmp_path: Path) -> None:
    command = ("sweep", *PAIR, *SHORT, "--replications", "3000", "--workers", "2", "--store", str(tmp_path / "store"), "--json")
    process = begun(*command)
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line).get("replications", 0) >= 100:
            process.send_signal(signal.SIGINT)
            break
    done = ended(process)
    assert done.returncode == 130, done.stderr
    said = json.loads(done.stdout)
    assert said["interrupted"] and 100 <= said["replications"] < 3000
    assert f"interrupted: the results rest on the {said['replications']:,} replications that every scenario has" in done.stderr
    asked = list(command)
    asked[asked.index("3000")] = str(said["replications"])
    again = json.loads(groundbreak(*asked).stdout)
    assert again["run_id"] == said["run_id"] and again["played"] == 0


def test_killed_five_times_it_ends_with_the_same_bytes(
    whole: tuple[Path, dict[str, Any], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Killed with all its workers at moments spread over its work, then left to end."""
    store = tmp_path / "store"
    command = ("sweep", *PAIR, *SHORT, "--replications", "630", "--workers", "2", "--store", str(store))
    expected = tmp_path / "expected"
    assert groundbreak(*command[:-1], str(expected)).returncode == 0
    played = 0
    for kill in range(5):
        process = begun(*command, "--json")
        assert process.stderr is not None
        for line in process.stderr:
            if json.loads(line).get("done", -1) >= 260 * kill:
                break
        time.sleep(0.07 * kill)
        process.kill()
        process.communicate(timeout=60)
    done = groundbreak(*command, "--json")
    assert done.returncode == 0, done.stderr
    played = json.loads(done.stdout)["played"]
    assert contents(store) == contents(expected)
    assert played < 2 * 630, "what was finished before was not played again"


def test_two_processes_that_ask_the_same_do_the_work_once(tmp_path: Path) -> None:
    command = ("sweep", *PAIR, *SHORT, "--replications", "400", "--workers", "1", "--store", str(tmp_path / "store"), "--json")
    both = [ended(process) for process in [begun(*command), begun(*command)]]
    assert [done.returncode for done in both] == [0, 0], [done.stderr for done in both]
    said = [json.loads(done.stdout) for done in both]
    assert sorted(each["played"] for each in said) == [0, 800]
    assert said[0]["run_id"] == said[1]["run_id"] and said[0]["differences"] == said[1]["differences"]


def test_whoever_changes_a_rule_of_the_data_gets_only_its_scenarios_played_again(tmp_path: Path) -> None:
    """In a copy of the checkout, as an analyst would: half the allocation under the tight Framework. (Code in another folder would
    be compiled anew, so everything is played as plain Python.)"""
    for folder in ("simulator", "data", "scenarios"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    command = ("sweep", "history", "diffusion-framework", "framework-tight", *SHORT, "--replications", "2", "--workers", "1")
    command = (*command, "--engine", "simpy", "--store", str(tmp_path / "store"), "--json")

    def said() -> dict[str, Any]:
        done = groundbreak(*command, cwd=tmp_path, GROUNDBREAK_PLAIN="1")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    before = said()
    rule = tmp_path / "data" / "regimes" / "framework-tight.yaml"
    text = rule.read_text()
    assert "allocation.tpp: {value: 395000000" in text
    rule.write_text(text.replace("allocation.tpp: {value: 395000000", "allocation.tpp: {value: 197500000"))
    after = said()
    assert (before["played"], after["played"], after["loaded"]) == (6, 2, 4)
    cells = [[each["cell"] for each in told["scenarios"]] for told in (before, after)]
    assert [a == b for a, b in zip(*cells, strict=True)] == [True, True, False]
    rule.write_text(text)
    back = said()
    assert (back["played"], back["run_id"]) == (0, before["run_id"])


def test_a_local_cluster_gives_the_same_bytes(
    whole: tuple[Path, dict[str, Any], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    pytest.importorskip("distributed")
    store = tmp_path / "store"
    done = groundbreak(
        "sweep", *PAIR, *SHORT, "--replications", "130", "--cluster", "local", "--workers", "2", "--store", str(store)
    )
    assert done.returncode == 0, done.stderr
    assert contents(store) == contents(whole[0])

"""The door: every command as a process, what it prints where, exit codes 0, 2, 3 and 130, and never a traceback."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from simulator.findings import BETWEEN, HEADLINES, MAIN
from simulator.metrics import METRICS, SCALARS, SERIES
from simulator.resources import shipped

ROOT = Path(__file__).resolve().parents[1]
SHORT = ("--set", "end=2025-06-30")
GOLDEN = Path(__file__).with_name("golden") / "compare.csv"
REGENERATE = "GROUNDBREAK_REGENERATE_GOLDEN"
"""Set to 1 to write tests/golden/compare.csv anew: only on purpose, with the reason in the commit."""

ROW_KEYS = ["scenario", "metric", "unit", "company", "country", "tier", "date", "mean", "p10", "p50", "p90"]
DIFFERENCE_KEYS = [
    "reference", "scenario", "metric", "unit", "company", "country", "tier", "date", "mean", "ci_low", "ci_high", "p10", "p50", "p90",
    "share_positive", "share_zero", "replications", "market",
]  # fmt: skip
OBJECT_KEYS = {"schema_version", "run_id", "seed", "replications", "interrupted", "level", "scenarios", "metrics", "differences"}


def environment() -> dict[str, str]:
    """That of a plain shell, with this checkout's code wherever the process starts."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"}


def groundbreak(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "simulator", *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        cwd=cwd or ROOT,
        env=environment(),
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def called(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    """The entry point in this process: exit code, standard output, standard error. Quicker where only words are looked at."""
    from simulator.cli import main

    monkeypatch.setattr(sys, "argv", ["groundbreak", *arguments])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def refused(done: subprocess.CompletedProcess[str] | tuple[int, str, str]) -> list[str]:
    """The lines of a refusal: exit code 2, nothing on standard output."""
    code, out, err = done if isinstance(done, tuple) else (done.returncode, done.stdout, done.stderr)
    assert (code, out) == (2, "")
    return err.strip().splitlines()


# ------------------------------------------------------------------ the door itself


def test_version_is_that_of_the_project_file() -> None:
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert declared is not None
    done = groundbreak("--version")
    assert (done.returncode, done.stdout) == (0, f"groundbreak {declared[1]}\n")


def test_help_lists_exactly_the_commands_there_are_and_each_has_its_own() -> None:
    from simulator.cli import app

    done = groundbreak("--help")
    listed = re.findall(r"^  ([a-z]+)  ", done.stdout.split("Commands:")[1], re.M)
    there = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    there += [group.name or "" for group in app.registered_groups]
    assert done.returncode == 0 and sorted(listed) == sorted(there)
    assert set(listed) >= {"run", "compare", "validate", "explain", "schema", "data"}


def test_every_command_has_help_with_a_sentence_for_each_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from simulator.cli import app

    groups = [(group.name or "", group.typer_instance) for group in app.registered_groups]
    commands = [((), command) for command in app.registered_commands]
    commands += [((name,), command) for name, group in groups if group for command in group.registered_commands]
    for before, command in commands:
        assert command.callback is not None
        code, out, _ = called(capsys, monkeypatch, *before, command.name or command.callback.__name__, "--help")
        assert code == 0
        options = [line for line in out.splitlines() if re.match(r"  --", line)]
        assert options and all(len(line.split()) > 3 or line.startswith("  --help") or len(line) < 40 for line in options)


def test_no_arguments_show_the_help_and_an_unknown_command_is_bad_input() -> None:
    done = groundbreak()
    assert done.returncode == 2 and "Commands:" in done.stdout + done.stderr
    done = groundbreak("comprae")
    assert done.returncode == 2 and "No such command" in done.stderr


def test_the_door_opens_without_anything_heavy() -> None:
    script = "import sys, simulator.cli; print(sorted({'numpy', 'pandas', 'scipy', 'pydantic', 'simpy', 'pyarrow', 'ruamel.yaml'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(), cwd=ROOT, check=True, timeout=30
    )
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------------ compare


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    """`compare --json --out` from another folder than the checkout: the object, standard error, the results folder."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = groundbreak(
        "compare", "no-controls", "history", "--replications", "3", "--seed", "7", *SHORT, "--json", "--out", "out", cwd=elsewhere
    )
    assert done.returncode == 0, done.stderr

    def word(constant: str) -> None:
        raise AssertionError(f"{constant} in JSON")

    return json.loads(done.stdout, parse_constant=word), done.stderr, elsewhere / "out"


def test_the_json_object_keeps_its_contract(compared: tuple[dict[str, Any], str, Path]) -> None:
    said, progress, _ = compared
    assert set(said) >= OBJECT_KEYS
    assert (said["schema_version"], said["seed"], said["replications"], said["interrupted"], said["level"]) == (
        2,
        7,
        3,
        False,
        0.95,
    )
    assert said["scenarios"] == ["no-controls", "history"]
    assert re.fullmatch(r"[0-9a-f]{16,}", said["run_id"])
    assert progress.splitlines()[-1] == "3 of 3 replications"
    for row in said["metrics"]:
        assert list(row) == [*ROW_KEYS, "share_reached", "market"]
    for row in said["differences"]:
        assert list(row) == DIFFERENCE_KEYS
        assert (row["reference"], row["scenario"]) == ("no-controls", "history")


def test_rows_have_declared_metrics_month_ends_and_null_only_where_not_reached(
    compared: tuple[dict[str, Any], str, Path],
) -> None:
    said, _, _ = compared
    for row in (*said["metrics"], *said["differences"]):
        assert METRICS[row["metric"]].unit == row["unit"]
        day = date.fromisoformat(row["date"])
        assert (day + timedelta(days=1)).day == 1
        numbers = [row[key] for key in ("mean", "p10", "p50", "p90")]
        assert numbers == [None] * 4 or all(isinstance(n, float) and math.isfinite(n) for n in numbers)
        reached = row["share_reached"] if "share_reached" in row else row["replications"]
        assert (numbers[0] is None) == (reached == 0)
    assert set(METRICS) >= {row["metric"] for row in said["metrics"]} >= {metric.id for metric in (*SERIES, *SCALARS)}
    assert {row["metric"] for row in said["differences"]} - {row["metric"] for row in said["metrics"]} <= BETWEEN
    assert {row["company"] for row in said["metrics"]} == {"all", "aws", "google", "microsoft", "oracle"}
    assert any(row["mean"] is None for row in said["metrics"]), "18 months are too short for a median: null, not a number"


def test_the_folder_and_the_object_are_of_the_same_run(compared: tuple[dict[str, Any], str, Path]) -> None:
    said, _, out = compared
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["run_id"], manifest["seed"], manifest["replications"]) == (said["run_id"], 7, 3)
    assert sorted(p.name for p in (out / "scenarios").iterdir()) == ["history.yaml", "no-controls.yaml"]
    assert [p.name for p in out.parent.iterdir()] == ["out"]


def test_the_table_names_every_scenario_and_metric_and_the_reference_may_be_chosen(tmp_path: Path) -> None:
    done = groundbreak(
        "compare",
        "no-controls",
        "history",
        "october-2023-rule",
        "--reference",
        "history",
        "--replications",
        "2",
        *SHORT,
        "--full",
        "--out",
        str(tmp_path / "r"),
    )
    assert done.returncode == 0, done.stderr
    head = done.stdout[: done.stdout.index("CAPACITY")]
    for name in ("no-controls", "history", "october-2023-rule"):
        assert name in head
    assert head.startswith("IT capacity online at the end of 2024 under history: ")
    assert sum(line.split() == ["at", "difference", "reference", "difference"] for line in head.splitlines()) == 1
    assert "95 % interval of that mean" in done.stdout
    summary = (tmp_path / "r" / "summary.txt").read_text()
    told = [line for line in done.stdout.splitlines() if "paired runs is known to ±" in line]
    assert told and all(line.strip() in summary for line in told), "a finding reads the same in the folder"
    for metric in (*SERIES, *SCALARS):
        assert metric.name in done.stdout
    for section, _ in HEADLINES:
        assert section.upper() in done.stdout
    assert f"Results are in {tmp_path / 'r'}" in done.stdout
    assert "NaN" not in done.stdout and "nan" not in done.stdout.replace("Nanjing", "")


def test_one_scenario_alone_is_shown_without_differences(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = called(capsys, monkeypatch, "compare", "history", "--replications", "1", "--json", *SHORT)
    said = json.loads(out)
    assert code == 0 and said["differences"] == [] and said["scenarios"] == ["history"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("compare", "history", "history"), "share a name: history"),
        (("compare", "history", "nocontrols"), "did you mean 'no-controls'?"),
        (("compare", "history", "no-controls", "--reference", "baseline"), "'baseline' is not among the scenarios: history, no-controls"),
        (("compare", "history", "--start", "2024-02-30"), "'2024-02-30' is not a date; write it as YYYY-MM-DD"),
        (("compare", "history", "--start", "1999-01-01"), "too early"),
        (("compare", "history", "--as-known-on", "yesterday"), "--as-known-on: 'yesterday' is not a date"),
        (("compare", "history", "--set", "policy.forsight=false"), "foresight"),
        (("compare", "history", "--set", "end=2023-01-01"), "end"),
        (("compare", "history", "--override", "no-such-block"), "no-such-block"),
        (("run", "history", "--story", "nobody/1", *SHORT), "no project 'nobody/1'"),
        (("compare", "history", "no-controls", "--story", "nobody/1", *SHORT), "no project 'nobody/1'"),
        (("compare", "history", "--story", "aws/2024Q1/00"), "a story is told under two scenarios, not 1"),
        (("run", "history.yml"), "history.yml"),
        (("validate", "history", "nonsense"), "no shipped scenario has this name"),
        (("data", "--kind", "reportd"), "did you mean 'reported'?"),
        (("data", "--table", "suply"), "did you mean 'supply'?"),
        (("data", "--country", "ARX"), "'ARX' is not a country of data/countries.csv; did you mean"),
        (("data", "--parameter", "shiped_h100e"), "did you mean 'shipped_h100e'?"),
        (("data", "--kind", "reported", "--parameter", "h100", "--country", "ISL"), "no input matches"),
        (("explain", "histroy"), "did you mean 'history'?"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_a_sentence(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = refused(called(capsys, monkeypatch, *arguments))
    assert any(says in line for line in lines), lines


@pytest.mark.parametrize(
    "arguments",
    [("compare",), ("compare", "history", "--replications", "0"), ("compare", "history", "--replications", "many"), ("compare", "history", "--seed", "-1"),
     ("compare", "history", "--workers", "0"), ("run",), ("run", "history", "--replication", "-1"), ("compare", "history", "--loud")],
)  # fmt: skip
def test_options_out_of_range_are_bad_input(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert any("Error:" in line for line in refused(called(capsys, monkeypatch, *arguments)))


def test_out_is_refused_before_the_work_and_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("years of work")
    [line] = refused(
        groundbreak("compare", "history", "no-controls", "--out", str(tmp_path))
    )  # 100 replications, were it to begin
    assert "is not empty and holds no earlier results" in line
    [line] = refused(groundbreak("compare", "history", "--out", str(tmp_path / "thesis.doc")))
    assert "is a file; name a folder" in line
    assert (tmp_path / "thesis.doc").read_text() == "years of work" and len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_a_failure_in_words_and_earlier_results_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("compare", "history", "--replications", "1", "--workers", "1", *SHORT, "--out", str(tmp_path / "out"))
    assert called(capsys, monkeypatch, *arguments)[0] == 0
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir() if p.is_file()}
    for broken in ("mkdtemp", "rename", "write"):
        with monkeypatch.context() as patch:
            import pathlib
            import tempfile

            def full(*_: Any, **__: Any) -> None:
                raise OSError(28, "No space left on device")

            patch.setattr(
                *{"mkdtemp": (tempfile, "mkdtemp"), "rename": (os, "rename"), "write": (pathlib.Path, "write_text")}[broken], full
            )
            code, out, err = called(capsys, monkeypatch, *arguments)
        assert code == (2 if broken == "mkdtemp" else 3)
        assert "No space left on device" in err and "Traceback" not in err and "Results are in" not in out
        assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir() if p.is_file()} == before
        assert [p.name for p in tmp_path.iterdir()] == ["out"], "no temporary folder is left"


# ------------------------------------------------------------------ stopping


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment(), start_new_session=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def ready() -> None:
    """The engine and the measures are compiled: what is interrupted is then the work itself."""
    from simulator import engines, experiments
    from simulator.scenario import load_scenario

    engines.make_ready()
    experiments.compare([load_scenario("history", sets=["end=2024-06-30"])], replications=1)


@pytest.mark.usefixtures("ready")
def test_ctrl_c_keeps_what_is_finished_and_says_so(tmp_path: Path) -> None:
    process = started(
        "compare", "history", "no-controls", "--replications", "200", *SHORT, "--json", "--out", str(tmp_path / "out")
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    assert re.fullmatch(r"\d+ of 200 replications\n", first), first + process.stderr.read()
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the workers too
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    said = json.loads(out)
    assert said["interrupted"] is True and 0 < said["replications"] < 200
    assert f"interrupted: {said['replications']} of 200 replications finished" in err
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["interrupted"], manifest["replications"], manifest["replications_asked"]) == (
        True,
        said["replications"],
        200,
    )
    assert all(row["replications"] <= said["replications"] for row in said["differences"])


def test_ctrl_c_before_the_first_replication_leaves_earlier_results(
    compared: tuple[dict[str, Any], str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, out = compared
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    from simulator import experiments

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(experiments, "_replicate", interrupt)
    code, said, err = called(
        capsys, monkeypatch, "compare", "history", "--replications", "2", "--workers", "1", *SHORT, "--out", str(out)
    )
    assert (code, said) == (130, "")
    assert "interrupted before the first replication was finished; nothing was written" in err
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


@pytest.mark.usefixtures("ready")
def test_ctrl_c_while_workers_start_ends_without_a_traceback(tmp_path: Path) -> None:
    process = started("compare", "history", "no-controls", "--replications", "200", *SHORT, "--out", str(tmp_path / "out"))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None and not (children.exists() and len(children.read_text().split()) >= 2):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert not out or "of 200 replications finished" in err


@pytest.mark.parametrize("arguments", ["data", "schema", "explain history no-controls"])
def test_a_reader_that_leaves_early_is_no_failure(arguments: str) -> None:
    """`groundbreak data | head -1`"""
    process = started(*arguments.split())
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) in (0, 1) and "Traceback" not in err and "Exception ignored" not in err


def test_a_failure_inside_is_told_in_a_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from simulator import world

    def breaks(**_: Any) -> None:
        raise OSError(5, "Input/output error", "data/supply.csv")

    monkeypatch.setattr(world, "load_world", breaks)
    code, out, err = called(capsys, monkeypatch, "explain", "history")
    assert (code, out) == (3, "")
    assert err.startswith("failed: ") and "data/supply.csv" in err and len(err.splitlines()) == 1


# ------------------------------------------------------------------ run


def test_run_prints_what_came_of_it_and_projects_to_look_at(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = called(capsys, monkeypatch, "run", "diffusion-framework", "--seed", "7", "--set", "end=2026-12-31")
    assert code == 0
    for _, metrics in HEADLINES:
        assert all(METRICS[metric].name in out for metric in set(metrics) - BETWEEN)
    assert "replication 0 of seed 7" in out and "nan" not in out
    names = out.split("--story: ")[1].strip().split(", ")
    code, story, _ = called(
        capsys, monkeypatch, "run", "diffusion-framework", "--seed", "7", "--set", "end=2026-12-31", "--story", names[0]
    )
    lines = story.splitlines()
    assert code == 0 and lines[0].startswith(names[0] + ": ")
    days = [line[:10] for line in lines if re.match(r"\d{4}-\d\d-\d\d  ", line)]
    assert len(days) > 3 and days == sorted(set(days)) and days == [line[:10] for line in lines[1 : 1 + len(days)]]
    assert any(line.startswith("Its ") and "MW-days since the start went to: " in line for line in lines[1 + len(days) :])


def test_seeds_and_replications_choose_the_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def printed(*more: str) -> str:
        return called(capsys, monkeypatch, "run", "history", *SHORT, *more)[1]

    first = printed()
    assert printed("--seed", "1", "--replication", "0") == first
    assert printed("--seed", "2").split("\n", 1)[1] != first.split("\n", 1)[1]
    assert printed("--replication", "1").split("\n", 1)[1] != first.split("\n", 1)[1]


def test_history_also_runs_from_2023(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = called(
        capsys,
        monkeypatch,
        "compare",
        "history",
        "--start",
        "2023-01-01",
        "--set",
        "end=2023-12-31",
        "--replications",
        "1",
        "--json",
    )
    assert code == 0, err
    rows = json.loads(out)["metrics"]
    assert {row["date"] for row in rows} == {"2023-12-31"}
    online = next(
        row["mean"]
        for row in rows
        if row["metric"] == "it_mw_online" and row["company"] == row["country"] == row["tier"] == "all"
    )
    assert online > 0


# ------------------------------------------------------------------ the same project under two policies

PAIR = ("compare", "no-controls", "diffusion-framework", "--seed", "7", "--set", "end=2027-12-31")


def beside(columns: int, *more: str) -> list[str]:
    """`compare A B --story` as a process, in a terminal of so many columns."""
    done = subprocess.run(
        [sys.executable, "-m", "simulator", *PAIR, *more],
        capture_output=True, text=True, timeout=90, cwd=ROOT, env={**environment(), "COLUMNS": str(columns)}, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def changed(framework_run: Any) -> str:
    """A project that the law has kept waiting after the start."""
    from simulator.events import Mark

    log = framework_run.log
    late = log[(log["mark"] == Mark.WAITS) & (log["tick"] > 0)]
    return str(framework_run.draws.names[int(late["root"][0])])


def test_a_story_stands_beside_its_twin_where_the_terminal_is_wide_enough(changed: str) -> None:
    lines = beside(200, "--story", changed)
    assert lines[0].startswith(changed + ": ")
    parted = re.match(r"Replication 0 of seed 7\. They part on (\d{4}-\d\d-\d\d)\. First phase online", lines[1])
    assert parted is not None and re.search(r"[\d.]+ months (later|earlier)|the same day|only under|neither", lines[1])
    head = next(i for i, line in enumerate(lines) if "from here on" in line)
    assert lines[head].split() == ["from", "here", "on", "no-controls", "diffusion-framework"]
    before = [line[:10] for line in lines[:head] if re.match(r"\d{4}-", line)]
    after = [line[1:11] for line in lines[head:] if re.match(r" \d{4}-", line)]
    assert before == sorted(before) and all(day < parted[1] for day in before)
    assert after[0] == parted[1] and after == sorted(after)
    assert sum(line.count("MW-days since the start") for line in lines) == 2
    assert max(map(len, lines)) <= 400


def test_in_a_narrow_terminal_one_story_follows_the_other_with_the_same_words(changed: str) -> None:
    narrow, wide = beside(80, "--story", changed), beside(200, "--story", changed)
    assert narrow[:2] == wide[:2]
    parted = re.search(r"part on (\S+)\.", narrow[1])
    assert parted is not None
    heads = [i for i, line in enumerate(narrow) if line.startswith(f"From {parted[1]} on under ")]
    assert [narrow[i].split(" under ")[1] for i in heads] == ["no-controls:", "diffusion-framework:"]
    # Each alone says what `run --story` says from that day on.
    alone = groundbreak("run", "diffusion-framework", *PAIR[3:], "--story", changed).stdout.splitlines()
    assert narrow[heads[1] + 1 :] == [line for line in alone[1:] if not re.match(r"\d{4}-", line) or line[:10] >= parted[1]]


def test_two_equal_policies_have_one_story(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "twin.yaml").write_text("name: twin\ntitle: Twin\nsupposes: The same.\nextends: history\n")
    arguments = ("compare", "history", str(tmp_path / "twin.yaml"), *SHORT, "--replication", "1", "--story", "aws/2023Q1/00")
    code, out, err = called(capsys, monkeypatch, *arguments)
    assert code == 0, err
    assert "Replication 1 of seed 1. The two stories are the same." in out and out.count("planned in") >= 1
    assert "From " not in out


# ------------------------------------------------------------------ inputs as known on a day


def test_an_earlier_knowledge_is_another_question_and_lists_what_was_known_only_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = []
    for i, known in enumerate(((), ("--as-known-on", "2024-01-31"))):
        out = tmp_path / str(i)
        code, _, err = called(
            capsys, monkeypatch, "compare", "history", "--replications", "1", "--workers", "1", *SHORT, "--out", str(out), *known
        )
        assert code == 0, err
        manifests.append(json.loads((out / "manifest.json").read_text()))
    now, then = manifests
    assert (now["as_known_on"], then["as_known_on"]) == (None, "2024-01-31")
    assert now["later_inputs"] == [] and len(then["later_inputs"]) > 10
    assert now["data_digest"] != then["data_digest"] and now["run_id"] != then["run_id"]
    assert now["scenarios"] == then["scenarios"]


# ------------------------------------------------------------------ validate, explain, schema


def test_validate_names_each_scenario_it_found_good(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    names = sorted(p.stem for p in shipped("scenarios").glob("*.yaml"))
    code, out, _ = called(capsys, monkeypatch, "validate", *names)
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines()] == names
    assert len({line.split("(")[1] for line in out.splitlines()}) == len(names), "no two shipped scenarios say the same"


def test_validate_lists_every_problem_of_every_file_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(
        "name: one\ntitle: One\nsupposes: A test.\nextends: history\nend: 2020-01-01\ncolour: red\n"
    )
    (tmp_path / "two.yaml").write_text("name: two\ntitle: Two\nsupposes: A test.\nextends: history\npolicy:\n  forsight: false\n")
    (tmp_path / "three.yaml").write_bytes(b"\xff\xfe\x00name")
    lines = refused(groundbreak("validate", "one.yaml", "two.yaml", "three.yaml", cwd=tmp_path))
    for place in (
        r"^one\.yaml:5: end: ",
        r"^one\.yaml:6: colour: ",
        r"^two\.yaml:6: policy\.forsight: .*foresight",
        r"^three\.yaml",
    ):
        assert any(re.search(place, line) for line in lines), (place, lines)


def test_a_scenario_file_of_ones_own_can_be_validated_explained_and_compared(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "name: mine\ntitle: Mine\nsupposes: No foresight.\nextends: history\nend: 2025-06-30\npolicy:\n  foresight: false\n"
    )
    assert groundbreak("validate", "mine.yaml", cwd=tmp_path).stdout.startswith("mine: valid (")
    assert (
        "foresee" in (said := groundbreak("explain", "mine.yaml", cwd=tmp_path).stdout).lower()
        or "foresight" in said.lower()
        or "announced" in said
    )
    done = groundbreak(
        "compare", "history", "mine.yaml", "--reference", "mine.yaml", *SHORT, "--replications", "1", "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["differences"][0]["reference"] == "mine"


def test_explain_says_what_a_scenario_supposes_and_how_two_differ(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = called(capsys, monkeypatch, "explain", "history")
    assert code == 0 and '"history" runs from 1 January 2024 to 31 December 2031.' in out
    code, out, _ = called(capsys, monkeypatch, "explain", "history", "diffusion-framework")
    assert code == 0 and "13 January 2025" in out and re.search(r"\d+ FR \d+", out)
    code, out, _ = called(capsys, monkeypatch, "explain", "history", "history")
    assert (code, out) == (0, "No difference: both scenarios simulate exactly the same.\n")


def test_the_schema_is_valid_and_every_shipped_scenario_keeps_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = called(capsys, monkeypatch, "schema")
    schema = json.loads(out)
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator(schema)
    files = sorted(shipped("scenarios").glob("*.yaml"))
    assert code == 0 and len(files) >= 13
    for path in files:
        plain = json.loads(json.dumps(YAML(typ="safe").load(path.read_text()), default=str))
        assert not list(checker.iter_errors(plain)), path.name
    assert list(checker.iter_errors({"name": "x", "title": "X", "supposes": "Y.", "colour": "red"}))


# ------------------------------------------------------------------ data


def test_data_shows_the_inputs_of_a_country_with_unit_kind_date_and_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = called(capsys, monkeypatch, "data", "--country", "gbr", "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and found
    tables = {record["table"] for record in found}
    assert {"countries", "markets", "fleets"} <= tables
    for record in found:
        assert record["unit"] or record["text"] is not None
        assert record["kind"] in ("reported", "derived", "recalled", "assumed")
        assert date.fromisoformat(record["known_from"]) and record["as_of"]
        assert record["source_url"] or record["note"]
    assert not {"USA", "BRA"} & {record["entity"] for record in found}
    _, text, _ = called(capsys, monkeypatch, "data", "--country", "GBR")
    assert sum(bool(re.match(r"    (reported|derived|recalled|assumed), of ", line)) for line in text.splitlines()) == len(found)


def test_data_filters_add_up(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def records(*more: str) -> list[dict[str, Any]]:
        code, out, _ = called(capsys, monkeypatch, "data", "--json", *more)
        assert code == 0
        return [json.loads(line) for line in out.splitlines()]

    everything = records()
    by_kind = {kind: records("--kind", kind) for kind in {r["kind"] for r in everything}}
    assert sum(map(len, by_kind.values())) == len(everything)
    assert all(r["kind"] == kind for kind, found in by_kind.items() for r in found)
    narrow = records("--table", "supply", "--parameter", "shipped_h100e")
    assert narrow == [r for r in everything if r["table"] == "supply" and "shipped_h100e" in r["parameter"]]
    earlier = records("--table", "supply", "--parameter", "shipped_h100e", "--as-known-on", "2024-06-30")
    assert [r["mode"] for r in earlier] != [r["mode"] for r in narrow]


# ------------------------------------------------------------------ memory


def test_a_small_comparison_gives_the_numbers_it_gave_before(compared: tuple[dict[str, Any], str, Path]) -> None:
    """By memory: totals, companies and tiers at the last date. A wanted change of numbers is written anew with the variable above."""
    said, _, _ = compared
    columns = [
        "kind",
        "scenario",
        "metric",
        "company",
        "tier",
        "mean",
        "p10",
        "p50",
        "p90",
        "ci_low",
        "ci_high",
        "share_positive",
        "share_zero",
    ]
    now = [
        {name: {"kind": kind, **row}.get(name) for name in columns}
        for kind in ("metrics", "differences")
        for row in said[kind]
        if row["date"] == "2025-06-30"
        and row["country"] == "all"
        and "all" in (row["company"], row["tier"])
        and row["metric"] in MAIN
    ]
    if os.environ.get(REGENERATE) == "1":
        GOLDEN.parent.mkdir(exist_ok=True)
        with GOLDEN.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(now)
    with GOLDEN.open(newline="") as file:
        before = list(csv.DictReader(file))
    assert [[str(row[c]) for c in columns[:5]] for row in now] == [[row[c] for c in columns[:5]] for row in before]
    changed = []
    for old, new in zip(before, now, strict=True):
        for column in columns[5:]:
            was, value = (None if old[column] == "" else float(old[column])), new[column]
            same = was is value is None or (
                was is not None and value is not None and math.isclose(was, value, rel_tol=1e-9, abs_tol=1e-9)
            )
            if not same:
                changed.append(f"{old['scenario']} {old['metric']} {old['company']} {old['tier']} {column}: {was} -> {value}")
    assert not changed, (
        f"{len(changed)} numbers changed, for example {changed[:3]}; if that is wanted, run with {REGENERATE}=1 and say why"
    )


def test_progress_only_counts_up(compared: tuple[dict[str, Any], str, Path]) -> None:
    done = [int(line.split()[0]) for line in compared[1].splitlines()]
    assert all(a < b for a, b in pairwise(done)) and done[-1] == 3


# ------------------------------------------------------------------ analyse and backtest


def test_analyse_ranks_the_inputs_asked_for_and_writes_the_table(tmp_path: Path) -> None:
    out = tmp_path / "rank.csv"
    arguments = ["analyse", "history", "diffusion-framework", "--lucks", "1", "--set", "end=2025-12-31", "--workers", "1"]
    arguments += ["--only", "grid_share_of_four", "--only", "internal_cost_per_application", "--out", str(out)]
    done = groundbreak(*arguments)
    assert done.returncode == 0, done.stderr
    assert "process/grid_share_of_four" in done.stdout
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["input"] for row in rows} == {"process/grid_share_of_four", "costs/internal_cost_per_application"}
    # One sets how fast grids connect, the other only what a form costs.
    online = {row["input"]: float(row["swing"]) for row in rows if row["headline"] == "mw_online"}
    assert abs(online["process/grid_share_of_four"]) > 100
    assert online["costs/internal_cost_per_application"] == 0


def test_analyse_refuses_an_unknown_input_and_a_folder_that_is_not_there(tmp_path: Path) -> None:
    wrong = groundbreak("analyse", "history", "diffusion-framework", "--only", "grid_share_of_fuor", "--set", "end=2025-12-31")
    assert wrong.returncode == 2
    assert "grid_share_of_four" in wrong.stderr  # the nearest name
    nowhere = groundbreak("analyse", "history", "diffusion-framework", "--out", str(tmp_path / "none" / "rank.csv"))
    assert nowhere.returncode == 2
    assert "there is no folder" in nowhere.stderr


def test_backtest_prints_both_runs_beside_the_baseline() -> None:
    done = groundbreak("backtest", "--replications", "1", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["replications"] == 1
    assert {row["label"] for row in found["rows"]} >= {"input", "output"}
    assert any(row["baseline"] is not None for row in found["rows"])

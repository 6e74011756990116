"""The results folder: what is in it, that the same question gives the same bytes, and that earlier results are never harmed."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simulator import results
from simulator.causes import CAUSES
from simulator.events import Mark, Stage
from simulator.experiments import Comparison, compare
from simulator.metrics import METRICS, SERIES
from simulator.problems import InputProblems
from simulator.results import as_json, check_target, manifest, run_id, write, writing
from simulator.scenario import content_hash, load_scenario
from simulator.statistics import differences, rows
from simulator.tables import DEAL_STEPS, TOLD, told

FILES = {
    "manifest.json", "summary.txt", "meanings.csv", "metrics.csv", "metrics.parquet", "differences.csv", "differences.parquet",
    "provisions.csv", "provisions.parquet", "monthly.parquet", "events.parquet", *(f"{name}.parquet" for name in TOLD),
    "scenarios/history.yaml", "scenarios/no-controls.yaml",
}  # fmt: skip


def stored(comparison: Comparison, out: Path) -> Path:
    with writing(out) as folder:
        write(comparison, list(rows(comparison)), list(differences(comparison)), "summary\n", folder)
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def folder(short_comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(short_comparison, tmp_path_factory.mktemp("results") / "out")


# ------------------------------------------------------------------ content


def test_the_folder_holds_scenarios_tables_events_and_a_manifest(folder: Path) -> None:
    assert set(content(folder)) == FILES
    assert folder.stat().st_mode & 0o777 == 0o755


def test_the_manifest_says_what_was_run_on_what_without_clock_times(folder: Path, short_comparison: Comparison) -> None:
    said = json.loads((folder / "manifest.json").read_text())
    assert said == {**manifest(short_comparison), "files": sorted(FILES - {"manifest.json"})}
    assert (said["product"], said["seed"], said["replications"], said["replications_asked"]) == ("groundbreak", 7, 3, 3)
    assert said["interrupted"] is False and said["reference"] == "no-controls" and said["events_of_replications"] == [0, 1]
    assert said["scenarios"] == {s.name: content_hash(s) for s in short_comparison.scenarios}
    assert said["data_digest"] == short_comparison.world.digest
    assert not [key for key in said if "time" in key or "date" in key.replace("data", "") or "host" in key or "path" in key]


def test_the_stored_scenarios_are_the_ones_that_ran(folder: Path, short_comparison: Comparison) -> None:
    for scenario in short_comparison.scenarios:
        again = load_scenario(folder / "scenarios" / f"{scenario.name}.yaml")
        assert content_hash(again) == content_hash(scenario)


@pytest.mark.parametrize("name", ["metrics", "differences", "provisions"])
def test_parquet_and_csv_say_the_same(name: str, folder: Path) -> None:
    binary, text = pd.read_parquet(folder / f"{name}.parquet"), pd.read_csv(folder / f"{name}.csv", dtype={"tier": str})
    assert len(binary) > 0
    pd.testing.assert_frame_equal(binary, text, check_dtype=False, check_exact=True)


def test_the_tables_are_the_rows(folder: Path, short_comparison: Comparison) -> None:
    for name, found in (("metrics", rows(short_comparison)), ("differences", differences(short_comparison))):
        expected = pd.DataFrame([asdict(row) for row in found])
        pd.testing.assert_frame_equal(pd.read_parquet(folder / f"{name}.parquet"), expected, check_dtype=False, check_exact=True)
    monthly = pd.read_parquet(folder / "monthly.parquet")
    assert monthly["date"].nunique() == 18
    assert set(pd.read_csv(folder / "meanings.csv")["id"]) == set(METRICS) >= set(monthly["metric"])


def in_order(table: pd.DataFrame, *names: str) -> None:
    """Of each two milestones that were both reached, the first came no later."""
    for earlier, later in pairwise(names):
        both = table.dropna(subset=[earlier, later])
        assert len(both) and (both[earlier] <= both[later]).all(), (earlier, later)


def test_the_sites_table_has_a_row_for_every_site_with_its_milestones_in_order(
    folder: Path, short_comparison: Comparison
) -> None:
    table = pd.read_parquet(folder / "sites.parquet")
    draws, log = short_comparison.runs["history"][0]
    mine = table[(table["scenario"] == "history") & (table["replication"] == 0)]
    planned = log[log["mark"] == Mark.PLANNED]
    assert len(mine) == len(planned)
    assert set(mine["project"]) <= set(draws.names)
    assert mine["it_mw"].sum() == (planned["quantity"] / 16).sum()
    assert mine["it_mw_online"].sum() == (log["quantity"][log["mark"] == Mark.ONLINE] / 16).sum()
    in_order(table, "planned", "site_control", "ground_breaking", "shell_ready")
    in_order(table, "site_control", "first_power", "first_online", "full")
    assert table["first_online"].max() <= pd.Timestamp("2025-06-30")
    assert not table.duplicated(["scenario", "replication", "project", "hop"]).any()
    late = table.dropna(subset=["slippage_days"])
    days = (late["first_power"] - late["own_date"]).dt.days
    assert len(late) and ((late["slippage_days"] - days).abs() < 1).all()
    assert set(table["end"]) <= {"online", "partly online", "in fleet", "open", "relocated", "cancelled", "let"}


def test_the_phases_table_says_what_held_up_each_phase_and_how_it_came_online(folder: Path, short_comparison: Comparison) -> None:
    table = pd.read_parquet(folder / "phases.parquet")
    sites = pd.read_parquet(folder / "sites.parquet")
    key = ["scenario", "replication", "project", "hop"]
    assert not table.duplicated([*key, "phase"]).any()
    by_site = table.groupby(key)[["it_mw", "it_mw_online"]].sum()
    pd.testing.assert_frame_equal(
        by_site.sort_index(), sites.set_index(key)[["it_mw", "it_mw_online"]].sort_index(), check_names=False
    )  # fmt: skip
    assert (table.groupby(key).size().sort_index() == sites.set_index(key)["phases"].sort_index()).all()
    in_order(table[~table["front_loaded"]], "ready", "shipped")
    in_order(table, "shipped", "installed", "online")
    assert table[list(CAUSES.values())].sum(axis=1).to_numpy() == pytest.approx(table["days"].to_numpy())
    assert ((table["end"] == "online") == table["online"].notna()).all()
    assert ((table["end"] == "in fleet") == table["in_fleet"].notna()).all()
    causes = pd.read_parquet(folder / "causes.parquet")
    total = (table["days"] * table["it_mw"]).groupby([table["scenario"], table["replication"]]).sum()
    assert causes.groupby(["scenario", "replication"])["mw_days"].sum().to_numpy() == pytest.approx(total.to_numpy())


def test_campuses_hold_every_site_once(folder: Path) -> None:
    table, sites = pd.read_parquet(folder / "campuses.parquet"), pd.read_parquet(folder / "sites.parquet")
    for column, of_sites in (("it_mw_planned", "it_mw"), ("it_mw_online", "it_mw_online")):
        assert table[column].sum() == pytest.approx(sites[of_sites].sum())
    assert table["sites"].sum() == len(sites)
    reached = table.dropna(subset=["facility_mw_300"])
    assert (reached["facility_mw_online"] >= 300).all()


def test_licences_are_the_applications_of_the_log(folder: Path, short_comparison: Comparison) -> None:
    table = pd.read_parquet(folder / "licences.parquet")
    for name, runs in short_comparison.runs.items():
        for replication, (_, log) in runs.items():
            mine = table[(table["scenario"] == name) & (table["replication"] == replication) & (table["kind"] == "licence")]
            filed = log[(log["stage"] == Stage.LICENCE_REVIEW) & (log["mark"] == Mark.FILED)]
            assert len(mine) == len(filed) and mine["tpp"].sum() == filed["quantity"].sum()
            decided = mine.dropna(subset=["decided"])
            assert set(decided["decision"]) <= {"approved", "denied", "returned"}
            assert (decided["days"] >= decided["queue_days"] + decided["stop_days"] - 1e-6).all()
    assert set(table["kind"]) <= {"licence", "universal authorisation", "national authorisation", "real grant"}


def test_ledgers_balance_in_the_file_too(folder: Path) -> None:
    table = pd.read_parquet(folder / "ledgers.parquet")
    change = table["released"] + table["given_back"] - table["lapsed"] - table["drawn"] - table["drawn_by_others"]
    assert (table["opening"] + change == table["closing"]).all()
    assert {"chips in stock", "chips on order", "construction capacity", "footprints"} <= set(table["ledger"])
    tpp = table["unit"] == "TPP"
    assert table.loc[tpp, "closing_mw"].notna().all() and table.loc[~tpp, "closing_mw"].isna().all()


def test_a_deal_is_told_in_six_quantities_that_the_metrics_share(tmp_path: Path) -> None:
    from simulator.statistics import rows as all_rows

    found = compare([load_scenario("bilateral-deals", (), ("end=2028-12-31",))], replications=1, seed=7)
    deals = told(found)["deals"]
    assert len(deals)
    last = deals[deals["date"] == "2028-12-31"].set_index("country")
    for row in all_rows(found):
        for step in DEAL_STEPS:
            if row.metric == f"deal_{step}_tpp" and row.date == "2028-12-31" and row.mean:
                assert last.loc[row.country, f"{step}_tpp"] == pytest.approx(row.mean)
    for earlier, later in (("announced", "framed"), ("shipped", "installed"), ("installed", "online")):
        assert (deals[f"{earlier}_tpp"] >= deals[f"{later}_tpp"]).all()


def test_every_kept_table_names_scenario_and_replication(folder: Path) -> None:
    for name in TOLD:
        table = pd.read_parquet(folder / f"{name}.parquet")
        assert {"scenario", "replication"} <= set(table.columns), name
        if name not in ("deals", "headroom"):  # nothing is negotiated or authorised by the middle of 2025
            assert set(table["replication"]) == {0, 1}, name
    delays = pd.read_parquet(folder / "policy_delay.parquet")
    assert set(delays["reference"]) == {"no-controls"} and set(delays["scenario"]) == {"history"}
    survival = pd.read_parquet(folder / "survival.parquet")
    assert survival["cohort"].str.contains("planned since the start").all()


def test_the_events_are_the_whole_log_with_names(folder: Path, short_comparison: Comparison) -> None:
    table = pd.read_parquet(folder / "events.parquet")
    for name, runs in short_comparison.runs.items():
        for replication, (draws, log) in runs.items():
            mine = table[(table["scenario"] == name) & (table["replication"] == replication)]
            for column in log.dtype.names or ():
                if column not in ("stage", "mark"):
                    assert (mine[column].to_numpy() == log[column]).all()
            assert mine["mark"].tolist() == [Mark(m).name.lower() for m in log["mark"]]
            assert mine["stage"].tolist() == [Stage(s).name.lower() for s in log["stage"]]
            assert mine["project"].tolist() == [draws.names[r] if r >= 0 else "" for r in log["root"]]


def test_what_the_events_say_is_what_the_metrics_say(folder: Path) -> None:
    """From the files alone: cancelled megawatts of one replication, and the mean of three in the table."""
    events, table = pd.read_parquet(folder / "events.parquet"), pd.read_parquet(folder / "monthly.parquet")
    total = table[
        (table[["company", "country", "tier"]] == "all").all(axis=1)
        & (table["metric"] == "mw_cancelled")
        & (table["date"] == "2025-06-30")
    ]
    cancelled = (
        events[(events["mark"] == "cancelled") & (events["tick"] >= 0)]
        .groupby(["scenario", "replication"], observed=True)["quantity"]
        .sum()
        / 16
    )
    for name in ("history", "no-controls"):
        mean = float(total[total["scenario"] == name]["mean"].iloc[0])
        of_two = sum(float(cancelled.get((name, r), 0.0)) for r in (0, 1))
        assert 3 * mean >= of_two - 1e-3  # the third replication can only add


def test_a_comparison_in_which_no_provision_did_anything_still_writes_readable_tables(
    short_comparison: Comparison, tmp_path: Path
) -> None:
    from dataclasses import replace

    quiet = replace(short_comparison, provisions={name: np.zeros_like(p) for name, p in short_comparison.provisions.items()})
    out = stored(quiet, tmp_path / "quiet")
    for table in (pd.read_csv(out / "provisions.csv"), pd.read_parquet(out / "provisions.parquet")):
        assert len(table) == 0 and {"scenario", "provision", "waited_mw_days"} <= set(table.columns)


# ------------------------------------------------------------------ the same question, the same bytes


def test_two_runs_of_one_question_are_equal_to_the_last_byte(folder: Path, tmp_path: Path) -> None:
    scenarios = [load_scenario(name, (), ("end=2025-06-30",)) for name in ("no-controls", "history")]
    again = compare(scenarios, replications=3, seed=7, workers=2)
    assert content(stored(again, tmp_path / "again")) == content(folder)


def test_the_run_id_changes_with_the_question_and_only_with_it(short_comparison: Comparison) -> None:
    from dataclasses import replace

    base = run_id(short_comparison)
    assert base == run_id(replace(short_comparison, compiled=()))
    changed = [
        replace(short_comparison, **change)
        for change in ({"seed": 8}, {"finished": (0, 1)}, {"reference": "history"}, {"scenarios": short_comparison.scenarios[:1]})
    ]
    assert len({base, *map(run_id, changed)}) == 5


def test_the_json_object_holds_the_rows_and_nothing_that_is_not_a_number(short_comparison: Comparison) -> None:
    levels, gaps = list(rows(short_comparison)), list(differences(short_comparison))

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in JSON")

    said = json.loads(as_json(short_comparison, levels, gaps), parse_constant=refuse)
    assert said["metrics"] == [asdict(row) for row in levels]
    assert said["differences"] == [asdict(row) for row in gaps]
    assert said["run_id"] == run_id(short_comparison)
    assert {m.id for m in SERIES} <= {row["metric"] for row in said["metrics"]}


# ------------------------------------------------------------------ what is refused


def refusal(out: Path) -> str:
    with pytest.raises(InputProblems) as refused:
        check_target(out)
    [problem] = refused.value.problems
    assert problem.field == "--out"
    return str(problem)


def test_a_foreign_folder_a_file_and_a_place_under_a_file_are_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.doc").write_text("years of work")
    assert "is not empty and holds no earlier results" in refusal(foreign)
    (foreign / "manifest.json").write_text('{"product": "something else"}')
    assert "holds no earlier results" in refusal(foreign)
    (foreign / "manifest.json").write_bytes(b"\xff\x00[")
    assert "holds no earlier results" in refusal(foreign)
    assert "is a file" in refusal(foreign / "thesis.doc")
    assert "cannot be written" in refusal(foreign / "thesis.doc" / "below")
    assert "is no possible path" in refusal(tmp_path / ("x" * 5000))
    with pytest.raises(InputProblems), writing(foreign):
        raise AssertionError("not reached")
    assert (foreign / "thesis.doc").read_text() == "years of work"


@pytest.mark.parametrize("locked", ["parent", "folder"])
def test_a_place_without_permission_is_refused_before_the_work(
    locked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    closed = tmp_path if locked == "parent" else out
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda place, mode: Path(place) != closed and allowed(place, mode))  # tests may run as root
    assert f"no permission in {closed}" in refusal(out)


def test_an_empty_and_a_new_folder_and_earlier_results_are_accepted(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "new" / "below", folder):
        check_target(out)
    assert not (tmp_path / "new").exists(), "checking changes nothing"


# ------------------------------------------------------------------ whole or not at all


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A folder that looks like earlier results."""
    out = tmp_path / "out"
    with writing(out) as folder:
        (folder / "manifest.json").write_text('{"product": "groundbreak", "files": ["metrics.csv"]}')
        (folder / "metrics.csv").write_text("earlier\n")
    return out


def untouched(out: Path) -> bool:
    return [p.name for p in out.parent.iterdir()] == [out.name] and content(out) == {
        "manifest.json": b'{"product": "groundbreak", "files": ["metrics.csv"]}',
        "metrics.csv": b"earlier\n",
    }


def test_new_results_take_the_place_of_earlier_ones_whole(earlier: Path) -> None:
    with writing(earlier) as folder:
        (folder / "manifest.json").write_text('{"product": "groundbreak", "seed": 2}')
        assert (earlier / "metrics.csv").exists(), "until the end the earlier ones stand"
    assert list(content(earlier)) == ["manifest.json"]
    assert [p.name for p in earlier.parent.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "error", [RuntimeError("a fault"), OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_a_failure_in_the_middle_leaves_the_earlier_results_and_nothing_else(error: BaseException, earlier: Path) -> None:
    with pytest.raises(type(error)), writing(earlier) as folder:
        (folder / "metrics.csv").write_text("half")
        raise error
    assert untouched(earlier)


@pytest.mark.parametrize("failing", [1, 2])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_while_putting_the_folder_in_its_place_is_undone(
    failing: int, error: BaseException, earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, calls = os.rename, 0

    def fragile(old: Any, new: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise error
        rename(old, new)

    monkeypatch.setattr(os, "rename", fragile)
    with pytest.raises(type(error)), writing(earlier) as folder:
        (folder / "manifest.json").write_text("{}")
    monkeypatch.undo()
    assert untouched(earlier)


def test_a_disk_that_fills_up_while_tables_are_written_leaves_the_earlier_results(
    earlier: Path, short_comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(OSError, match="No space left"):
        stored(short_comparison, earlier)
    assert untouched(earlier)


def test_a_link_to_earlier_results_stays_a_link(earlier: Path, tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to(earlier)
    with writing(link) as folder:
        (folder / "manifest.json").write_text('{"product": "groundbreak", "seed": 3}')
    assert link.is_symlink()
    assert json.loads((earlier / "manifest.json").read_text())["seed"] == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["latest", "out"]


def test_no_machine_path_is_written_into_results(folder: Path) -> None:
    here = str(Path(results.__file__).resolve().parents[1]).encode()
    assert not [name for name, data in content(folder).items() if here in data or str(folder).encode() in data]


def test_a_file_of_the_users_own_in_an_earlier_results_folder_is_not_lost(short_comparison: Comparison, tmp_path: Path) -> None:
    out = stored(short_comparison, tmp_path / "r")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputProblems, match=r"would be lost: notes\.txt; move them"), writing(out):
        raise AssertionError("refused before anything is written")
    assert (out / "notes.txt").read_text() == "mine"
    (out / "notes.txt").unlink()
    stored(short_comparison, out)

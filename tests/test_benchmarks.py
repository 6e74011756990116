"""The yardstick is sound enough to be measured, and the command prints what it promises. No time is ever asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DAY, ints, tiny_draws, tiny_static

from simulator.compile import compile_scenario
from simulator.events import Mark, Stage
from simulator.scenario import load_scenario
from simulator.static import NO_POT, Draws, Posture, Static
from simulator.units import MW_SIXTEENTHS, ticks
from simulator.world import load_world
from tests.benchmarks.naive import Pipeline
from tests.benchmarks.run import Memory, Turn, as_json, as_table, main, ratios, undisturbed
from tests.benchmarks.speed import LONG, SECTIONS, Line, Section, heap_price

ROOT = Path(__file__).parents[1]
CHIP_TPP = 16_000


def conserved(static: Static, draws: Draws, rows: list[dict[str, Any]]) -> None:
    """Chips taken never exceed chips delivered; days go forward; a phase comes online once; sizes add up."""
    stock: Counter[tuple[int, int]] = Counter()
    online: Counter[tuple[int, int]] = Counter()
    day = static.earliest / DAY
    for row in rows:
        assert row["day"] >= day
        day = row["day"]
        if row["mark"] is Mark.DELIVERED:
            stock[-1 - row["root"], row["pool"]] += row["quantity"]
        elif row["mark"] is Mark.CHIPS_TAKEN:
            company_and_vendor = int(draws.company[row["root"]]), row["pool"]
            stock[company_and_vendor] -= row["quantity"]
            assert stock[company_and_vendor] >= 0
        elif row["mark"] is Mark.ONLINE:
            online[row["root"], row["phase"]] += 1
            assert row["quantity"] == draws.phase_mw16[row["root"], row["phase"]]
    assert set(online.values()) <= {1}


def dates(rows: list[dict[str, Any]], mark: Mark) -> list[float]:
    return [row["day"] for row in rows if row["mark"] is mark]


def test_a_free_project_takes_the_longer_branch() -> None:
    static = tiny_static()
    draws = tiny_draws(static, [(100, 10, 0)])
    rows = Pipeline(static, draws).run()
    conserved(static, draws, rows)
    # day of the plan, site selection, permitting + construction + fit-out, then shipping, installation, commissioning
    assert dates(rows, Mark.ONLINE) == [100 + 10 + 50 + 100 + 20 + 5 + 15 + 10]


def test_phases_wait_for_their_tranche_and_for_chips() -> None:
    static = tiny_static()
    phase_mw16 = ints(1, 12)
    phase_mw16[0, :2] = 5 * MW_SIXTEENTHS
    offset = ints(1, 12)
    offset[0, 1:] = 90 * DAY
    draws = tiny_draws(
        static, [(100, 10, 0)], chips_a_month=100, phases=ints(1, fill=2), phase_mw16=phase_mw16, power_offset=offset
    )
    rows = Pipeline(static, draws).run()
    conserved(static, draws, rows)
    assert dates(rows, Mark.READY) == [280, 300]  # the second tranche comes 90 days after first power on day 210
    assert len(dates(rows, Mark.ONLINE)) == 0  # 48 months bring 4,800 chips of 1 kW, a phase needs 5,000
    assert sum(row["quantity"] for row in rows if row["mark"] is Mark.DELIVERED) == 48 * 100 * 1000


def test_licences_draw_on_a_quota_that_is_never_exceeded() -> None:
    limit = 25_000 * CHIP_TPP  # room for two sites of 10 MW and not for the third
    static = tiny_static(
        needs_licence=np.array([[[[0], [1], [0]]]]),
        posture=ints(1, 1, 3, 1, fill=Posture.CASE_BY_CASE),
        allocation=np.array([[NO_POT, limit, NO_POT]]),
    )
    draws = tiny_draws(static, [(100, 10, 1), (110, 10, 1), (120, 10, 1)])
    rows = Pipeline(static, draws).run()
    conserved(static, draws, rows)
    drawn = [row["quantity"] for row in rows if row["stage"] is Stage.ALLOCATION and row["mark"] is Mark.DRAWN]
    assert drawn == [10_000 * CHIP_TPP] * 2
    assert len(dates(rows, Mark.RELOCATED)) == 1  # its patience ends, and it begins again elsewhere
    assert len(dates(rows, Mark.FULL)) == 3


def test_a_rationed_market_connects_one_after_the_other() -> None:
    static = tiny_static(rationed=np.array([1, 0, 0]))
    draws = tiny_draws(
        static, [(100, 10, 0), (100, 10, 0)], grid_ticks=ints(3, fill=2 * DAY), grid_backlog=ints(3, fill=ticks(150))
    )
    rows = Pipeline(static, draws).run()
    conserved(static, draws, rows)
    energised = [row["day"] for row in rows if row["stage"] is Stage.INTERCONNECTION and row["mark"] is Mark.END]
    assert energised == [150 + 320, 150 + 640]  # 160 sixteenths of a megawatt at two days each


def test_on_site_generation_gives_power_where_the_grid_is_late() -> None:
    static = tiny_static(rationed=np.array([1, 0, 0]), bridging_allowed=np.array([1, 0, 0]))
    supply = ints(len(static.month_starts) - 1, fill=100)
    draws = tiny_draws(
        static, [(100, 10, 0)], grid_backlog=ints(3, fill=900 * DAY), bridge_supply=supply, bridge_lead=ints(1, fill=200 * DAY),
        bridge_trigger=100 * DAY,
    )  # fmt: skip
    rows = Pipeline(static, draws).run()
    conserved(static, draws, rows)
    assert dates(rows, Mark.FIRST_POWER) == [110 + 200]  # 160 units had come by then
    assert [row["day"] for row in rows if row["stage"] is Stage.INTERCONNECTION and row["mark"] is Mark.END] == [900 + 160]


@pytest.mark.parametrize("name", ["history", "diffusion-framework"])
def test_a_shipped_scenario_runs(name: str) -> None:
    compiled = compile_scenario(load_scenario(name, (), ("end=2025-12-31",)), load_world())
    draws = compiled.draw(1, 0)
    rows = Pipeline(compiled.static, draws).run()
    conserved(compiled.static, draws, rows)
    assert Pipeline(compiled.static, draws).run() == rows


def turn(replication: int, simulation: float, yardstick: float) -> Turn:
    return Turn(replication, 1.0, 2, 3, simulation, 1.0, 1.0, yardstick, 10, 20, 1, 10, 20, 1)


def test_ratios_compare_the_least_disturbed_turn_of_each_replication() -> None:
    turns = [turn(0, 10, 30), turn(1, 20, 40), turn(0, 15, 20), turn(1, 10, 50)]
    assert undisturbed(turns, "simulation") == [10, 10]
    assert ratios(turns) == [2.0, 4.0]
    found = json.loads(json.dumps(as_json({"history": turns}, {"history": Memory(6, 1, 2, 3, 4, 6)})))
    assert found["history"]["median_ms"]["simulation"] == 12.5
    assert found["history"]["memory_mib"]["peak"] == 6


def test_the_command_prints_a_row_per_scenario() -> None:
    command = [sys.executable, "-m", "tests.benchmarks", "--replications", "1", "--rounds", "1", "--set", "end=2025-06-30"]
    command += ["--only", "model"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "COLUMNS": "120"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for title in ("Replications per second", "yardstick / engine", "Resident memory"):
        assert title in done.stdout
    for name in ("history", "diffusion-framework"):
        assert sum(line.split()[:1] == [name] for line in done.stdout.splitlines()) == 6  # a row in each table
    assert "Paired comparison" not in done.stdout


def test_a_target_is_met_on_its_own_side_and_nothing_is_said_without_one() -> None:
    assert Line("", 30, "times", 30, least=True).cells() == ("30 times", ">= 30 times", "met")
    assert Line("", 29.5, "times", 30, least=True).cells()[2] == "not met"
    assert Line("", 1.5, "s", 1).cells() == ("1.5 s", "<= 1 s", "not met")
    assert Line("", 0.5, "s", 1).met is True
    assert Line("", 12_345.6, "rows").cells() == ("12,346 rows", "", "")
    table = as_table(Section("Title", "how", [Line("a", 1, "s", 2), Line("b", 3, "s")]))
    assert table.row_count == 2


def test_the_heap_has_a_price_at_any_length() -> None:
    assert heap_price(1)() >= 0


QUICK = [name for name in SECTIONS if name != "start"]


@pytest.mark.parametrize("chosen", [QUICK, pytest.param(["start"], marks=pytest.mark.long)], ids=["quick", "start"])
def test_the_sections_tell_what_they_measured_and_what_was_promised(
    chosen: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    command = ["--replications", "2", "--rounds", "1", "--set", "end=2025-06-30", "--sweep-replications", "3", "--json"]
    main([*command, "--memory-replications", "1", "--only", *chosen])
    found = json.loads(capsys.readouterr().out)
    assert list(found["sections"]) == chosen
    assert set(LONG) < set(SECTIONS)
    assert found["scenarios"] == {}
    lines = {line["what"]: line for section in found["sections"].values() for line in section["lines"]}
    for line in lines.values():
        assert np.isfinite(line["value"])
        assert line["value"] >= 0
        assert (line["met"] is None) == (line["target"] is None)
    if before is not None:
        assert os.sched_getaffinity(0) == before  # nobody after it is left on one core
    if chosen == ["start"]:
        assert [line["target"] for line in lines.values()] == [2, None]  # compiling has no target of its own
        return
    targets = [line["target"] for line in lines.values() if line["target"] is not None]
    assert sorted(targets) == [0.3, 1.1, 2.5, 30, 45, 80]  # those of rates and of 200 replications need more than this plays
    shares = [line["value"] for what, line in lines.items() if what.startswith("share of") and what.count(" ") == 2]
    assert sum(shares) == pytest.approx(100)
    assert "so not compared" in found["sections"]["engines"]["how"]
    assert lines["log rows of a replication"]["value"] >= 1000

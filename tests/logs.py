"""Logs written by hand: a page of events in days, so that every metric can be checked without an engine."""

from __future__ import annotations

from typing import Any

import numpy as np
from conftest import DAY, ints, tiny_draws, tiny_static

from simulator.events import Log, Mark, Row, Stage, to_log
from simulator.spillovers import AfterRun
from simulator.static import PHASES, Draws, Static
from simulator.units import DAYS_PER_YEAR

MONTH = DAYS_PER_YEAR / 12


def after_run(**changes: Any) -> AfterRun:
    """What only measuring reads, in the tiny world: one chip of 1,000 TFLOP/s, round numbers."""
    inputs: dict[str, Any] = {
        "unmet_share": np.array([0.4, 0.3, 0.12, 0.08, 0.1]),
        "utilisation": 0.5,
        "goodput": 0.8,
        "tflops": np.array([1000.0]),
        "closed_years": np.array([2023.0, 2025.0, 2026.0, 2028.0]),
        "open_model_operations": 4e25,
        "server_years": 5.0,
        "facility_years": 20.0,
        "pue": np.array([1.2, 1.5, 1.3]),
        "national_usd": 2e6,
    }
    return AfterRun(**(inputs | changes))


def world(plans: list[list[int]], **changes: Any) -> tuple[Static, Draws]:
    """A tiny world whose projects have the given phases in MW; `changes` go to whichever of the two has the field."""
    static_fields = {name: value for name, value in changes.items() if name in Static.__dataclass_fields__}
    static = tiny_static(**static_fields)
    sizes = ints(len(plans), PHASES)
    for root, phases in enumerate(plans):
        sizes[root, : len(phases)] = np.array(phases) * 16
    drawn = {
        "phases": np.array([len(phases) for phases in plans], dtype=np.int64),
        "phase_mw16": sizes,
        "mw16": sizes.sum(axis=1),
        "campus_mw16": sizes.sum(axis=1),
        "chips_a_month": 0,
        "after_run": after_run(),
    }
    draws = tiny_draws(
        static,
        [(0, sum(phases), 0) for phases in plans],
        **{**drawn, **{name: value for name, value in changes.items() if name not in static_fields}},
    )
    return static, draws


class Page:
    """Rows of a log, written in any order; `log()` puts them in order of time."""

    def __init__(self, static: Static):
        self.static = static
        self.rows: list[Row] = []

    def at(
        self,
        day: float,
        stage: Stage,
        mark: Mark,
        root: int = 0,
        hop: int = 0,
        phase: int = 0,
        *,
        rule: int = -1,
        pool: int = -1,
        quantity: int = 0,
    ) -> Page:
        """One event."""
        self.rows.append((round(day * DAY), root, hop, phase, stage, mark, rule, pool, quantity))
        return self

    def site(self, root: int, mw: int, market: int = 0, hop: int = 0, *, planned: float = 0, **days: float) -> Page:
        """What happens to a whole site: planned, control, ground, own, power, grid, and bridged where asked for."""
        at = {"root": root, "hop": hop, "pool": market}
        self.at(planned, Stage.PROJECT, Mark.PLANNED, **at, quantity=mw * 16)
        for name, stage, mark in (
            ("control", Stage.SITE_SELECTION, Mark.END),
            ("ground", Stage.CONSTRUCTION, Mark.GROUND_BREAKING),
            ("ground", Stage.CONSTRUCTION, Mark.START),
            ("grid", Stage.INTERCONNECTION, Mark.END),
            ("power", Stage.INTERCONNECTION, Mark.FIRST_POWER),
            ("full", Stage.PROJECT, Mark.FULL),
        ):
            if name in days:
                self.at(days[name], stage, mark, **at)
        if "own" in days:
            own = round(days["own"] * DAY)
            self.at(days["ground"], Stage.CONSTRUCTION, Mark.OWN_DATE, **at, quantity=own)
        if "bridged" in days:
            self.at(days["bridged"], Stage.BRIDGING, Mark.BRIDGED, **at, quantity=mw * 16)
        return self

    def phase(
        self,
        root: int,
        phase: int = 0,
        hop: int = 0,
        *,
        mw: int = 0,
        market: int = 0,
        chips: int = 0,
        chip: int = 0,
        rule: int = 0,
        **days: float,
    ) -> Page:
        """What happens to one phase: shell, powered, ready, asked, cleared, shipped (with its chips), installed, online (with its MW)."""
        at = {"root": root, "hop": hop, "phase": phase}
        country = int(self.static.market_country[market])
        for name, stage, mark, pool, quantity in (
            ("shell", Stage.FIT_OUT, Mark.SHELL_READY, market, 0),
            ("powered", Stage.INTERCONNECTION, Mark.POWERED, market, 0),
            ("ready", Stage.PROJECT, Mark.READY, market, mw * 16),
            ("asked", Stage.CLEARANCE, Mark.START, country, 0),
            ("cleared", Stage.CLEARANCE, Mark.CLEARED, country, 0),
            ("shipped", Stage.CHIPS, Mark.CHIPS_TAKEN, chip, chips),
            ("shipped", Stage.SHIPPING, Mark.SHIPPED, country, chips * int(self.static.tpp[chip])),
            ("installed", Stage.INSTALLATION, Mark.END, market, 0),
            ("online", Stage.PROJECT, Mark.ONLINE, market, mw * 16),
        ):
            if name in days:
                ruled = rule if mark in (Mark.CLEARED, Mark.SHIPPED) else -1
                self.at(days[name], stage, mark, **at, rule=ruled, pool=pool, quantity=quantity)
        return self

    def company(self, day: float, stage: Stage, mark: Mark, company: int = 0, **rest: int) -> Page:
        """An event of a company."""
        return self.at(day, stage, mark, -1 - company, **rest)

    def log(self) -> Log:
        """The events in order of time; those of one day as they were written."""
        return to_log(sorted(self.rows, key=lambda row: row[0]))

"""The nouns of the story: a project on its site, the phases it is delivered in, and the alarm that wakes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import simpy

from simulator.events import Order

NOT_YET = -(1 << 60)
"""In place of a tick that is not known yet: ticks before the start date are negative."""


@dataclass(slots=True, eq=False)
class Phase:
    """A part of a project that goes online at once: cleared, filled with chips and shipped to by itself."""

    project: Project
    index: int
    mw16: int
    go: simpy.Event
    """It may gather chips: power and shell are there, or it ships ahead of a restriction"""
    expected: int
    """Tick at which the company expects power and shell"""
    passed: simpy.Event | None
    """It will be cleared; None while it is"""
    missing: int = 2
    """Of power and shell"""
    ready: int = NOT_YET
    site: simpy.Event | None = None
    """Power and shell, for a phase that was shipped to ahead of them"""
    cleared: bool = False
    place: int = 0
    """Tick at which it was expected when it asked: its place among those that ask for the same thing"""
    asked: int = NOT_YET
    """Tick at which clearance was first asked for"""
    rule: int = -1
    """The provision that cleared it"""
    licensed_tpp: int = 0
    licence_until: int = NOT_YET
    """Last tick on which the licence it draws on may be used; NOT_YET without a licence"""
    secure_from: int = NOT_YET
    """Tick of the site's security acceptance, where the way it was cleared asks for one"""
    pledged_tpp: int = 0
    """Counted TPP it holds of the authorisation's headroom between clearance and shipment"""
    refused_tpp: int = 0
    refused_item: int = -1
    """TPP at hand, and the accelerator, when the law of the day stopped a shipment: what clearance is then asked for"""
    waits: tuple[int, int] = (-1, -1)
    """(stage, provision) it waits for, as last written to the log"""
    refusals: int = 0
    shipped: bool = False
    given_up: bool = False
    vendor: int = -1
    life: simpy.Process | None = None

    @property
    def due(self) -> int:
        """Tick at which power and shell were there, or are expected."""
        return self.expected if self.ready == NOT_YET else self.ready

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """Its place among phases that ask for the same thing."""
        return self.place, self.project.root, self.project.hop, self.index


@dataclass(slots=True, eq=False)
class Project:
    """One cluster on one site: it never moves. A relocation is a successor of the same root with the next hop."""

    root: int
    hop: int
    planned: int
    company: int
    vendor: int
    route: int
    sizes: tuple[int, ...]
    """1/16 MW of IT of its phases"""
    market: int = -1
    country: int = -1
    phases: list[Phase] = field(default_factory=list)
    left: frozenset[int] = frozenset()
    """Countries this lineage has given up before"""
    site_control: int = NOT_YET
    expected_power: int = 0
    build_from: int = NOT_YET
    """The company would not break ground before this tick: a margin before its own date of first power, less the time to build"""
    expected_shell: int = 0
    building: int = 0
    """Ticks from ground-breaking to the first finished building, as the company sees it"""
    bridges: bool = False
    """It turns to on-site generation until the grid comes"""
    requested: tuple[int, int, int] | None = None
    """Place in a rationed market's queue"""
    powered: bool = False
    on_grid: bool = False
    broken_ground: bool = False
    shell_ready: int = NOT_YET
    crews: int = 0
    """1/16 MW of construction capacity held"""
    halted: simpy.Event | None = None
    """The shell is not begun while a refusal stands; this event lets it go on"""
    first_power: simpy.Event | None = None
    online: int = 0
    abandoned: bool = False
    branches: list[simpy.Process] = field(default_factory=list)

    @property
    def mw16(self) -> int:
        """Size of the whole project."""
        return sum(self.sizes)

    @property
    def deserted(self) -> bool:
        """Given up as a whole."""
        return self.abandoned and all(f.given_up for f in self.phases)


class Alarm(simpy.Event):
    """An event at a tick, placed inside its instant by class, entity (root, or beyond them a company's account), hop, phase, stage."""

    def __init__(self, env: Any, tick: int, order: Order, root: int = 0, hop: int = 0, phase: int = 0, stage: int = 0):
        # What simpy.Event would set, already triggered: an alarm always goes off.
        self.env, self.callbacks, self._ok, self._value = env, [], True, None
        now = env.now
        env.schedule(self, (((order << 20 | root) << 4 | hop) << 4 | phase) << 5 | stage, tick - now if tick > now else 0)

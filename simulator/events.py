"""What can happen to a cluster, and how it is written down. All results derive from this log.

One row an event: `tick` (2**-20 day from the start date), `order` (its place in the log), `root` (project index), `hop`
(0 the first site, then the relocations), `phase` (0 for what concerns the whole site), `stage`, `mark`, `rule` (index of the
provision that decided, or -1), `pool` (market, country, vendor or accelerator index, as the stage says; or -1), `quantity`
(integer, unit as the mark says). Company k writes under root -1 - k, the world under root -1 - K (K companies).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from itertools import chain
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Log: TypeAlias = NDArray[np.void]
Row: TypeAlias = tuple[int, int, int, int, int, int, int, int, int]


class Stage(IntEnum):
    """A step in the life of a cluster. Numbers are part of every stored log: never renumber, only add."""

    PROJECT = 0  # marks that belong to the whole project; pool = market
    SITE_SELECTION = 1
    INTERCONNECTION = 2  # request to energisation
    PERMITTING = 3
    CONSTRUCTION = 4
    FIT_OUT = 5
    CLEARANCE = 6  # pool = country
    LICENCE_REVIEW = 7  # pool = country
    ALLOCATION = 8  # waiting for the country's TPP pot; pool = country
    AUTHORISATION = 9  # waiting for headroom of the company's footprint; pool = country
    CHIPS = 10  # waiting in the company's queue; pool = vendor
    SHIPPING = 11
    INSTALLATION = 12
    COMMISSIONING = 13
    LAW = 14  # a change of law; rule = the first provision that differs
    OTHER_IMPORTERS = 15  # takings from a country's pot by others; pool = country
    CREWS = 16  # waiting for construction capacity of the company; pool = market
    BRIDGING = 17  # on-site generation until the grid comes; pool = market
    SECURITY = 18  # waiting for the security acceptance of a controlled site; pool = country
    CLASSIFICATION = 19  # formal classification of a chip before its first filing; pool = accelerator, in WAITS the country
    FRAMEWORK = 20  # waiting for the framework of a deal, without which nothing may be filed; pool = country
    NATIONAL_AUTHORISATION = 21  # a company's authorisation for one country; pool = country


class Mark(IntEnum):
    """What happened in a stage. `quantity` is in the unit named here."""

    START = 0  # of ALLOCATION: quantity = TPP asked for
    END = 1
    PLANNED = 2  # quantity: 1/16 MW of IT
    GROUND_BREAKING = 3
    SHELL_READY = 4
    FIRST_POWER = 5
    READY = 6  # powered and shelled
    IN_FLEET = 7  # a phase ready before the start date: counted in the opening fleet; quantity: 1/16 MW of IT
    FILED = 8  # TPP asked for
    APPROVED = 9  # TPP licensed
    DENIED = 10
    RETURNED = 11  # returned without action, or does not fit the country's pot
    CLEARED = 12  # rule = the provision that lets it pass
    CHIPS_TAKEN = 13  # pool = accelerator; quantity: chips
    CHIPS_GIVEN_BACK = 14  # pool = accelerator; quantity: chips
    SHIPPED = 15  # quantity: TPP
    ONLINE = 16  # quantity: 1/16 MW of IT
    DOWNSIZED = 17  # quantity: 1/16 MW of IT not filled
    RELOCATED = 18  # pool = the market left; quantity: 1/16 MW
    CANCELLED = 19  # quantity: 1/16 MW
    HALTED = 20  # work stopped on a site given up
    CHANGED = 21
    DELIVERED = 22  # a month's chips reach the company; pool = accelerator; quantity: chips
    DECLINED = 24  # a month's chips beyond what the company's sites will need; pool = accelerator; quantity: chips
    DRAWN = 23  # taken from a country's pot; pool = country; quantity: TPP, negative when it goes back to the pot
    WAITS = 25  # a phase not yet cleared waits for this stage from now on; rule = the provision it waits for; pool = country
    QUEUED = 26  # of an application just filed: ticks it waits for a reviewer
    STOPPED = 27  # of an application just filed: ticks its clock will be stopped
    OWN_DATE = 28  # at ground-breaking: the company's own date of first power, as a tick
    POWERED = 29  # a phase has power; the first also has FIRST_POWER
    BRIDGED = 30  # first power comes from on-site generation; quantity: 1/16 MW of IT
    FULL = 31  # every phase of the project is online; quantity: 1/16 MW of IT
    LAPSED = 32  # a licence ends unused; pool = country; quantity: TPP
    FRONT_LOADED = 33  # shipped ahead of a restriction to a site not yet ready; quantity: TPP
    LET = 34  # a finished shell is let to other use; pool = market; quantity: 1/16 MW
    SWITCHED = 35  # the phase takes another vendor's chips that the law lets pass; pool = vendor
    REVOKED = 36  # a company loses its authorisation
    MISSED = 38  # chips ordered for this month that do not come; pool = accelerator; quantity: chips
    COMMITTED = 37  # chips ordered for a later month; pool = accelerator; quantity: chips


class Order(IntEnum):
    """Order of what happens in one instant; within each class by root, hop, phase, stage. Part of the log, and compared."""

    LAW = 2
    RELEASE = 3
    GIVE_BACK = 4
    COMPLETION = 5
    RULING = 6
    GRANT = 7
    PATIENCE = 8
    PLAN = 9


COLUMNS = ("tick", "order", "root", "hop", "phase", "stage", "mark", "rule", "pool", "quantity")
LOG = np.dtype(
    [
        ("tick", "i8"),
        ("order", "i4"),
        ("root", "i4"),
        ("hop", "i2"),
        ("phase", "i2"),
        ("stage", "i2"),
        ("mark", "i2"),
        ("rule", "i4"),
        ("pool", "i4"),
        ("quantity", "i8"),
    ]
)


def to_log(rows: Iterable[Row]) -> Log:
    """Rows (tick, root, hop, phase, stage, mark, rule, pool, quantity) in the order they happened, as a structured array."""
    # Twice as fast as np.array on a list of tuples, which is a twentieth of a run.
    table = np.fromiter(chain.from_iterable(rows), dtype=np.int64).reshape(-1, 9)
    log = np.zeros(len(table), dtype=LOG)
    log["order"] = np.arange(len(table))
    for column, name in enumerate(name for name in COLUMNS if name != "order"):
        log[name] = table[:, column]
    return log

"""What the compiled engine is given: `Static` and `Draws` as plain arrays under the names the kernel knows.

What the SimPy model works out when it begins (running sums, dates of decisions, arrivals of others' applications) is worked out here
by the same functions of `static`, so that both engines begin from the same numbers.
"""

from __future__ import annotations

from collections import namedtuple
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.machine import CUBES, GIVEN, INPUTS, LAW, NONE, SCALARS, TABLES, VECTORS, WATTS_PER_SIXTEENTH
from simulator.static import FACTOR_BITS, authorisation_rounds, authorised_spans, deal_ticks, office_cases
from simulator.units import PPM, TICK_BITS

if TYPE_CHECKING:
    from simulator.static import Draws, Ints, Static

_named: Any = namedtuple  # its names are not written out, which types cannot follow
Given = _named("Given", GIVEN)
"""Every input of `machine.INPUTS` and the law, in that order."""


def given(static: Static, draws: Draws) -> Any:
    """(`Given`) one replication as the compiled engine takes it."""
    values = dict(_of_scenario(static))
    arrays = (*VECTORS, *TABLES, *CUBES)
    for name in (*SCALARS, *arrays):
        if name not in values and hasattr(draws, name):
            values[name] = getattr(draws, name)
    rounds = authorisation_rounds(static, draws)
    longest = max((len(found) for found in rounds), default=0)
    table = np.full((2, len(rounds), max(longest, 1)), static.horizon, dtype=np.int64)
    for k, found in enumerate(rounds):
        for i, (applied, decided, _) in enumerate(found):
            table[:, k, i] = applied, decided
    since, until = authorised_spans(static, draws)
    dated = sorted(
        [(decided, k, 1) for k, found in enumerate(rounds) for _, decided, _ in found]
        + [(tick, k, 0) for k, tick in enumerate(until)]
    )
    framed = deal_ticks(static, draws)
    frameworks = sorted((tick, c) for c, tick in enumerate(framed) if static.earliest < tick < static.horizon)
    arrivals, work = office_cases(static, draws)
    roots, companies, countries = len(draws.names), len(static.companies), len(static.countries)
    chip_kusd = np.maximum(draws.price_usd * draws.it_overhead_ppm // (PPM * 1000), 1)
    values |= {
        "roots": roots,
        "first_market": roots + companies * countries,
        "phase_room": int(draws.phases.sum()) * (draws.largest_hop + 1) + 1,
        "outlook": static.outlook + (static.outlook_wait * draws.choice_per_year >> FACTOR_BITS),
        "fleet_room": (draws.fleet_chips * static.watts).sum(axis=(1, 2)) // WATTS_PER_SIXTEENTH,
        "owned": (draws.fleet_chips * static.counted_tpp).sum(axis=2),
        "shell_usd": draws.shell_usd_per_mw,
        "chip_kusd": chip_kusd,
        "offered": draws.deliveries if draws.offered is None else draws.offered,
        "rounds_of": _ints([len(found) for found in rounds]),
        "round_applied": table[0],
        "round_decided": table[1],
        "authorised_from": _ints(since),
        "authorised_until": _ints(until),
        "dated_tick": _ints([tick for tick, _, _ in dated]),
        "dated_company": _ints([k for _, k, _ in dated]),
        "dated_decision": _ints([decision for _, _, decision in dated]),
        "framed_from": _ints(framed),
        "framework_tick": _ints([tick for tick, _ in frameworks]),
        "framework_country": _ints([c for _, c in frameworks]),
        "office_arrivals": arrivals,
        "office_work": work,
    }
    plain = {name: np.ascontiguousarray(values[name], dtype=np.int64) for name in (*arrays, "outlook")}
    return Given(**{name: int(values[name]) for name in SCALARS}, **plain, law=values["law"])


def example() -> tuple[Any]:
    """The types of what the kernel is called with, which are the same for every scenario."""
    import numba

    def array(element: Any, dimensions: int) -> Any:
        return numba.types.Array(element, dimensions, "C") if dimensions else element

    kinds = [array(numba.types.int64, INPUTS[name]) for name in GIVEN[:-1]]
    return (numba.types.NamedTuple([*kinds, array(numba.from_dtype(LAW), 4)], Given),)


def _ints(values: list[int]) -> Ints:
    return np.array(values, dtype=np.int64)


class _Same:
    """A scenario by identity: arrays have no hash."""

    def __init__(self, static: Static):
        self.static = static

    def __hash__(self) -> int:
        return id(self.static)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.static is self.static


def _of_scenario(static: Static) -> dict[str, Any]:
    """What is the same for every replication of a scenario."""
    return _packed(_Same(static))


@lru_cache(maxsize=64)
def _packed(same: _Same) -> dict[str, Any]:
    static = same.static
    law = np.empty(static.needs_licence.shape, dtype=LAW)
    for name, table in (
        ("needs", static.needs_licence), ("rule", static.rule), ("posture", static.posture),
        ("lpp", static.lpp_rule), ("uveu", static.uveu_rule), ("nveu", static.nveu_rule),
    ):  # fmt: skip
        law[name] = table
    first_day, last_day = static.earliest >> TICK_BITS, static.horizon >> TICK_BITS
    day = np.arange(first_day, last_day + 1) << TICK_BITS
    months, vendors = len(static.month_starts) - 1, range(len(static.vendors))
    of_vendor = [np.nonzero(static.vendor_of == v)[0] for v in vendors]
    generations = np.full((len(of_vendor), max(map(len, of_vendor)) + 1), NONE, dtype=np.int64)
    for v, items in enumerate(of_vendor):
        generations[v, : len(items)] = items
    _, index = np.unique(static.allocation_window, return_inverse=True)
    provisions = np.arange(len(static.provisions) + 1)
    grants = np.lexsort((static.grant_rule, static.grant_tpp, static.grant_country, static.grant_company, static.grant_tick))
    packed = {name: getattr(static, name) for name in (*SCALARS, *VECTORS, *TABLES, *CUBES) if hasattr(static, name)}
    return packed | {
        "law": law,
        "companies": len(static.companies),
        "countries": len(static.countries),
        "markets": len(static.markets),
        "accelerators": len(static.accelerators),
        "vendors": len(static.vendors),
        "segments": len(static.law_ticks),
        "months": months,
        "no_project": -1 - len(static.companies),
        "first_day": first_day,
        "month_of_day": np.clip(np.searchsorted(static.month_starts, day, side="right") - 1, 0, months - 1),
        "year_of_day": np.searchsorted(static.year_starts, day, side="right") - 1,
        "generations": generations,
        "spare_watts": np.array([max(static.watts[items].tolist(), default=1) - 1 for items in of_vendor]),
        "window_index": index.reshape(static.allocation_window.shape),
        "lpp_rules": np.isin(provisions, static.lpp_rule[static.lpp_rule >= 0]),
        "pledging": np.isin(provisions, [*static.uveu_rule[static.uveu_rule >= 0], *static.nveu_rule[static.nveu_rule >= 0]]),
        "any_importer": static.other_importers.any(axis=1),
        **{f"grant_{n}": getattr(static, f"grant_{n}")[grants] for n in ("tick", "company", "country", "tpp", "rule")},
    }

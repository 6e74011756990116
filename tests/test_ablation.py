"""Every mechanism that can be switched off does something: in some shipped scenario a stored number moves without it.

The switches are read from the model of scenario files: a new one without an entry here fails. What one of them moves is said
by its entry; it is looked for in the first few replications in which it can act at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from simulator.compile import Compiled, compile_scenario
from simulator.experiments import Run, run
from simulator.metrics import BY_MONTH, BY_YEAR, METRICS, SCALARS, Measures
from simulator.scenario import HISTORY, Mechanisms, Policy, load_scenario, shipped_scenarios
from simulator.static import Draws, authorised_spans
from simulator.world import World, load_world

SEED = 1
LOOKED_AT = 100
"""Replications whose draws are looked at for one in which a mechanism can act."""
PLAYED = 4
"""Of those, how many are played at most."""


def always(compiled: Compiled, draws: Draws) -> bool:
    return True


def few_reviewers(compiled: Compiled, draws: Draws) -> bool:
    """With the middle number of reviewers nobody waits long."""
    return draws.reviewers <= 8


def a_chip_to_be_classified(compiled: Compiled, draws: Draws) -> bool:
    """One that its vendor mostly ships some time: three times in ten at most a chip needs it."""
    shipped = np.unique(compiled.static.shipping_generation)
    return bool((draws.classification[:, shipped] > 0).any())


def authorisation_lost(compiled: Compiled, draws: Draws) -> bool:
    """Who holds the universal authorisation, or hopes for it, has no use for a national one."""
    held, until = authorised_spans(compiled.static, draws)
    year = 365 << 20
    return any(a < b < compiled.static.horizon - year for a, b in zip(held, until, strict=True))


@dataclass(frozen=True)
class Ablation:
    """Where a mechanism is seen at work, and a number that moves when it is switched off (or on, if it is off by default)."""

    scenario: str
    metric: str | None
    """None: events differ in every replication, numbers only in some"""
    end: str = "2026-12-31"
    where: Callable[[Compiled, Draws], bool] = always
    sets: tuple[str, ...] = ()


FRAMEWORK = "diffusion-framework"
ABLATIONS = {
    "mechanisms.relocation": Ablation(FRAMEWORK, "mw_relocated"),
    "mechanisms.uveu": Ablation(FRAMEWORK, "mw_waiting_headroom"),
    # 26.9 million TPP are 0.4 to 3.6 MW of any chip then shipping, and the smallest site has 4: see the test of that below.
    "mechanisms.lpp": Ablation(FRAMEWORK, "mw_waiting_headroom", sets=("policy.set.lpp.tpp=5000000000",)),
    "mechanisms.nveu": Ablation(FRAMEWORK, "national_authorisations", end="2028-12-31", where=authorisation_lost),
    "mechanisms.rationing": Ablation(HISTORY, "it_mw_online"),
    "mechanisms.bridging": Ablation(HISTORY, "it_mw_online"),
    "mechanisms.crew_limit": Ablation(HISTORY, "shell_usd"),
    "mechanisms.front_loading": Ablation(FRAMEWORK, "mw_front_loaded"),
    "mechanisms.classification": Ablation("bilateral-deals", "licences_filed", "2029-12-31", a_chip_to_be_classified),
    "mechanisms.review_queue": Ablation(FRAMEWORK, "licence_queue_days", where=few_reviewers),
    "mechanisms.security": Ablation(FRAMEWORK, "mw_waiting_security"),
    "mechanisms.money_bound": Ablation(HISTORY, "chips_usd"),
    "mechanisms.luck": Ablation(HISTORY, "it_mw_online", "2024-12-31"),
    "mechanisms.assumptions": Ablation(HISTORY, "it_mw_online", "2024-12-31"),
    "policy.foresight": Ablation(FRAMEWORK, "mw_front_loaded"),
    # One real grant went to one of the four; in most replications it builds nothing there that would use it.
    "policy.grants_overlay": Ablation(HISTORY, None),
}


def switches() -> dict[str, bool]:
    """Every switch of a scenario file, with its default."""
    found = {f"mechanisms.{name}": field.default for name, field in Mechanisms.model_fields.items()}
    found |= {f"policy.{name}": f.default for name, f in Policy.model_fields.items() if isinstance(f.default, bool)}
    return found


@cache
def world() -> World:
    return load_world()


@cache
def compiled(scenario: str, *sets: str) -> Compiled:
    """Inputs are the same in all scenarios used here, so those of one horizon share their sampler."""
    end = next(text for text in sets if text.startswith("end="))
    shared = None if (scenario, sets) == (HISTORY, (end,)) else compiled(HISTORY, end).sampler
    return compile_scenario(load_scenario(scenario, (), sets), world(), shared)


@cache
def played(scenario: str, replication: int, *sets: str) -> Run:
    return run(compiled(scenario, *sets), SEED, replication)


def moved(a: Measures, b: Measures) -> set[str]:
    """Metrics of which any number of any group differs between two runs."""
    found = set()
    for metrics, x, y in ((BY_MONTH, a.monthly, b.monthly), (BY_YEAR, a.yearly, b.yearly), (SCALARS, a.scalars, b.scalars)):
        found |= {metric.id for metric, p, q in zip(metrics, x, y, strict=True) if not np.array_equal(p, q, equal_nan=True)}
    return found


def replications(case: Ablation, sets: tuple[str, ...]) -> Iterator[int]:
    one, left = compiled(case.scenario, *sets), PLAYED
    for replication in range(LOOKED_AT):
        if left and (case.where is always or case.where(one, one.draw(SEED, replication))):
            left -= 1
            yield replication


def test_every_switch_has_an_entry_and_every_entry_a_switch() -> None:
    assert set(ABLATIONS) == set(switches())
    assert all(case.scenario in shipped_scenarios() and case.metric in {*METRICS, None} for case in ABLATIONS.values())


@pytest.mark.parametrize("switch", ABLATIONS)
def test_without_a_mechanism_a_number_moves(switch: str) -> None:
    case = ABLATIONS[switch]
    sets = (f"end={case.end}", *case.sets)
    other = f"{switch}={str(not switches()[switch]).lower()}"
    seen = {}
    for replication in replications(case, sets):
        as_shipped, without = (played(case.scenario, replication, *s) for s in (sets, (*sets, other)))
        seen[replication] = moved(as_shipped.measures, without.measures)
        differs = as_shipped.log.tobytes() != without.log.tobytes()
        assert differs or not seen[replication]
        if case.metric in seen[replication] or (case.metric is None and differs):
            return
    pytest.fail(f"{other} leaves {case.metric} of {case.scenario} alone; by replication it moves {seen or 'nothing'}")


@pytest.mark.parametrize("scenario", [FRAMEWORK, "framework-relaxed", "framework-tight", "collaboration", "decoupling"])
def test_no_site_is_small_enough_for_the_exception_for_small_quantities(scenario: str) -> None:
    """Why License Exception LPP decides nothing as shipped: a year's limit is less than the smallest site takes, of any chip that
    ships while the exception is law."""
    static = compiled(scenario, "end=2031-12-31").static
    limit = int(static.lpp_limit.max())
    since = int(static.law_ticks[static.lpp_limit > 0][0])
    chips = np.unique(static.shipping_generation[:, int(np.searchsorted(static.month_starts, since, side="right")) - 1 :])
    mw = limit / static.tpp[chips] * static.watts[chips] / 1e6
    assert limit > 0 and mw.max() < world().number("process", "smallest_project_mw_it")

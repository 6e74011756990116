"""The law: legal cases written from the citations, exact limits, dated reading, and what a broken regime file is told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.controls import (
    PPM,
    Export,
    Item,
    Law,
    Position,
    allocation_allows,
    law,
    leaf_differences,
    load_all,
    load_regime,
    lpp_allows,
    nveu_allows,
    ruling,
    share_at_least,
    share_at_most,
    tier,
    uveu_test,
)
from simulator.problems import InputProblems
from simulator.regimes import UNSURE, WORDS, Regime, group_words, regime_ids, with_changes
from simulator.resources import shipped
from simulator.units import H100_TPP
from simulator.yamlfile import read_yaml

CASES = Path(__file__).parent / "cases"
DIVERGES = {  # the day each regime parts from history
    "no-controls": date(2024, 1, 1),
    "october-2023": date(2025, 1, 13),
    "diffusion-framework": date(2025, 1, 13),
    "framework-tight": date(2025, 1, 13),
    "framework-relaxed": date(2025, 1, 13),
    "bilateral-deals": date(2027, 1, 1),
    "revenue-share": date(2027, 1, 1),
    "decoupling": date(2027, 1, 1),
    "collaboration": date(2027, 1, 1),
}
FRAMEWORK_DAY = date(2025, 6, 1)


@cache
def all_cases() -> tuple[dict[str, Any], ...]:
    files = [p for p in sorted(CASES.glob("*.yaml")) if p.stem != "chips"]
    return tuple({**case, "file": path.stem} for path in files for case in read_yaml(path).content["cases"])


@cache
def chips() -> dict[str, dict[str, Any]]:
    return dict(read_yaml(CASES / "chips.yaml").content["chips"])


Change = Callable[[Regime], Regime]


def case_law(situation: dict[str, Any], change: Change = lambda regime: regime) -> Law:
    """The timeline a case is about; `change` lets a test falsify a regime."""
    regimes = load_all()
    id = situation["law"]
    readings, changes = situation.get("readings", {}), situation.get("changes", {})
    if id in ("history", "october-2022"):
        return law(change(regimes[id]), readings=readings, changes=changes)
    return law(change(regimes["history"]), DIVERGES[id], change(regimes[id]), readings=readings, changes=changes)


def an_item(stated: str | dict[str, Any]) -> Item:
    return Item(**(chips()[stated] if isinstance(stated, str) else stated))


def outcome(case: dict[str, Any], the_law: Law) -> dict[str, Any]:
    """What the code says, under the same keys as `expected`."""
    s, expected = case["situation"], case["expected"]
    on = s["on"]
    found: dict[str, Any] = {}
    if "leaves" in expected:
        found["leaves"] = {leaf: the_law.at(leaf, on) for leaf in expected["leaves"]}
    for name in ("allocation", "counting"):
        if name in expected:
            pot = getattr(the_law, name)(s["destination"], on)
            found[name] = "none" if pot is None else list(pot)
    if "hold_until" in expected:
        found["hold_until"] = the_law.hold_until(s["destination"], on) or "none"
    if "grants" in expected:
        found["grants"] = {g.id: g.tpp for g in the_law.grants(date(on.year, 1, 1), on)}
    if "weights_controlled" in expected:
        found["weights_controlled"] = the_law.weights_controlled(on=on, **s["weights"])
    if "tuned_controlled" in expected:
        found["tuned_controlled"] = the_law.tuned_weights_controlled(on=on, **s["tuned"])
    if "counts" in expected:
        found["counts"] = the_law.counts(an_item(s["item"]), on)
    if "needs_licence" in expected:
        need = the_law.requirement(s["destination"], s["headquarters"], an_item(s["item"]), on, announced_by=s["announced_by"])
        found |= {"needs_licence": need.needs_licence, "provision": need.provision_id, "review": need.review}
    elif "route" in expected:
        found |= rule(s, expected, the_law)
    return {key: found[key] for key in expected}


def rule(s: dict[str, Any], expected: dict[str, Any], the_law: Law) -> dict[str, Any]:
    item = an_item(s["item"])
    scale = chips()[s["in"]]["tpp"] if "in" in s else 1
    quantity = s["tpp"] if "tpp" in s else s.get("chips", 1) * item.tpp
    held = {key: value * scale for key, value in s.get("position", {}).items()}
    position = Position(authorisations=frozenset(s.get("authorisations", ())), **held)
    answers = []
    for destination in s.get("destinations") or [s["destination"]]:
        consignee = s.get("consignee", "somebody")
        export = Export(destination, s["headquarters"], consignee, item, quantity, s["on"], s.get("origin", "USA"))
        answer = ruling(the_law, export, position)
        assert answer.reasons and answer.citation, "a ruling gives its reasons and its citation"
        seen = {key: getattr(answer, key) for key in expected if hasattr(answer, key)}
        if "unsure" in expected:
            seen["unsure"] = [name for name in expected["unsure"] if name in answer.unsure]
        answers.append(seen)
    assert all(answer == answers[0] for answer in answers), answers
    return answers[0]


def case_name(case: dict[str, Any]) -> str:
    return f"{case['file']}: {case['id']}"


@pytest.mark.parametrize("case", all_cases(), ids=case_name)
def test_case(case: dict[str, Any]) -> None:
    assert outcome(case, case_law(case["situation"])) == case["expected"]


def test_the_cases_are_many_and_cited() -> None:
    cases = all_cases()
    assert len(cases) >= 80
    assert all(case["citation"].strip() for case in cases)
    names = [case_name(case) for case in cases]
    assert len(set(names)) == len(names)
    edge = (
        "exactly",
        "one chip",
        "one TPP",
        "one over",
        "one more",
        "the day before",
        "last day",
        "one below",
        "from the first day",
    )
    assert sum(any(word in case["id"] for word in edge) for case in cases) >= 15


def exercised(case: dict[str, Any]) -> set[tuple[str, str]]:
    """(regime file, id) of the leaves and provisions a case claims to exercise."""
    ids = {*case.get("exercises", ()), *case["expected"].get("leaves", {})}
    regime = case_law(case["situation"]).regime(case["situation"]["on"])
    return {(regime.defined_in.get(id, ""), id) for id in ids}


def stated() -> set[tuple[str, str]]:
    """(regime file, id) of every leaf and provision that is stated anywhere."""
    return {(file, id) for regime in load_all().values() for id, file in regime.defined_in.items()}


def test_every_leaf_and_provision_has_a_case() -> None:
    covered = set().union(*(exercised(case) for case in all_cases()))
    missing = sorted(f"{file}: {id}" for file, id in stated() - covered)
    assert not missing, "no legal case exercises:\n" + "\n".join(missing)


def test_every_reading_of_a_disputed_point_has_a_case() -> None:
    tried = {pair for case in all_cases() for pair in case["situation"].get("readings", {}).items()}
    known = {
        (key, reading)
        for regime in load_all().values()
        for key, switch in regime.switches.items()
        for reading in switch.readings
        if reading != switch.default
    }
    assert not known - tried and not {switch for switch, _ in tried} - {switch for switch, _ in known}


def falsified(value: Any, leaf: str, unit: str) -> Any:
    """Another value that the unit allows."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, date):
        return value + timedelta(days=1)
    if unit == "word":
        return next((word for word in WORDS[leaf] if word != value), value)
    if unit == "group":
        return "none" if value != "none" else "any"
    if unit == "items":
        return "gaming"
    if unit in ("share", "probability"):
        return value / 2 if value else 0.5
    return value * 2 if value else 1


@pytest.mark.parametrize("file, id", sorted(stated()), ids=lambda part: str(part))
def test_a_falsified_leaf_or_a_missing_provision_breaks_a_case(file: str, id: str) -> None:
    """The cases would notice if a number were wrong or a provision were dropped."""
    claims = [case for case in all_cases() if (file, id) in exercised(case)]
    caught = False

    def falsify(regime: Regime) -> Regime:
        if regime.defined_in.get(id) != file:
            return regime
        if id in regime.leaves:
            value = regime.leaves[id].steps[-1][1].value
            return with_changes(regime, {id: falsified(value, id, regime.leaves[id].unit)})
        if [p.id for p in regime.provisions][-1] == id:  # the closing provision cannot be dropped: let it demand something
            closing = regime.provisions[-1].model_copy(update={"demands": "notification"})
            return replace(regime, provisions=(*regime.provisions[:-1], closing))
        return replace(regime, provisions=tuple(p for p in regime.provisions if p.id != id))

    regime = load_all()[file]
    if id in regime.leaves and len(WORDS.get(id, ("", ""))) == 1:
        return  # a word without an alternative cannot be falsified
    for case in claims:
        try:
            caught = outcome(case, case_law(case["situation"], falsify)) != case["expected"]
        except (LookupError, AssertionError):
            caught = True
        if caught:
            break
    assert caught, f"{file}: {id} can be changed without any of its {len(claims)} cases noticing"


# ---------------------------------------------------------------------- exact limits

tpp = st.integers(min_value=0, max_value=1 << 40)
ppms = st.integers(min_value=0, max_value=PPM)


@given(tpp, tpp, ppms)
def test_shares_are_compared_exactly(part: int, whole: int, limit: int) -> None:
    from fractions import Fraction

    if whole:
        share = Fraction(part, whole)
        assert share_at_most(part, whole, limit) == (share <= Fraction(limit, PPM))
        assert share_at_least(part, whole, limit) == (share >= Fraction(limit, PPM))


@given(tpp, tpp, tpp)
def test_pots_allow_up_to_the_limit_and_no_further(used: int, quantity: int, limit: int) -> None:
    for allows in (lpp_allows, allocation_allows):
        assert allows(used, quantity, limit) == (limit - used >= quantity)
        assert allows(used, quantity, used + quantity) and not allows(used, quantity + 1, used + quantity)


@given(tpp, tpp, tpp, tpp)
def test_failed_chips_only_ever_help(held: int, failed: int, quantity: int, cap: int) -> None:
    if nveu_allows(held, 0, quantity, cap):
        assert nveu_allows(held, failed, quantity, cap)
    assert nveu_allows(held, failed, quantity, cap) == (held + quantity <= cap + failed)


holdings = st.tuples(tpp, tpp, tpp, tpp)


@given(tpp.filter(bool), holdings, st.tuples(ppms, ppms, ppms))
def test_footprint_test_names_the_share_that_fails(quantity: int, held: tuple[int, ...], limits: tuple[int, ...]) -> None:
    us, allies, here, elsewhere = held
    total = us + allies + here + elsewhere
    single, tier1, home = limits
    answer = uveu_test(quantity, False, False, here, us + allies, us, total, single, tier1, home)
    after = total + quantity
    broken = [PPM * (here + quantity) > single * after, PPM * (us + allies) < tier1 * after, PPM * us < home * after]
    assert answer == next((code + 1 for code, fails in enumerate(broken) if fails), 0)


@given(tpp.filter(bool), tpp.filter(bool), holdings)
def test_growth_at_home_never_hurts_the_footprint(quantity: int, growth: int, held: tuple[int, ...]) -> None:
    us, allies, here, elsewhere = held
    total = us + allies + here + elsewhere
    limits = (70_000, 750_000, 500_000)
    if uveu_test(quantity, False, False, here, us + allies, us, total, *limits) == 0:
        assert uveu_test(quantity, False, False, here, us + allies + growth, us + growth, total + growth, *limits) == 0


def test_deliveries_into_tier_1_and_home_count_where_they_go() -> None:
    """Half at home before; a delivery into an ally breaks the home share, one at home does not."""
    assert uveu_test(1, False, True, 0, 100, 50, 100, 70_000, 750_000, 500_000) == 3
    assert uveu_test(1, True, True, 50, 100, 50, 100, 70_000, 750_000, 500_000) == 0


# ---------------------------------------------------------------------- dates


@pytest.mark.parametrize("id", ["history", *DIVERGES])
def test_a_law_changes_only_on_its_change_dates(id: str) -> None:
    """From one change date to the day before the next nothing about any destination, company or chip changes."""
    the_law = case_law({"law": id})
    edges = [date(2022, 9, 1), *the_law.change_dates(date(2022, 9, 1), date(2031, 12, 31)), date(2032, 1, 1)]

    def state(day: date) -> list[Any]:
        return (
            [
                (
                    the_law.requirement(place, home, an_item(chip), day),
                    the_law.allocation(place, day),
                    the_law.counting(place, day),
                )
                for place in ("CHN", "ARE", "MYS", "KHM", "DEU", "NIC")
                for home in ("USA", "CHN")
                for chip in ("H100", "H20", "RTX4090")
            ]
            + [the_law.hold_until(place, day) for place in ("ARE", "DEU")]
            + [the_law.lpp_limit(day), the_law.nveu_cap(day)]
        )

    for begins, then in pairwise(edges):
        last = then - timedelta(days=1)
        assert state(begins) == state(last) == state(begins + (last - begins) / 2), (
            f"something changed between {begins} and {last}"
        )


def test_change_dates_are_sorted_inside_the_period_and_name_the_known_ones() -> None:
    the_law = case_law({"law": "history"})
    found = the_law.change_dates(date(2024, 1, 1), date(2031, 12, 31))
    assert found == sorted(set(found)) and found[0] > date(2024, 1, 1) and found[-1] <= date(2031, 12, 31)
    for day in (date(2025, 1, 13), date(2025, 2, 5), date(2025, 5, 13), date(2026, 1, 15), date(2026, 7, 10), date(2027, 4, 6)):
        assert day in found
    assert date(2026, 10, 1) not in found  # a quarter of a table that is not enforced changes nothing


@pytest.mark.parametrize("id", sorted(DIVERGES))
def test_before_its_divergence_every_timeline_is_history(id: str) -> None:
    """Same requirements, leaves, holds, and the same foresight: nobody knows a divergence before its day."""
    history, other = case_law({"law": "history"}), case_law({"law": id})
    last = DIVERGES[id] - timedelta(days=1)
    for day in (date(2022, 12, 1), date(2023, 12, 1), last):
        for place in ("CHN", "ARE", "MYS", "DEU", "USA"):
            for on in (day, day + timedelta(days=900)):
                a = history.requirement(place, "USA", an_item("H100"), on, announced_by=day)
                b = other.requirement(place, "USA", an_item("H100"), on, announced_by=day)
                assert a == b
            assert history.hold_until(place, day) == other.hold_until(place, day)
        assert history.at("licence.time_profile", day) == other.at("licence.time_profile", day)


def test_a_timeline_may_go_through_several_regimes() -> None:
    regimes = load_all()
    the_law = law(
        regimes["history"], date(2025, 1, 13), regimes["diffusion-framework"], [(date(2028, 1, 1), regimes["no-controls"])]
    )
    h100 = an_item("H100")
    assert the_law.requirement("MYS", "USA", h100, date(2027, 12, 31)).provision_id == "fw.tier2"
    assert the_law.requirement("CHN", "USA", h100, date(2028, 1, 1)).provision_id == "free"
    assert the_law.requirement("MYS", "USA", h100, date(2028, 6, 1), announced_by=date(2027, 12, 31)).provision_id == "fw.tier2"
    assert date(2028, 1, 1) in the_law.change_dates(date(2027, 1, 1), date(2029, 1, 1))
    with pytest.raises(ValueError, match="does not come after"):
        law(regimes["history"], date(2027, 1, 1), regimes["decoupling"], [(date(2026, 1, 1), regimes["no-controls"])])


def test_a_step_to_the_law_already_in_force_is_no_change() -> None:
    history = load_all()["history"]
    start, end = date(2024, 1, 1), date(2031, 12, 31)
    plain, again = law(history), law(history, date(2025, 2, 20), history, [(date(2028, 5, 5), history)])
    assert again.change_dates(start, end) == plain.change_dates(start, end)
    assert date(2028, 5, 5) in law(
        history, date(2025, 2, 20), load_all()["no-controls"], [(date(2028, 5, 5), history)]
    ).change_dates(start, end)


def test_each_hold_is_listed_once_under_the_law_of_its_first_day() -> None:
    history, none = load_all()["history"], load_all()["no-controls"]
    start, end = date(2024, 1, 1), date(2031, 12, 31)
    plain = law(history).holds(start, end)
    assert plain and len({hold.id for hold in plain}) == len(plain)
    assert plain == sorted(plain, key=lambda hold: (hold.from_, hold.until))
    first = plain[0]
    assert law(history, first.from_ + timedelta(days=1), history).holds(start, end) == plain, "one regime in two spans"
    # A law that leaves history on a hold's first day does not have it; one that leaves it a day later does.
    assert first not in law(history, first.from_, none).holds(start, end)
    assert first in law(history, first.from_ + timedelta(days=1), none).holds(start, end)
    # Returning to history brings back the holds that begin from then on, and only those.
    back = law(history, date(2024, 1, 1), none, [(first.from_ + timedelta(days=1), history)])
    assert back.holds(start, end) == [hold for hold in plain if hold.from_ > first.from_]


def test_a_ruling_is_flagged_exactly_when_it_rests_on_memory_or_assumption() -> None:
    the_law = case_law({"law": "diffusion-framework"})
    h100 = an_item("H100")
    sure = ruling(the_law, Export("MYS", "USA", "google", h100, 1000 * H100_TPP, FRAMEWORK_DAY), Position())
    doubtful = ruling(the_law, Export("DEU", "POL", "somebody", h100, 9000 * H100_TPP, FRAMEWORK_DAY), Position())
    assert sure.certain and not sure.unsure
    assert not doubtful.certain and doubtful.unsure == ("fw.guest",)
    for name in doubtful.unsure:
        assert next(p for p in load_all()["diffusion-framework"].provisions if p.id == name).kind in UNSURE


def test_the_reasons_carry_the_numbers() -> None:
    the_law = case_law({"law": "diffusion-framework"})
    answer = ruling(the_law, Export("MYS", "USA", "google", an_item("H100"), 50_000 * H100_TPP, FRAMEWORK_DAY), Position())
    assert answer.reasons == (
        "fw.tier2 (15 CFR 742.6(b)(10); Supp. No. 5 to part 740, para (b)) decides: all other destinations need a licence, "
        "approved in presumption while the country's allocation lasts",
        "LPP: 0 used this year + 791,200,000 above 26,900,000 TPP per consignee",
        "UVEU: no authorisation granted",
        "NVEU: no authorisation granted",
        "the pot of MYS has 790,000,000 of 790,000,000 TPP left; 791,200,000 do not fit",
        "it is returned at decision and may be filed again for up to 790,000,000 TPP",
    )


@given(
    quantity=st.integers(1, 10**10),
    used=st.integers(0, 10**9),
    lpp=st.integers(0, 3 * 10**7),
    place=st.sampled_from(["MYS", "POL", "ARE", "DEU", "CHN", "USA"]),
    home=st.sampled_from(["USA", "POL", "CHN"]),
    authorised=st.booleans(),
)
def test_no_ruling_breaks_a_limit(quantity: int, used: int, lpp: int, place: str, home: str, authorised: bool) -> None:
    the_law = framework()
    held = Position(
        lpp, used, 0, 10**11, 7 * 10**10, 9 * 10**10, 2 * 10**9, authorisations=frozenset({"uveu"} if authorised else ())
    )
    answer = ruling(the_law, Export(place, home, "x", an_item("H100"), quantity, FRAMEWORK_DAY), held)
    if answer.route == "lpp":
        assert lpp + quantity <= 26_900_000
    if answer.route == "uveu":
        assert 100 * (2 * 10**9 + quantity) <= 7 * (10**11 + quantity)
    assert used + answer.quota_draw_tpp <= 790_000_000 or not answer.quota_draw_tpp
    assert answer.quota_draw_tpp == 0 or answer.route == "licence"
    assert (answer.route == "licence") == (answer.review is not None)


@cache
def framework() -> Law:
    return case_law({"law": "diffusion-framework"})


# ---------------------------------------------------------------------- terms the engines read


def test_terms_of_the_framework() -> None:
    the_law = framework()
    assert the_law.lpp_limit(FRAMEWORK_DAY) == 26_900_000 and the_law.lpp_limit(date(2025, 5, 14)) == 0
    assert the_law.uveu_ratios(FRAMEWORK_DAY) == (70_000, 750_000, 500_000) and the_law.uveu_ratios(date(2025, 5, 14)) is None
    assert the_law.nveu_cap(date(2026, 12, 31)) == 270_000 * H100_TPP and the_law.nveu_cap(date(2025, 5, 14)) == 0
    assert the_law.outcome("case_by_case", FRAMEWORK_DAY) == (0.70, 0.10, 0.20)
    assert the_law.licence_days("presumption_of_approval", FRAMEWORK_DAY) == (120.0, 300.0)
    application = the_law.uveu_application("oracle", FRAMEWORK_DAY)
    assert application is not None and application[:4] == (date(2025, 5, 15), 90, 210, 0.80)
    assert (
        the_law.other_importers("MYS", FRAMEWORK_DAY) == 150_000_000
        and the_law.other_importers("ARG", FRAMEWORK_DAY) == 15_000_000
    )
    assert the_law.other_importers("DEU", FRAMEWORK_DAY) == 0


def test_the_pot_names_its_provision() -> None:
    deals = case_law({"law": "bilateral-deals"})
    pots = [(framework(), "MYS", date(2025, 5, 1)), (framework(), "DEU", FRAMEWORK_DAY), (deals, "SAU", date(2027, 5, 1))]
    found = [the_law.pot_provision(place, day) for the_law, place, day in pots]
    assert [p and p.id for p in found] == ["fw.tier2", None, "deal.partner"]


def test_a_planner_knows_neither_the_pot_nor_the_limits_of_a_divergence() -> None:
    the_law = case_law({"law": "collaboration"})
    assert the_law.allocation("BRA", date(2027, 6, 1), announced_by=date(2026, 12, 31)) is None
    planned = case_law({"law": "history"}).allocation("BRA", date(2026, 6, 1), announced_by=date(2025, 3, 1))
    assert planned is not None and planned.limit_tpp == 790_000_000


def test_no_authorisation_is_applied_for_before_one_is_offered() -> None:
    the_law = case_law({"law": "decoupling"})
    assert the_law.uveu_application("google", date(2025, 6, 1)) is None
    assert the_law.uveu_application("google", date(2027, 4, 30)) is None
    application = the_law.uveu_application("google", date(2027, 5, 1))
    assert application is not None and application.filed == date(2027, 5, 1)


def test_history_offers_no_exception_of_the_framework() -> None:
    the_law = case_law({"law": "history"})
    for day in (date(2025, 5, 1), date(2025, 6, 1), date(2027, 1, 1)):
        assert the_law.lpp_limit(day) == 0 and the_law.uveu_ratios(day) is None and the_law.nveu_cap(day) == 0
        assert the_law.other_importers("MYS", day) == (0 if day > date(2025, 5, 13) else 150_000_000)


def test_other_importers_ask_for_more_each_year_in_large_and_small_markets_alike() -> None:
    the_law = framework()
    growth = [1.0, 1.6, 2.56, 3.584, 5.0176, 7.02464, 9.834496]  # 60 % into 2026 and 2027, 40 % into each year after
    for year, factor in zip(range(2025, 2032), growth, strict=True):
        for place, base in (("ARE", 300_000_000), ("IND", 150_000_000), ("ARG", 15_000_000)):
            days = [date(year, m, 1) for m in (6, 10)]
            assert {the_law.other_importers(place, day) for day in days} == {round(base * factor)}
    slower = case_law({"law": "diffusion-framework", "changes": {"others.growth_per_year": 0.2}})
    assert slower.other_importers("ARE", date(2027, 1, 1)) == 432_000_000
    assert slower.other_importers("ARE", date(2025, 6, 1)) == 300_000_000


def test_ceilings_of_deals_grow_from_their_second_year_on() -> None:
    deals = case_law({"law": "bilateral-deals"})
    pots = [deals.allocation("SAU", date(year, 6, 1)) for year in range(2027, 2032)]
    assert [pot and pot.limit_tpp for pot in pots] == [12 * 10**9, 168 * 10**8, 2352 * 10**7, 32_928_000_000, 46_099_200_000]
    flat = case_law({"law": "bilateral-deals", "changes": {"deal.ceiling_growth_per_year": 0.0}})
    last = flat.allocation("SAU", date(2031, 6, 1))
    assert last is not None and last.limit_tpp == 12 * 10**9
    answer = ruling(deals, Export("SAU", "USA", "x", an_item("H100"), 1, date(2028, 6, 1)), Position())
    assert {"deal.ceiling_tpp.SAU", "deal.ceiling_growth_per_year"} <= set(answer.unsure)


def test_a_leaf_is_stated_since_its_first_step_or_the_day_its_regime_begins() -> None:
    decoupling = case_law({"law": "decoupling"})
    assert decoupling.stated_since("china.retaliation_supply_cut", date(2028, 3, 1)) == date(2027, 1, 1)
    assert decoupling.stated_since("location.verification_days", date(2028, 3, 1)) == date(2027, 5, 1)
    assert decoupling.stated_since("china.retaliation_supply_cut", date(2026, 12, 31)) is None
    assert decoupling.stated_since("location.verification_days", date(2027, 4, 30)) is None


def test_a_leaf_set_by_a_scenario_begins_where_the_regime_states_it() -> None:
    changed = with_changes(load_all()["decoupling"], {"location.verification_days": 90, "diversion.share": 0.02})
    assert [(day, leaf.value) for day, leaf in changed.leaves["location.verification_days"].steps] == [(date(2027, 5, 1), 90)]
    assert [(day, leaf.value) for day, leaf in changed.leaves["diversion.share"].steps] == [(date.min, 0.02)]


NOTICE = timedelta(days=120)


@pytest.mark.parametrize("id", sorted(id for id, day in DIVERGES.items() if day == date(2027, 1, 1)))
def test_what_is_announced_for_2027_binds_after_the_notice_of_recent_rules(id: str) -> None:
    """Until the compliance day the law is history's; from the announcement on planners know what comes, and something does."""
    history, other = case_law({"law": "history"}), case_law({"law": id})
    announced, binding = DIVERGES[id], DIVERGES[id] + NOTICE
    assert announced + NOTICE == date(2027, 5, 1)
    seen = []
    for place in history.members("any", announced):
        for home in ("USA", "CHN", "FRA"):
            for chip in ("H100", "H200", "H20", "GB300", "RTX4090"):
                known = {"consignee": "oracle", "quantity_tpp": 10**9}
                for day in (announced, binding - timedelta(days=1)):
                    a, b = (law.requirement(place, home, an_item(chip), day, **known) for law in (history, other))
                    same = (a.provision_id, a.demands, a.review, a.exceptions, a.quota)
                    assert same == (b.provision_id, b.demands, b.review, b.exceptions, b.quota), (place, home, chip, day)
                planned = other.requirement(place, home, an_item(chip), binding, announced_by=announced, **known)
                then = other.requirement(place, home, an_item(chip), binding, **known)
                assert planned.provision_id == then.provision_id
                seen.append(then.provision_id != history.requirement(place, home, an_item(chip), binding, **known).provision_id)
        assert history.allocation(place, binding - timedelta(days=1)) == other.allocation(place, binding - timedelta(days=1))
        assert history.counting(place, announced) == other.counting(place, announced)
    assert any(seen)
    last = binding - timedelta(days=1)
    for leaf in ("licence.time_profile", "diversion.share", "china.uptake", "money.revenue_share", "money.tariff"):
        assert history.at(leaf, last) == other.at(leaf, last), leaf


def test_one_speed_of_review_in_all_regimes() -> None:
    """Staff is no policy: what differs between two regimes is the law."""
    for id, regime in load_all().items():
        the_law = Law(((date.min, regime),), {})
        for year in range(2024, 2032):
            if id not in ("october-2022", "no-controls"):  # no licence of theirs is for a chip of a data centre abroad
                assert the_law.at("licence.time_profile", date(year, 1, 1)) == "chips_normal", (id, year)


def test_every_review_policy_has_outcomes_that_sum_to_one_and_a_duration() -> None:
    for id in regime_ids():
        for policy in ("presumption_of_approval", "case_by_case", "presumption_of_denial", "policy_of_denial", "deal_window"):
            the_law = Law(((date.min, load_all()[id]),), {})
            assert sum(the_law.outcome(policy, date(2027, 6, 1))) == pytest.approx(1)
            low, high = the_law.licence_days(policy, date(2027, 6, 1))
            assert 0 < low <= high


def test_the_legal_clock_adds_up_to_its_limit() -> None:
    the_law = case_law({"law": "october-2022"})
    stages = (
        "first_action",
        "recommendation",
        "operating_committee",
        "appeal_to_acep",
        "acep",
        "appeal_to_board",
        "board",
        "appeal_to_president",
    )
    assert (
        sum(the_law.at(f"clock.{stage}_days", FRAMEWORK_DAY) for stage in stages)
        == the_law.at("clock.limit_days", FRAMEWORK_DAY)
        == 90
    )


# ---------------------------------------------------------------------- countries


def test_the_lists_of_countries() -> None:
    places = load_all()["history"].places
    assert len(places.names) == 250
    day = date(2025, 1, 15)
    assert len(places.members("d5", day) - {"HKG"}) == 23 and "MAC" not in places.members("d5", day)
    listed = {iso3 for iso3 in places.members("para_a", day) if iso3 not in places.treated_as}
    assert len(listed) == 19 and "USA" in listed
    assert len(places.members("eu", day)) == 27 and len(places.members("eu", day) & listed) == 10
    tiers = [tier(load_all()["history"], iso3) for iso3 in places.names]
    assert [tiers.count(n) for n in (1, 2, 3)] == [65, 160, 25]


def test_membership_ends_the_day_it_says_and_only_where_its_rule_exists() -> None:
    places = load_all()["history"].places
    with_rule, without = frozenset({"uae26"}), frozenset[str]()
    for group, day, rules, inside in (
        ("d4", date(2026, 7, 9), with_rule, True),
        ("d4", date(2026, 7, 10), with_rule, False),
        ("d4", date(2026, 7, 10), without, True),
        ("a5", date(2026, 7, 9), with_rule, False),
        ("a5", date(2026, 7, 10), with_rule, True),
        ("a5", date(2026, 7, 10), without, False),
    ):
        assert ("ARE" in places.members(group, day, rules)) == inside, (group, day, rules)


def test_group_expressions() -> None:
    assert group_words("d1 + d4 - a5") == [(True, "d1"), (True, "d4"), (False, "a5")]
    for wrong in ("d1 d4", "d1 +", "+ d1", "d1 | d4", ""):
        with pytest.raises(ValueError, match="joined by"):
            group_words(wrong)


def test_unknown_names_are_answered_with_the_nearest() -> None:
    the_law = framework()
    with pytest.raises(LookupError, match=r"allocation\.tp is not a leaf .* did you mean 'allocation\.tpp'"):
        the_law.at("allocation.tp", FRAMEWORK_DAY)
    with pytest.raises(ValueError, match="MYZ is not a country code"):
        the_law.requirement("MYZ", "USA", Item(tpp=1), FRAMEWORK_DAY)
    with pytest.raises(ValueError, match="did you mean 'straddling-application'"):
        law(load_all()["diffusion-framework"], readings={"stradling-application": "returned"})
    with pytest.raises(ValueError, match="is not a reading; allowed: returned, granted-in-part"):
        law(load_all()["diffusion-framework"], readings={"straddling-application": "granted"})
    with pytest.raises(ValueError, match=r"did you mean 'lpp\.tpp'"):
        law(load_all()["diffusion-framework"], changes={"lpp.tp": 1})
    with pytest.raises(ValueError, match="a whole number"):
        law(load_all()["diffusion-framework"], changes={"lpp.tpp": 1.5})
    with pytest.raises(LookupError, match="no value before 2025-01-01"):
        load_all()["diffusion-framework"].leaves["nveu.cap_tpp"].at(date(2024, 12, 31))
    with pytest.raises(ValueError, match="at least 1"):
        ruling(the_law, Export("MYS", "USA", "x", an_item("H100"), 0, FRAMEWORK_DAY), Position())


def test_differences_between_regimes_are_named_with_units() -> None:
    regimes = load_all()
    found = leaf_differences(regimes["diffusion-framework"], regimes["framework-relaxed"], FRAMEWORK_DAY)
    assert [(d.leaf_id, d.old, d.new, d.unit) for d in found] == [
        ("allocation.tpp", 790_000_000, 1_580_000_000, "tpp"),
        ("uveu.max_share_single", 0.07, 0.10, "share"),
        ("uveu.min_share_tier1", 0.75, 0.65, "share"),
    ]
    assert leaf_differences(regimes["history"], regimes["history"], FRAMEWORK_DAY) == []


def test_a_difference_cites_each_side_for_itself() -> None:
    """History's own note on the tariff is not put behind the Framework's number, nor a reason in the place of a citation."""
    regimes = load_all()
    on = date(2026, 2, 1)
    for difference in leaf_differences(regimes["history"], regimes["diffusion-framework"], on):
        for side, cited in (("history", difference.old_citation), ("diffusion-framework", difference.new_citation)):
            dated = regimes[side].leaves.get(difference.leaf_id)
            assert cited == (dated.at(on).citation if dated else "")
    only = leaf_differences(regimes["diffusion-framework"], regimes["no-controls"], date(2025, 1, 1))
    pot = next(d for d in only if d.leaf_id == "allocation.tpp")
    assert (pot.old, pot.new, pot.new_citation) == (790_000_000, None, "")


def test_numbers_of_the_law_have_words_that_children_inherit() -> None:
    regimes = load_all()
    for name in ("allocation.tpp", "uveu.max_share_single", "lpp.tpp", "china.uptake"):
        words = {regime.leaves[name].title for regime in regimes.values() if name in regime.leaves}
        assert len(words) == 1 and words != {""}, name
    differing = {
        difference.leaf_id
        for regime in regimes.values()
        for day in (date(2024, 6, 1), FRAMEWORK_DAY, date(2027, 6, 1))
        for difference in leaf_differences(regimes["history"], regime, day)
        if not difference.title
    }
    assert not differing, "explain names these by their ids only"


def test_every_number_says_who_and_when() -> None:
    for regime in load_all().values():
        for dated in regime.leaves.values():
            for _, leaf in dated.steps:
                assert leaf.kind in ("reported", "derived", "recalled", "assumed") and leaf.unit and leaf.as_of
                assert leaf.known_from <= date(2026, 11, 23)
                if leaf.kind in UNSURE:
                    assert leaf.reason
                else:
                    assert leaf.source_url and leaf.citation


# ---------------------------------------------------------------------- broken files


FAULTS: list[tuple[str, str, str, str, str]] = [  # file, old text, new text, field, words of the message
    ("framework-relaxed.yaml", "extends: diffusion-framework", "extends: difusion-framework", "extends",
     "did you mean 'diffusion-framework'?"),
    ("framework-relaxed.yaml", "extends: diffusion-framework", "extends: framework-relaxed", "extends", "closes a circle"),
    ("framework-relaxed.yaml", "id: framework-relaxed", "id: framework-lax", "id",
     "the file is called framework-relaxed.yaml"),
    ("framework-relaxed.yaml", "limits:", "limit:", "limit", "did you mean 'limits'?"),
    ("framework-relaxed.yaml", "unit: share", "unit: percent", "limits.uveu.max_share_single.unit", "allowed: tpp, share"),
    ("framework-relaxed.yaml", "value: 0.10", "value: 10", "limits.uveu.max_share_single.value", "7 % is written 0.07"),
    ("framework-relaxed.yaml", "value: 1580000000", "value: 1.58e+9", "limits.allocation.tpp.value", "a whole number"),
    ("framework-relaxed.yaml", "allocation.tpp:", "allocation.tp:", "limits.allocation.tp", "did you mean 'allocation.tpp'?"),
    ("framework-relaxed.yaml", "kind: assumed, reason: twice the published allocation", "kind: assumed",
     "limits.allocation.tpp", "add `reason:`"),
    ("framework-relaxed.yaml", "kind: assumed, reason: twice", "kind: reported, reason: twice", "limits.allocation.tpp",
     "has no source"),
    ("framework-relaxed.yaml", "kind: assumed, reason: twice", "kind: guessed, reason: twice", "limits.allocation.tpp.kind",
     "allowed: reported, derived"),
    ("framework-relaxed.yaml", "value: 1580000000", "values: 1580000000", "limits.allocation.tpp.values",
     "did you mean 'value'?"),
    ("framework-relaxed.yaml", "value: 0.10", "value: .nan", "limits.uveu.max_share_single.value", "a finite number"),
    ("framework-relaxed.yaml", "as_of: 2026-11-23", "as_of: yesterday", "as_of", "a date YYYY-MM-DD is expected"),
    ("framework-relaxed.yaml", "title: Framework relaxed", "title: <b>Framework</b>", "title", "plain text is expected"),
    ("diffusion-framework.yaml", "review_beyond_quota: policy_of_denial", "review_beyond_quota: policy_of_denail",
     "provisions[5].review_beyond_quota", "did you mean 'policy_of_denial'?"),
    ("diffusion-framework.yaml", "quota: allocation", "quota: alocation", "provisions[5].quota", "did you mean 'allocation'?"),
    ("diffusion-framework.yaml", "admits: [lpp, uveu, nveu]", "admits: [lpp, uveo, nveu]", "provisions[5].admits[1]",
     "did you mean 'uveu'?"),
    ("diffusion-framework.yaml", "after: fw.guest", "after: fw.gest", "provisions[5].after", "did you mean 'fw.guest'?"),
    ("diffusion-framework.yaml", "    after: fw.guest\n", "", "provisions[5]", "say where fw.tier2 stands"),
    ("diffusion-framework.yaml", "    destinations: tier2\n", "    destinations: teir2\n", "provisions[5].destinations",
     "did you mean 'tier2'?"),
    ("diffusion-framework.yaml", "value: d5 + MAC, unit", "value: d5 MAC, unit", "limits.group.tier3", "joined by"),
    ("diffusion-framework.yaml", "value: any - tier1 - tier3", "value: any - tier1 - tier2", "limits.group.tier2",
     "by way of itself"),
    ("diffusion-framework.yaml", "compliance: 2025-05-15\n", "compliance: 2024-05-15\n", "instruments.fw.compliance",
     "before the effective day 2025-01-13"),
    ("diffusion-framework.yaml", "compliance: 2025-05-15\n", "compliance: '2025-05-15'\n", "instruments.fw.compliance",
     "without quotes"),
    ("diffusion-framework.yaml", "    citation: 15 CFR 740.27\n", "", "provisions[3]", "lacks the field 'citation'"),
    ("diffusion-framework.yaml", "source: brookings\n    kind: reported\n    destinations: tier1",
     "source: bookings\n    kind: reported\n    destinations: tier1", "provisions[3].source", "did you mean 'brookings'?"),
    ("diffusion-framework.yaml", "from: 2025-04-01, value: 791200000", "from: 2025-01-01, value: 791200000",
     "limits.nveu.cap_tpp.steps[1].from", "order steps by date"),
    ("bilateral-deals.yaml", "      - {from: 2028-01-01, value: 0.4}", "      - {value: 0.4}", "limits.deal.ceiling_growth_per_year",
     "a growth without a first day"),
    ("diffusion-framework.yaml", "{granted-in-part: granted_in_part}", "{granted-in-par: granted_in_part}",
     "limits.allocation.straddle.readings.straddling-application.granted-in-par", "did you mean 'granted-in-part'?"),
    ("diffusion-framework.yaml", "value: returned\n", "value: return\n", "limits.allocation.straddle.value",
     "did you mean 'returned'?"),
    ("diffusion-framework.yaml", "default: returned", "default: back", "switches.straddling-application.default",
     "allowed: returned, granted-in-part"),
    ("diffusion-framework.yaml", "operations_at_least: weights.operations", "operations_at_least: weights.operation",
     "items.4E091.any_of[0].operations_at_least", "did you mean 'weights.operations'?"),
    ("diffusion-framework.yaml", "operations_at_least: weights.operations", "operations_at_least: lpp.tpp",
     "items.4E091.any_of[0].operations_at_least", "which is in tpp; operations is expected"),
    ("october-2022.yaml", "value: 0.70, unit: probability", "value: 0.75, unit: probability",
     "behaviour.outcome.case_by_case.approve", "sum to 1.0500"),
    ("october-2022.yaml", "sweep: [0.4, 0.9]", "sweep: [0.8, 0.9]", "behaviour.outcome.case_by_case.approve.sweep",
     "the smallest and the largest value"),
    ("october-2022.yaml", "    instrument: oct22\n", "    instrument: oct2022\n", "provisions[1].instrument",
     "did you mean 'oct22'?"),
    ("october-2022.yaml", "demands: licence", "demands: license", "provisions[1].demands", "did you mean 'licence'?"),
    ("october-2022.yaml", "    review: presumption_of_denial\n", "", "provisions[1].review",
     "stated exactly where a licence is demanded"),
    ("october-2022.yaml", "    destinations: any\n    demands: none", "    destinations: CHN\n    demands: none",
     "provisions[2]", "does not close the list"),
    ("october-2022.yaml", "  - id: free\n", "  - id: domestic\n", "provisions[2].id", "ids are unique"),
    ("october-2022.yaml", "clock.acep_days: {value: 11", "clock.acep_days: {value: 11, value: 12",
     "limits.clock.acep_days.value", "is given twice"),
    ("history.yaml", "until: 2025-06-30", "until: 2025-03-07", "holds[1].until", "not after `from` 2025-03-07"),
    ("history.yaml", "tpp: 301516800", "tpp: -5", "grants[0].tpp", "greater than 0"),
    ("history.yaml", "destination: SAU", "destination: SUA", "grants[2].destination", "not a country of this regime"),
    ("history.yaml", "effect: [money.tariff]", "effect: [money.tarif]", "events", "did you mean 'money.tariff'?"),
    ("history.yaml", "only_if: {d5-firms-abroad: [practice]}", "only_if: {d5-firm-abroad: [practice]}",
     "provisions[1].only_if.d5-firm-abroad", "did you mean 'd5-firms-abroad'?"),
    ("no-controls.yaml", "removes: [oct22.china]", "removes: [oct22.chna]", "removes[0]", "did you mean 'oct22.china'?"),
    ("groups.csv", "KHM,d5,,2025-11-07", "KHN,d5,,2025-11-07", "iso3", "not in places.csv"),
    ("groups.csv", "KHM,d5,,2025-11-07", "KHM,d5,2025-12-01,2025-11-07", "until", "not after `from` 2025-12-01"),
    ("groups.csv", "KHM,d5,,2025-11-07", "KHM,d5,,7 Nov 2025", "until", "a date YYYY-MM-DD or nothing"),
    ("groups.csv", "iso3,group,from", "iso,group,from", "", "has the header"),
    ("places.csv", "HKG,Hong Kong,CHN", "HKG,Hong Kong,CHX", "treated_as", "the code of a state listed here"),
    ("sources.csv", "2025-01-15,\ncfr740s1", "January 2025,\ncfr740s1", "published", "a date YYYY-MM-DD is expected"),
]  # fmt: skip


@pytest.fixture(scope="module")
def originals() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in (shipped("data") / "regimes").iterdir() if path.is_file()}


@pytest.mark.parametrize("file, old, new, field, words", FAULTS, ids=lambda text: str(text)[:40])
def test_a_broken_file_is_told_where_and_what(
    file: str, old: str, new: str, field: str, words: str, originals: dict[str, str], tmp_path: Path
) -> None:
    assert old in originals[file], "the fault must change something"
    for name, text in originals.items():
        (tmp_path / name).write_text(text.replace(old, new, 1) if name == file else text, encoding="utf-8")
    id = file.removesuffix(".yaml") if file.endswith(".yaml") else "october-2022"
    with pytest.raises(InputProblems) as caught:
        load_regime(id, tmp_path)
    changed_line = originals[file][: originals[file].index(old)].count("\n") + 1
    matching = [p for p in caught.value.problems if words in p.message and p.field.startswith(field)]
    assert matching, str(caught.value)
    assert all(Path(p.file).name == file for p in matching)
    block = range(changed_line - 30, changed_line + 31)
    assert any(p.line in block or p.line in (0, 1) for p in matching), (
        f"line {[p.line for p in matching]}, changed at {changed_line}"
    )


def test_several_faults_come_out_together(originals: dict[str, str], tmp_path: Path) -> None:
    for name, text in originals.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    broken = originals["framework-relaxed.yaml"].replace("value: 0.10", "value: 10").replace("unit: tpp", "unit: tp")
    (tmp_path / "framework-relaxed.yaml").write_text(broken, encoding="utf-8")
    second = originals["no-controls.yaml"].replace("removes: [oct22.china]", "removes: [nothing]")
    (tmp_path / "no-controls.yaml").write_text(second, encoding="utf-8")
    with pytest.raises(InputProblems) as caught:
        load_all(tmp_path)
    text = str(caught.value)
    assert "limits.uveu.max_share_single.value: is 10" in text
    assert "limits.allocation.tpp.unit: is 'tp'; allowed: tpp" in text
    assert "removes[0]: is 'nothing', not a provision of october-2022" in text


NO_REGIME = [
    (b"", "is empty"),
    (b"- a\n", "a regime is a mapping"),
    (b"a: \0", "binary"),
    (b"id: \xff", "not UTF-8"),
    (b"id: *x\n", "not valid YAML"),
    (b"id: !!python/none x\n", "YAML tag"),
]


@pytest.mark.parametrize("raw, words", NO_REGIME)
def test_files_that_are_no_regime_at_all(raw: bytes, words: str, tmp_path: Path) -> None:
    for name in ("sources.csv", "places.csv", "groups.csv"):
        shutil.copy(shipped("data") / "regimes" / name, tmp_path / name)
    (tmp_path / "odd.yaml").write_bytes(raw)
    with pytest.raises(InputProblems) as caught:
        load_regime("odd", tmp_path)
    assert words in str(caught.value) and "odd.yaml" in str(caught.value)


def test_what_cannot_be_read_hides_no_other_fault_of_a_regime(originals: dict[str, str], tmp_path: Path) -> None:
    for name, text in originals.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    broken = originals["framework-relaxed.yaml"].replace("value: 0.10", "value: 10")
    (tmp_path / "framework-relaxed.yaml").write_text(
        broken.replace("as_of: 2026-11-23", "as_of: 2026-11-31").replace("title: ", "title: !x ", 1) + "odd: 1\n",
        encoding="utf-8",
    )
    with pytest.raises(InputProblems) as caught:
        load_regime("framework-relaxed", tmp_path)
    assert [(p.field, p.message.split(";")[0]) for p in caught.value.problems] == [
        ("title", "carries the YAML tag !x"),
        ("as_of", "is '2026-11-31'"),
        ("odd", "is not a section of a regime"),
    ]


def test_an_unknown_regime_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputProblems, match="did you mean 'decoupling'"):
        load_regime("decupling")
    with pytest.raises(InputProblems, match="no such regime"):
        load_regime("../regimes/history")


def test_the_rules_are_scalar_integer_functions_without_division() -> None:
    """They must compile: only integers and booleans, comparisons, sums and products."""
    import ast
    import inspect

    from simulator import controls

    for name in ("share_at_most", "share_at_least", "lpp_allows", "allocation_allows", "uveu_test", "nveu_allows"):
        tree = ast.parse(inspect.getsource(getattr(controls, name)))
        used = {type(node.op) for node in ast.walk(tree) if isinstance(node, ast.BinOp)}
        assert used <= {ast.Add, ast.Sub, ast.Mult}, name


def test_importing_the_law_stays_light() -> None:
    import subprocess
    import sys

    heavy = "('pydantic', 'ruamel.yaml', 'numpy', 'pandas', 'scipy')"
    script = f"import sys, simulator.controls; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"

"""Which inference sites may not hold a controlled model, when and why: worked by hand on a law of one to three segments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from conftest import ABROAD, DAY, by_law, ints
from logs import Page, after_run, world

from simulator.lives import Authorisations, Rows, authorisations, lives_of
from simulator.static import Draws, Posture, Static, Workload
from simulator.weights import Barred, frontier_weights, tuned_weights

LICENCE_DAYS = 90
CONTROL = {"weights_rule": np.array([[-1, 1, -1]]), "weights_threshold": 1_000_000}  # 1e26 operations, in ARE only
FREE = {"weights_rule": np.array([[-1, -1, -1]]), "weights_threshold": 0}


def inference(online: list[tuple[int, int, float]], training: bool = False) -> tuple[Static, Draws, Page]:
    """Clusters given as (MW, market, day online), in a world without any control of weights."""
    use = Workload.TRAINING if training else Workload.INFERENCE
    static, draws = world([[mw] for mw, _, _ in online], workload=ints(len(online), fill=int(use)))
    page = Page(static)
    for root, (mw, market, day) in enumerate(online):
        page.site(root, mw, market).phase(root, mw=mw, market=market, online=day)
    return static, draws, page


def barred(static: Static, draws: Draws, page: Page, tuned: bool = False) -> list[tuple[int, float, float, float]]:
    """(root, from, until, weight) of every stretch."""
    rows = Rows(page.log())
    life = lives_of(static, draws, rows)
    held: Authorisations = authorisations(static, rows)
    assert draws.after_run is not None
    found: Barred = (
        tuned_weights(static, draws, held, life.phases)
        if tuned
        else frontier_weights(static, draws, draws.after_run, held, life.phases)
    )
    return sorted(
        zip(found.phase.tolist(), (found.begin / DAY).tolist(), (found.end / DAY).tolist(), found.weight.tolist(), strict=True)
    )


YEAR = 366  # 2024; the closed frontier passes 1e26 operations on 1 January 2025


def test_a_site_waits_for_a_licence_of_typical_length_from_the_day_it_is_online() -> None:
    static, draws, page = inference(
        [(16, ABROAD, YEAR + 100), (10, ABROAD, YEAR + 150), (8, ABROAD, YEAR + 200), (5, 0, YEAR), (5, 2, YEAR)]
    )
    law = by_law(static, (0, CONTROL))
    # The first site asks; the one that is online before the answer waits with it; the next one finds the licence there.
    answer = YEAR + 100 + LICENCE_DAYS
    assert barred(law, draws, page) == [(0, YEAR + 100, answer, 1), (1, YEAR + 150, answer, 1)]
    assert barred(static, draws, page) == []


def test_training_sites_are_not_counted() -> None:
    static, draws, page = inference([(16, ABROAD, YEAR + 100)], training=True)
    assert barred(by_law(static, (0, CONTROL)), draws, page) == []


def test_nothing_is_controlled_before_the_frontier_passes_the_threshold() -> None:
    static, draws, page = inference([(16, ABROAD, 100)])
    assert barred(by_law(static, (0, CONTROL)), draws, page) == [(0, YEAR, YEAR + LICENCE_DAYS, 1)]
    larger = {**CONTROL, "weights_threshold": 10_000_000}
    assert barred(by_law(static, (0, larger)), draws, page) == [(0, YEAR + 365, YEAR + 365 + LICENCE_DAYS, 1)]
    never = replace(draws, after_run=after_run(closed_years=np.array([2023.0, 2030.0, 2031.0, 2032.0])))
    assert barred(by_law(static, (0, CONTROL)), never, page) == []


def test_a_threshold_that_follows_the_best_open_model_is_no_lower_than_it() -> None:
    static, draws, page = inference([(16, ABROAD, 100)])
    low = {**CONTROL, "weights_threshold": 100_000}  # 1e25, passed on 1 January 2023
    assert barred(by_law(static, (0, low)), draws, page) == [(0, 100, 100 + LICENCE_DAYS, 1)]
    open_model = replace(draws, after_run=after_run(open_model_operations=1e27))
    found = barred(by_law(static, (0, {**low, "weights_follow_open": 1})), open_model, page)
    assert found == [(0, YEAR + 365, YEAR + 365 + LICENCE_DAYS, 1)]


def test_the_control_begins_and_ends_with_the_law() -> None:
    static, draws, page = inference([(16, ABROAD, YEAR + 10)])
    law = by_law(static, (YEAR + 50, CONTROL), (YEAR + 70, FREE), (YEAR + 500, CONTROL))
    assert barred(law, draws, page) == [(0, YEAR + 50, YEAR + 70, 1), (0, YEAR + 500, YEAR + 500 + LICENCE_DAYS, 1)]


def test_a_change_of_law_that_leaves_the_control_asks_for_no_new_licence() -> None:
    static, draws, page = inference([(16, ABROAD, YEAR + 10)])
    law = by_law(static, (0, CONTROL), (YEAR + 50, {"lpp_limit": 7}))
    assert barred(law, draws, page) == [(0, YEAR + 10, YEAR + 10 + LICENCE_DAYS, 1)]


def test_an_authorisation_stands_for_the_licence_where_the_law_admits_it() -> None:
    static, draws, page = inference([(16, ABROAD, YEAR + 10)])
    from simulator.events import Mark, Stage

    page.company(YEAR + 40, Stage.AUTHORISATION, Mark.APPROVED).company(YEAR + 300, Stage.AUTHORISATION, Mark.REVOKED)

    def admitting(which: int) -> list[tuple[int, float, float, float]]:
        return barred(by_law(static, (0, {**CONTROL, "weights_admits": np.array([[0, which, 0]])})), draws, page)

    whole = [(0, YEAR + 10, YEAR + 10 + LICENCE_DAYS, 1)]
    assert admitting(0) == admitting(2) == whole
    assert admitting(1) == admitting(3) == [(0, YEAR + 10, YEAR + 40, 1), (0, YEAR + 300, YEAR + 300 + LICENCE_DAYS, 1)]
    page.company(YEAR + 20, Stage.NATIONAL_AUTHORISATION, Mark.APPROVED, pool=ABROAD)
    assert admitting(2) == admitting(3) == [(0, YEAR + 10, YEAR + 20, 1)]
    page.rows.pop()
    page.company(YEAR + 20, Stage.NATIONAL_AUTHORISATION, Mark.APPROVED, pool=2)
    assert admitting(2) == whole  # for another country


def test_where_most_applications_fail_no_licence_comes() -> None:
    static, draws, page = inference([(16, ABROAD, YEAR + 10)])
    denied = {**CONTROL, "posture": _posture(Posture.POLICY_OF_DENIAL), "approve_below": ints(6)}
    law = by_law(static, (0, denied))
    assert barred(law, draws, page) == [(0, YEAR + 10, law.horizon / DAY, 1)]


def test_the_length_is_that_of_the_newest_chips_posture_there() -> None:
    static, draws, page = inference([(16, ABROAD, YEAR + 10)])
    lengths = np.array([0, 30, 60, 120, 240, 480]) * DAY
    for posture, days in ((Posture.NONE, 60), (Posture.PRESUMPTION_OF_APPROVAL, 30), (Posture.PRESUMPTION_OF_DENIAL, 120)):
        law = by_law(static, (0, {**CONTROL, "posture": _posture(posture), "review_median": lengths}))
        assert barred(law, draws, page) == [(0, YEAR + 10, YEAR + 10 + days, 1)]


def _posture(posture: Posture) -> Any:
    table = ints(1, 3, 1)
    table[0, ABROAD] = int(posture)
    return table


def test_tuned_models_count_with_the_chance_that_their_control_is_disputed_and_from_the_first_day_of_the_law() -> None:
    static, draws, page = inference([(16, ABROAD, 10)])
    law = by_law(static, (0, {**CONTROL, "tuned_share_ppm": 250_000, "tuned_disputed_ppm": 400_000}))
    assert barred(law, draws, page, tuned=True) == [(0, 10, 10 + LICENCE_DAYS, 0.4)]
    assert barred(by_law(static, (0, CONTROL)), draws, page, tuned=True) == []


def test_what_runs_before_the_start_waits_from_the_start() -> None:
    static, draws, page = inference([(16, ABROAD, -400)])
    law = by_law(static, (-300, {**CONTROL, "weights_threshold": 1_000}))
    assert barred(law, draws, page) == [(0, 0, LICENCE_DAYS, 1)]

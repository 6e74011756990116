"""What a comparison says, as a table for the terminal and one plain sentence per finding; every number with its uncertainty."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from simulator.metrics import METRICS
from simulator.statistics import Difference, Row

if TYPE_CHECKING:
    from simulator.experiments import Comparison

COMPANIES = {"aws": "AWS", "google": "Google", "microsoft": "Microsoft", "oracle": "Oracle"}
HEADLINES = (
    ("Capacity", ("it_mw_online", "h100e_online", "h100e_delivered_not_online", "share_tier1", "share_us", "rd_access")),
    ("Cost", ("capex_usd", "compliance_usd", "idle_shell_usd")),
    ("Timeline", ("months_plan_to_online_median", "licence_wait_days")),
    (
        "Policy",
        (
            "mw_waiting_clearance",
            "mw_relocated",
            "mw_downsized",
            "mw_cancelled",
            "licences_filed",
            "licences_refused",
            "quota_binding_date",
        ),
    ),
)


class Scale(NamedTuple):
    """How a unit is shown: divide by, decimals, label."""

    divisor: float
    decimals: int
    label: str


def scale(unit: str, largest: float) -> Scale:
    """The scale in which numbers up to `largest` of this unit are read best, one for a whole row."""
    if unit == "MW IT":
        return Scale(1000, 1, "GW") if largest >= 10_000 else Scale(1, 0, "MW")
    if unit == "H100-equivalents":
        return Scale(1e6, 1, "million") if largest >= 1e6 else Scale(1e3, 0, "thousand")
    if unit.startswith("USD"):
        return Scale(1e12, 2, "USD tn") if largest >= 1e12 else Scale(1e9, 1 if largest >= 1e10 else 2, "USD bn")
    if unit == "fraction":
        return Scale(0.01, 1, "%")
    if unit == "calendar year":
        return Scale(1, 1, "year")
    return Scale(1, 1, unit)


def amount(value: float | None, unit: str, *, signed: bool = False) -> str:
    """One number with its unit, in the scale that suits it."""
    if value is None:
        return "not reached"
    divisor, decimals, label = scale(unit, abs(value))
    if unit == "MW IT" and abs(value) >= 1000:
        divisor, decimals, label = 1000, 1, "GW"
    if signed and unit == "fraction":
        label = "points"
    if unit == "calendar year":  # a point in time, unless it is a difference of two
        return f"{value:+.1f} years" if signed else f"{value:.1f}"
    return f"{value / divisor:{'+' if signed else ''},.{decimals}f} {label}"


class Line(NamedTuple):
    """A row of the terminal table: a metric at a date in one scale, one cell a scenario."""

    section: str
    metric: str
    unit: str
    date: str
    cells: tuple[str, ...]


def _total(row: Row | Difference) -> bool:
    return row.company == row.country == row.tier == "all"


def table(comparison: Comparison, rows: Iterable[Row], differences: Iterable[Difference], dates: list[str]) -> list[Line]:
    """Totals at the given dates: the reference as mean with p10 to p90, the others as paired difference with its interval."""
    levels = {(r.metric, r.date, r.scenario): r for r in rows if _total(r)}
    gaps = {(d.metric, d.date, d.scenario): d for d in differences if _total(d)}
    lines = []
    for section, metrics in HEADLINES:
        for metric in metrics:
            for when in sorted({when for m, when, _ in levels if m == metric} & set(dates)):
                numbers = [levels[metric, when, name].mean for name in comparison.names()]
                unit = METRICS[metric].unit
                shown = scale(unit, max((abs(n) for n in numbers if n is not None), default=0.0))
                cells = (
                    _level(levels[metric, when, name], shown)
                    if name == comparison.reference
                    else _gap(gaps[metric, when, name], levels[metric, when, name], shown)
                    for name in comparison.names()
                )
                lines.append(Line(section, METRICS[metric].name, shown.label, when, tuple(cells)))
    return lines


def _plain(value: float | None, shown: Scale, sign: str = "") -> str:
    if value is None:
        return "n/a"
    text = f"{value / shown.divisor:{sign},.{shown.decimals}f}"
    return text.replace(",", "") if shown.label == "year" else text


def _level(row: Row, shown: Scale) -> str:
    if row.mean is None:
        return "never"
    text = f"{_plain(row.mean, shown)}  [{_plain(row.p10, shown)}, {_plain(row.p90, shown)}]"
    return text if row.share_reached == 1 else f"{text} in {100 * row.share_reached:.0f} %"


def _gap(gap: Difference, level: Row, shown: Scale) -> str:
    if gap.share_zero == 1:
        return "="
    if gap.mean is None:  # no pair has a value in both: show the scenario's own level
        return "never" if level.mean is None else f"{_plain(level.mean, shown)} in {100 * level.share_reached:.0f} %"
    if gap.ci_low is None or gap.ci_high is None:
        return _plain(gap.mean, shown, "+")
    return f"{_plain(gap.mean, shown, '+')}  ({_plain(gap.ci_low, shown, '+')}, {_plain(gap.ci_high, shown, '+')})"


def sentences(comparison: Comparison, differences: Iterable[Difference], when: str) -> list[str]:
    """One sentence a finding: what, how much, how precisely known, how it spreads over futures."""
    titles = {scenario.name: scenario.title for scenario in comparison.scenarios}
    found = [d for d in differences if d.date == when and d.country == "all"]
    said = []
    for name in comparison.names():
        if name == comparison.reference:
            continue
        mine = [d for d in found if d.scenario == name]
        whole = next(d for d in mine if d.metric == "it_mw_online" and _total(d))
        if whole.share_zero == 1:
            said.append(
                f"{titles[name]}: capacity equals that under {titles[comparison.reference]} in every replication until {when}."
            )
            continue
        said.append(
            _sentence(titles[name], titles[comparison.reference], whole, "IT capacity is online in all countries together", when)
        )
        parts = [d for d in mine if d.metric == "it_mw_online" and d.tier != "all" and d.company != "all" and d.mean]
        if parts:
            largest = max(parts, key=lambda d: abs(d.mean or 0.0))
            said.append(
                _sentence(
                    titles[name],
                    titles[comparison.reference],
                    largest,
                    f"{COMPANIES.get(largest.company, largest.company)} capacity is online in tier {largest.tier}",
                    when,
                    largest=True,
                )
            )
    return said


def _sentence(title: str, reference: str, d: Difference, what: str, when: str, *, largest: bool = False) -> str:
    assert (
        d.mean is not None
        and d.p10 is not None
        and d.p90 is not None
        and d.share_positive is not None
        and d.share_zero is not None
    )
    direction = "more" if d.mean > 0 else "less"
    size = amount(abs(d.mean), d.unit)
    start = "The largest part: " if largest else f"{title}: by {when}, "
    by = "" if largest else f" than under {reference}"
    if d.ci_low is None or d.ci_high is None:
        return f"{start}{size} {direction} {what}{by} (one replication; no interval)."
    ends = sorted((abs(d.ci_low), abs(d.ci_high))) if d.ci_low * d.ci_high > 0 else None
    precision = (
        f"95 % interval of the mean {amount(ends[0], d.unit)} to {amount(ends[1], d.unit)}"
        if ends
        else (
            f"95 % interval of the mean {amount(d.ci_low, d.unit, signed=True)} to {amount(d.ci_high, d.unit, signed=True)}, so the sign is not settled"
        )
    )
    share = d.share_positive if d.mean > 0 else 1 - d.share_positive - d.share_zero
    spread = f"in eight of ten futures the difference lies between {amount(d.p10, d.unit, signed=True)} and {amount(d.p90, d.unit, signed=True)}"
    return f"{start}{size} {direction} {what}{by} ({precision}); {spread}, and it is {direction} in {100 * share:.0f} % of {d.replications} paired runs."


def explained(comparison: Comparison, most: int = 4) -> list[str]:
    """Which provisions and which projects lie behind the differences: means over replications, and names from replication 0."""
    from simulator.trace import gaps

    said: list[str] = []
    names = comparison.names()
    base = names.index(comparison.reference)
    for i, name in enumerate(names):
        if i == base:
            continue
        compiled = comparison.compiled[i]
        mean = comparison.provisions[name].mean(axis=0)
        weights = mean[:, 1] / 365.25 + mean[:, 2:].sum(axis=1)
        parts = []
        for p in sorted(range(len(weights)), key=lambda p: -weights[p])[:2]:
            if weights[p] < 1:
                continue
            cited = compiled.provisions[compiled.static.provisions[p]]
            doubt = "" if cited.certain else ", from memory or judgement"
            parts.append(
                f"{compiled.static.provisions[p]} ({cited.citation}{doubt}) keeps ready sites waiting for {amount(mean[p, 1] / 365.25, 'MW IT')}-years, moves "
                f"{amount(mean[p, 2], 'MW IT')}, ends {amount(mean[p, 3], 'MW IT')} and leaves {amount(mean[p, 4], 'MW IT')} empty"
            )
        if parts:
            said.append(f"{compiled.scenario.title}, provisions (mean of runs): " + "; ".join(parts) + ".")
        runs, other = comparison.runs[comparison.reference], comparison.runs[name]
        if 0 in runs and 0 in other:
            pair = (runs[0][0], other[0][0]), (runs[0][1], other[0][1])
            for gap in gaps(comparison.compiled[base], compiled, *pair, most=most):
                where = (
                    gap.country if gap.country == gap.country_reference else f"{gap.country} instead of {gap.country_reference}"
                )
                said.append(
                    f"  {gap.project} ({gap.company}, {gap.mw:.0f} MW, {where}): online {gap.online or 'not by the horizon'} instead of "
                    f"{gap.online_reference or 'not by the horizon'}; {gap.reason}, {gap.provision}."
                )
    return said

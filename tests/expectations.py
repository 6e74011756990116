"""What was expected of the scenarios before they were run (`expected_signs.yaml`), and how a comparison answers it.

Shared by tests only. A sign is that of the mean paired difference, scenario minus reference; see the head of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.causes import delay_rows, policy_delay
from simulator.experiments import Comparison
from simulator.statistics import columns, half_width
from simulator.yamlfile import parse_yaml

FILE = Path(__file__).with_name("expected_signs.yaml")
SIGNS = ("+", "-", "none")
BY_LINEAGE = "policy_delay_months"
"""Not a metric of one run: months a policy costs a lineage, from the two event logs of a replication (`causes.policy_delay`)."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Headline:
    """A number that expectations speak of: a metric, of which group, at which date."""

    name: str
    metric: str
    date: str
    tier: str = "all"
    company: str = "all"
    country: str = "all"
    compare: str = "value"
    """`value`, or `reached`: whether it has a value at all, for a day that may never come"""
    negligible_amount: float = 0.0
    """Differences below this are none, in the metric's unit, beside the share of the reference's mean"""


class Expectation(NamedTuple):
    """One sign and why."""

    scenario: str
    reference: str
    headline: str
    date: str
    sign: str
    reason: str


@dataclass(frozen=True)
class Expected:
    """The whole file."""

    negligible: float
    headlines: dict[str, Headline]
    expectations: tuple[Expectation, ...]
    left_out: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """(scenario, reference, headline) -> why nothing is expected of it"""


class Found(NamedTuple):
    """What the replications say: the sign by the same rule, the mean difference with its 95 % interval, and what it compares with."""

    sign: str
    mean: float
    low: float
    high: float
    reference_mean: float
    share_zero: float
    pairs: int


def load(path: Path = FILE) -> Expected:
    """Read the file. Raises InputProblems for broken YAML, KeyError or TypeError for a field that is missing or unknown."""
    content: dict[str, Any] = parse_yaml(path.read_text(encoding="utf-8"), path).content
    day = content["date"]
    headlines = {
        name: Headline(name, **said | {"date": said.get("date", day).isoformat()}) for name, said in content["headlines"].items()
    }
    expectations: list[Expectation] = []
    left_out: dict[tuple[str, str, str], str] = {}
    for block in content["expected"]:
        scenario, reference = block["scenario"], block["reference"]
        unknown = set(block) - {"scenario", "reference", "signs", "left_out"}
        if unknown:
            raise KeyError(f"{scenario} against {reference}: unknown field {sorted(unknown)}")
        for key, said in block["signs"].items():
            if set(said) != {"sign", "reason"}:
                raise KeyError(f"{scenario} against {reference}, {key}: needs sign and reason, has {sorted(said)}")
            name, _, on = key.partition("@")
            if name not in headlines:
                raise KeyError(f"{scenario} against {reference}: {name} is no headline")
            expectations.append(Expectation(scenario, reference, name, on or headlines[name].date, said["sign"], said["reason"]))
        left_out |= {(scenario, reference, name): why for name, why in block.get("left_out", {}).items()}
    return Expected(float(content["negligible"]), headlines, tuple(expectations), left_out)


def judge(values: Floats, base: Floats, negligible: float, amount: float = 0.0) -> Found:
    """The sign of paired values (N,) against their base (N,), over the pairs in which both are finite.

    `none`: the 95 % interval of the mean difference holds zero, or the mean is not above `negligible` of the base's mean or above
    `amount`. `undefined`: fewer than two pairs.
    """
    both = np.isfinite(values) & np.isfinite(base)
    gap = values[both] - base[both]
    if len(gap) < 2:
        nan = float("nan")
        return Found("undefined", nan, nan, nan, nan, nan, len(gap))
    mean, half, level = float(gap.mean()), half_width(gap), float(base[both].mean())
    least = max(negligible * abs(level), amount)
    none = abs(mean) <= least or mean - half <= 0 <= mean + half
    sign = "none" if none else "+" if mean > 0 else "-"
    return Found(sign, mean, mean - half, mean + half, level, float((gap == 0).mean()), len(gap))


def months_of_delay(comparison: Comparison, scenario: str, reference: str, tier: str) -> Floats:
    """(N,) mean months a lineage first meant for the tier is late against the reference; every replication needs its log."""
    static = {one.scenario.name: one.static for one in comparison.compiled}
    found = []
    for replication in comparison.finished:
        draws, log = comparison.runs[scenario][replication]
        base_draws, base_log = comparison.runs[reference][replication]
        delay = policy_delay(static[scenario], draws, log, static[reference], base_draws, base_log)
        rows = delay_rows(static[scenario], delay)
        mean = [row.months_mean for row in rows if (row.company, row.tier, row.finished) == ("all", tier, "all")]
        found.append(mean[0] if mean else float("nan"))
    return np.array(found)


def answers(comparison: Comparison, expected: Expected) -> Iterator[tuple[Expectation, Found]]:
    """Every expectation with what the comparison found. Raises KeyError for a number that results do not hold."""
    by_label = {
        (metric, company, country, tier, day): values for metric, _, company, country, tier, day, values in columns(comparison)
    }
    for e in expected.expectations:
        h = expected.headlines[e.headline]
        if h.metric == BY_LINEAGE:
            values = months_of_delay(comparison, e.scenario, e.reference, h.tier)
            base = np.zeros_like(values)
        else:
            drawn = by_label[h.metric, h.company, h.country, h.tier, e.date]
            values, base = drawn[e.scenario], drawn[e.reference]
        if h.compare == "reached":
            values, base = (np.isfinite(v).astype(np.float64) for v in (values, base))
        yield e, judge(values, base, expected.negligible, h.negligible_amount)


def table(answered: Sequence[tuple[Expectation, Found]]) -> str:
    """One line an expectation: expected, found, mean difference with its interval, the reference's mean."""
    lines = [
        f"{'scenario':20} {'reference':20} {'headline':30} {'date':10}  exp  found     mean difference [95 % interval] on reference"
    ]
    for e, found in answered:
        numbers = f"{found.mean:.4g} [{found.low:.4g}, {found.high:.4g}] on {found.reference_mean:.4g}"
        miss = "" if found.sign == e.sign else "   MISS"
        lines.append(f"{e.scenario:20} {e.reference:20} {e.headline:30} {e.date}  {e.sign:4} {found.sign:9} {numbers}{miss}")
    return "\n".join(lines)


def note(answered: Sequence[tuple[Expectation, Found]], replications: int, seed: int) -> str:
    """The misses in words, to be pasted into a note."""
    misses = [(e, found) for e, found in answered if e.sign != found.sign]
    by_chance = sum(e.sign == "none" for e, _ in answered) / 20
    lines = [
        f"Signs expected before the run: {len(answered) - len(misses)} of {len(answered)} as expected "
        f"({replications} paired replications, seed {seed}).",
        f"Where `none` is true a sign is found by chance in about one of twenty: up to {by_chance:.0f} such misses say nothing.",
        "",
    ]
    for e, found in misses:
        opposite = {e.sign, found.sign} == {"+", "-"}
        lines.append(
            f"- **{e.scenario}** against {e.reference}, `{e.headline}` at {e.date}: expected {e.sign}, found {found.sign}"
            f"{' (opposite)' if opposite else ''}: {found.mean:.4g} [{found.low:.4g}, {found.high:.4g}] on {found.reference_mean:.4g}, "
            f"exactly zero in {found.share_zero:.0%} of {found.pairs} pairs. Expected because: {e.reason}"
        )
    return "\n".join(lines)

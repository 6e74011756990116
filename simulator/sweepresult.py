"""What came of a sweep: tables, fans, ranking and figures, read from the store when they are asked for.

Everything is read part by part, so memory does not grow with the number of replications (see `simulator.spread`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from simulator import headline
from simulator.cells import BLOCK, HEADLINES, INCREMENTS, LOGS, QUANTILES, Run
from simulator.design import PLAIN, Design, Split
from simulator.metrics import METRICS, TIERS
from simulator.playing import ABOUT, MONTHLY
from simulator.precision import WORTH, Close, Moments, Ranking, Rule
from simulator.problems import nearest, shown
from simulator.spread import Spread
from simulator.statistics import LEVEL
from simulator.store import Store, open_store

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    Floats = NDArray[np.float64]

HEADLINE = "it_mw_online"
"""The metric that progress, precision and the ranking speak of: capacity online at the end of the run"""
COLUMN = f"{HEADLINE}|all|{headline.HORIZON}"
FAN = (0.1, 0.25, 0.5, 0.75, 0.9)
REPORTED = (0.1, 0.5, 0.9)


def floats(column: Any) -> Floats:
    """A column of a table as floats, nan where it has no number."""
    return np.asarray(column.to_numpy(), dtype=np.float64)


class Rank(NamedTuple):
    """A scenario in the order of the headline, and how it stands to the next one."""

    scenario: str
    mean: float
    low: float
    high: float
    """10 % and 90 % of futures"""
    gap: float
    """mean paired difference to the next scenario; nan for the last"""
    half_width: float
    """of the interval of that mean, wide enough for all neighbours at once (`precision.ranking`)"""
    same: bool
    """whether the two are equal in every replication"""

    @property
    def settled(self) -> bool:
        """False if the sign of the difference to the next one is not: more replications could change the order."""
        return self.same or math.isnan(self.gap) or self.gap > self.half_width


@dataclass(frozen=True)
class SweepResult:
    """What came of a sweep, read from the store when it is asked for. Tables are pandas, figures Plotly."""

    run: Run
    store: Store = field(repr=False)
    title: str = ""
    asks: str = ""
    interrupted: bool = False
    failed: str = ""
    """the replication that could not be played, and why; empty if none"""
    asked: int = 0
    """replications asked for; with a rule to stop by, the most there might have been"""
    loaded: int = 0
    """runs found in the store"""
    played: int = 0
    """runs played now"""
    seconds: float = 0.0
    precise: bool = False
    """whether the headline differences are known as precisely as the rule to stop by asks"""
    stop: Rule | None = None

    # ---- what it is of

    @property
    def id(self) -> str:
        """Identity by content; `groundbreak runs show` knows it."""
        return self.run.id

    @property
    def replications(self) -> int:
        """Replications that every scenario has."""
        return self.run.replications

    @property
    def names(self) -> list[str]:
        """The scenarios, in the order asked."""
        return [member.name for member in self.run.members]

    @property
    def reference(self) -> str:
        """The scenario that the others are compared with."""
        return self.run.reference

    @property
    def design(self) -> Design:
        """How the assumptions were sampled."""
        given = dict(self.run.design)
        return Design(**{**given, "vary": tuple(given.get("vary", ()))}) if given else PLAIN

    @property
    def axes(self) -> list[str]:
        """Axes of a family and levers."""
        return list(dict.fromkeys(axis for member in self.run.members for axis in member.levers))

    @cached_property
    def about(self) -> dict[str, Any]:
        """What the stored numbers stand for: month ends, companies, countries and their tiers."""
        first = next(self.store.each(self.run.members[0].cell, self.run.parts[:1], HEADLINES, ["replication"]))
        return cast(dict[str, Any], json.loads((first.schema.metadata or {})[ABOUT]))

    def _key(self, scenario: str) -> str:
        if scenario not in self.names:
            raise ValueError(
                f"{shown(scenario)} is not among the scenarios: {', '.join(self.names)}{nearest(scenario, self.names)}"
            )
        return self.run.cell(scenario)

    def _others(self, reference: str | None) -> tuple[str, list[str]]:
        reference = reference or self.reference
        self._key(reference)
        return reference, [name for name in self.names if name != reference]

    # ---- the headline numbers

    def _numbers(self, keys: Sequence[str], columns: Sequence[str]) -> Iterator[list[Floats]]:
        """(n, columns) headline numbers of several cells, part by part, side by side."""
        read = [self.store.each(key, self.run.parts, HEADLINES, columns) for key in keys]
        for tables in zip(*read, strict=True):
            yield [np.stack([floats(table[name]) for name in columns], axis=1) for table in tables]

    def _columns(self, scenario: str) -> pd.DataFrame:
        import pandas as pd

        about = self.about
        dates = {headline.MIDDLE: about["shown"][0], headline.HORIZON: about["shown"][1], headline.RUN: about["months"][-1]}
        frame = pd.DataFrame(
            {
                "metric": [column.metric for column in headline.METRICS],
                "tier": [column.tier for column in headline.METRICS],
                "when": [column.when for column in headline.METRICS],
                "date": [dates[column.when] for column in headline.METRICS],
                "unit": [column.unit for column in headline.METRICS],
            }
        )
        frame.insert(0, "scenario", scenario)
        levers = next(member.levers for member in self.run.members if member.name == scenario)
        for i, axis in enumerate(self.axes):
            frame.insert(1 + i, axis, levers.get(axis, ""))
        return frame

    def table(self) -> pd.DataFrame:
        """Every headline number of every scenario: mean over futures, 10, 50 and 90 % of them, and in how many it is reached."""
        import pandas as pd

        found = []
        for name in self.names:
            spread = Spread(len(headline.COLUMNS), self.design)
            for (values,) in self._numbers([self._key(name)], headline.COLUMNS):
                spread.add(values)
            frame = self._columns(name)
            frame["mean"] = spread.mean
            frame["half_width"] = spread.half_width
            for share, numbers in zip(REPORTED, spread.quantiles(REPORTED), strict=True):
                frame[_percent(share)] = numbers
            frame["share_reached"] = spread.known / spread.rows
            found.append(frame)
        return pd.concat(found, ignore_index=True)

    def differences(self, reference: str | None = None) -> pd.DataFrame:
        """Paired differences of every scenario from the reference, over the replications in which both have a value.

        `ci_low` to `ci_high` is the 95 % interval of the mean: how precise the simulation is. `p10` to `p90` are futures: how
        uncertain the world is.
        """
        import pandas as pd

        reference, others = self._others(reference)
        found = []
        for name in others:
            spread = Spread(len(headline.COLUMNS), self.design)
            for one, other in self._numbers([self._key(name), self._key(reference)], headline.COLUMNS):
                spread.add(one - other)
            frame = self._columns(name)
            frame.insert(1, "reference", reference)
            mean, half, known = spread.mean, spread.half_width, np.maximum(spread.known, 1)
            frame["mean"], frame["ci_low"], frame["ci_high"] = mean, mean - half, mean + half
            for share, numbers in zip(REPORTED, spread.quantiles(REPORTED), strict=True):
                frame[_percent(share)] = numbers
            some = spread.known > 0
            frame["share_positive"] = np.where(some, spread.positive / known, np.nan)
            frame["share_zero"] = np.where(some, spread.zero / known, np.nan)
            frame["replications"] = spread.known
            found.append(frame)
        return pd.concat(found, ignore_index=True) if found else self._columns(reference).iloc[:0]

    def headlines(self, scenario: str) -> pd.DataFrame:
        """Headline numbers of a scenario, one row a replication; columns are `metric|tier|when`."""
        frame = self.store.read(self._key(scenario), self.run.parts, HEADLINES).to_pandas()
        return frame.set_index("replication")

    def variance_split(self, reference: str | None = None) -> pd.DataFrame:
        """Variance of the headline numbers over futures, split into assumptions and luck; of the paired differences where a
        reference is given. Raises ValueError without at least two lucks for every point of the assumptions."""
        import pandas as pd

        names = self.names if reference is None else self._others(reference)[1]
        found = []
        for name in names:
            split = Split(len(headline.COLUMNS), self.design.lucks)
            keys = [self._key(name)] + ([self._key(reference)] if reference is not None else [])
            for values in self._numbers(keys, headline.COLUMNS):
                split.add(values[0] - values[1] if reference is not None else values[0])
            frame = self._columns(name)
            if reference is not None:
                frame.insert(1, "reference", reference)
            assumptions, luck = split.parts()
            frame["assumptions"], frame["luck"] = assumptions, luck
            with np.errstate(invalid="ignore", divide="ignore"):
                frame["share_assumptions"] = np.where(assumptions + luck > 0, assumptions / (assumptions + luck), np.nan)
            frame["points"] = split.points
            found.append(frame)
        return pd.concat(found, ignore_index=True)

    # ---- series

    def fan(
        self,
        series: str = HEADLINE,
        *,
        scenario: str | Sequence[str] | None = None,
        tier: int | None = None,
        company: str | None = None,
        country: str | None = None,
        quantiles: Sequence[float] = FAN,
    ) -> pd.DataFrame:
        """Month ends of a series: mean and quantiles over futures, of everything or of a tier, company or country.

        One row a scenario and month. Raises ValueError for a series or a place that is not kept.
        """
        import pandas as pd

        names = self.names if scenario is None else [scenario] if isinstance(scenario, str) else list(scenario)
        if not self.keeps_increments:
            if company is not None or country is not None:
                raise ValueError("only totals and tiers are kept of this run (keep: quantiles)")
            return pd.concat([self._kept_fan(name, series, tier, quantiles) for name in names], ignore_index=True)
        found = []
        for name in names:
            spread = Spread(len(self.about["months"]))
            for (table,) in self._monthly([name], series, tier, company, country):
                spread.add(table)
            found.append(self._fan_frame(spread, quantiles, scenario=name))
        return pd.concat(found, ignore_index=True)

    def paired_fan(
        self,
        series: str = HEADLINE,
        *,
        scenario: str | Sequence[str] | None = None,
        reference: str | None = None,
        tier: int | None = None,
        company: str | None = None,
        country: str | None = None,
        quantiles: Sequence[float] = FAN,
    ) -> pd.DataFrame:
        """As `fan`, of the difference from the reference in the same future, with the 95 % interval of its mean.

        Raises ValueError also for a run of which only quantiles are kept.
        """
        import pandas as pd

        reference, others = self._others(reference)
        names = others if scenario is None else [scenario] if isinstance(scenario, str) else list(scenario)
        if not self.keeps_increments:
            raise ValueError(
                "only monthly quantiles are kept of this run, and those cannot be paired; sweep with keep: increments"
            )
        found = []
        for name in names:
            spread = Spread(len(self.about["months"]), self.design)
            for one, other in self._monthly([name, reference], series, tier, company, country):
                spread.add(one - other)
            frame = self._fan_frame(spread, quantiles, scenario=name, reference=reference)
            frame["ci_low"], frame["ci_high"] = spread.mean - spread.half_width, spread.mean + spread.half_width
            found.append(frame)
        return pd.concat(found, ignore_index=True)

    @property
    def keeps_increments(self) -> bool:
        """True if the series of every replication are there, and not only their quantiles."""
        return INCREMENTS in self.store.cell(self.run.members[0].cell).tables

    def _series(self, series: str) -> int:
        known = [each.metric for each in headline.SERIES]
        if series not in known:
            raise ValueError(f"{shown(series)} is not a series that is kept: {', '.join(known)}{nearest(series, known)}")
        return known.index(series)

    def _fan_frame(self, spread: Spread, quantiles: Sequence[float], **names: str) -> pd.DataFrame:
        import pandas as pd

        frame = pd.DataFrame({**names, "date": pd.to_datetime(self.about["months"]), "mean": spread.mean})
        for share, numbers in zip(quantiles, spread.quantiles(quantiles), strict=True):
            frame[_percent(share)] = numbers
        return frame

    def _monthly(
        self, names: Sequence[str], series: str, tier: int | None, company: str | None, country: str | None
    ) -> Iterator[list[Floats]]:
        """(n, months) of a series in several scenarios, part by part, side by side."""
        import pyarrow.compute as pc

        about = self.about
        index = self._series(series)
        where: dict[str, int] = {}
        for kind, value, known in (("company", company, about["companies"]), ("country", country, about["countries"])):
            if value is not None:
                if value not in known:
                    raise ValueError(f"{shown(value)} is not a {kind} of this run: {', '.join(known)}{nearest(value, known)}")
                where[kind] = known.index(value)
        if tier is not None:
            if not 1 <= tier <= len(TIERS):
                raise ValueError(f"{tier!r} is not a tier; allowed are {', '.join(TIERS)}")
            where["tier"] = tier
        months = len(about["months"])
        columns = ["replication", *(headline.INCREMENTS.names or ())]
        mine = pc.field("series") == index
        if country is not None:
            mine &= pc.field("place") == headline.COUNTRY + where["country"]
        else:
            mine &= pc.field("place") < headline.COUNTRY
        read = [self.store.each(self._key(name), self.run.parts, INCREMENTS, columns, mine) for name in names]
        for part, *tables in zip(self.run.parts, *read, strict=True):
            found = []
            for table in tables:
                rows = {name: table[name].to_numpy() for name in columns}
                of = rows.pop("replication").astype(np.int64) - part.first
                found.append(
                    headline.total(
                        cast(Any, rows),
                        series,
                        months,
                        replication=of,
                        replications=part.last - part.first + 1,
                        **cast(Any, where),
                    )
                )
            yield found

    def _kept_fan(self, name: str, series: str, tier: int | None, quantiles: Sequence[float]) -> pd.DataFrame:
        import pandas as pd
        import pyarrow.compute as pc

        if unkept := [share for share in quantiles if share not in MONTHLY]:
            raise ValueError(
                f"of this run the quantiles {', '.join(map(str, MONTHLY))} are kept, not {', '.join(map(str, unkept))}"
            )
        columns = ["mean", *(f"p{share * 100:02.0f}" for share in quantiles)]
        mine = (pc.field("series") == self._series(series)) & (pc.field("place") == (tier or 0))
        total = np.zeros((len(columns), len(self.about["months"])))
        for part, table in zip(
            self.run.parts, self.store.each(self._key(name), self.run.parts, QUANTILES, columns, mine), strict=True
        ):
            total += (part.last - part.first + 1) * np.stack([floats(table[column]) for column in columns])
        total /= self.replications
        frame = pd.DataFrame({"scenario": name, "date": pd.to_datetime(self.about["months"]), "mean": total[0]})
        for share, numbers in zip(quantiles, total[1:], strict=True):
            frame[_percent(share)] = numbers
        return frame

    def logs(self, scenario: str, replication: int = 0) -> pd.DataFrame:
        """The event log of one of the first replications, with stages, marks, provisions and projects by name.

        Raises ValueError for a replication whose log is not kept.
        """
        import pandas as pd
        import pyarrow.compute as pc

        from simulator.events import Mark, Stage

        if not 0 <= replication < self.run.logs:
            kept = f"those of 0 to {self.run.logs - 1} are" if self.run.logs else "none is"
            raise ValueError(f"the log of replication {replication} is not kept; {kept}")
        part = [part for part in self.run.parts if part.first <= replication <= part.last]
        table = self.store.read(self._key(scenario), part, LOGS)
        about = json.loads((table.schema.metadata or {})[ABOUT])
        frame = table.filter(pc.field("replication") == replication).to_pandas()
        frame["stage"] = frame["stage"].map({int(stage): stage.name.lower() for stage in Stage}).astype("category")
        frame["mark"] = frame["mark"].map({int(mark): mark.name.lower() for mark in Mark}).astype("category")
        provisions = np.array([*about["provisions"], ""], dtype=object)
        projects = np.array([*about["projects"][str(replication)], ""], dtype=object)
        frame["provision"] = pd.Categorical(provisions[frame["rule"]])
        frame["project"] = pd.Categorical(projects[np.where(frame["root"] >= 0, frame["root"], -1)])
        return frame

    # ---- in words

    def ranking(self) -> list[Rank]:
        """The scenarios by the mean of the headline (IT capacity online at the end), the largest first."""
        keys = [self._key(name) for name in self.names]
        spread = Spread(len(keys), self.design)
        for values in self._numbers(keys, [COLUMN]):
            spread.add(np.concatenate(values, axis=1))
        means, (low, high) = spread.mean, spread.quantiles((0.1, 0.9))
        order = [int(i) for i in np.argsort(-means, kind="stable")]
        last = len(order) - 1
        gaps, apart = Moments(last, self.design.unit), np.zeros(last, dtype=np.bool_)
        for values in self._numbers([keys[i] for i in order], [COLUMN]) if last else ():
            side = np.concatenate(values, axis=1)
            gaps.add(side[:, :-1] - side[:, 1:])
            apart |= (side[:, :-1] != side[:, 1:]).any(axis=0)
        half = [*gaps.half(1 - (1 - LEVEL) / (WORTH * max(last, 1))).tolist(), math.nan]
        gap = [*gaps.mean.tolist(), math.nan]
        same = [*(~apart).tolist(), False]
        return [
            Rank(self.names[i], float(means[i]), float(low[i]), float(high[i]), gap[place], half[place], same[place])
            for place, i in enumerate(order)
        ]

    def settled(self, ranks: Sequence[Rank] | None = None) -> Ranking:
        """Whether more replications could change the ranking, and how many would tell which neighbours apart."""
        ranks = self.ranking() if ranks is None else ranks
        pairs = list(pairwise(ranks))
        close = [
            Close(one.scenario, other.scenario, one.gap, one.half_width, self._needed(one))
            for one, other in pairs
            if not one.settled
        ]
        close.sort(key=lambda each: each.gap / each.half if each.half > 0 else 0.0)
        equal = tuple((one.scenario, other.scenario) for one, other in pairs if one.same)
        return Ranking(tuple(rank.scenario for rank in ranks), tuple(close), equal)

    def _needed(self, rank: Rank) -> int | None:
        """Replications that would probably tell a scenario from the next one; None if nobody can say."""
        ratio = rank.half_width / rank.gap if rank.gap > 0 else math.inf
        return math.ceil(self.replications * ratio**2 / BLOCK) * BLOCK if ratio < BLOCK else None

    def summary(self, most: int = 12) -> str:
        """In words: what was run, the scenarios in order, and whether more replications could change that order."""
        from simulator.findings import amount

        metric, ranks = METRICS[HEADLINE], self.ranking()
        unit, end = metric.unit, self.about["shown"][1]
        several = f"{len(ranks)} scenarios x " if len(ranks) > 1 else ""
        lines = [f"{self.title or self.names[0]}: {several}{self.replications:,} replications, {self.design.says()}."]
        if self.stop:
            lines.append(self._stopped(self.stop))
        lines.append(f"{metric.name} on {end}: mean of futures, and 10 to 90 % of them.")
        wide = max(len(rank.scenario) for rank in ranks)
        left_out = range(most // 2, len(ranks) - most // 2) if len(ranks) > most else range(0)
        for place, rank in enumerate(ranks):
            if place not in left_out:
                spread = f"({amount(rank.low, unit)} to {amount(rank.high, unit)})"
                lines.append(f"  {place + 1:>3}. {rank.scenario.ljust(wide)}  {amount(rank.mean, unit)} {spread}")
            elif place == left_out.start:
                lines.append(f"  ... {len(left_out)} others in between")
        if len(ranks) > 1:
            lines += _in_words(self.settled(ranks), unit)
        return "\n".join(lines)

    def _stopped(self, rule: Rule) -> str:
        """Which rule ended it."""
        asked = [f"{rule.relative * 100:.3g} % of the mean of the reference"] if rule.relative else []
        asked += [f"{rule.absolute:,g} MW"] if rule.absolute else []
        width = f"a half-width of the headline differences of {' and '.join(asked)}" if asked else ""
        if self.interrupted or self.failed:
            return f"Ended before {width or f'{rule.budget:g} seconds were over'}."
        if self.precise:
            return f"Stopped at {width}."
        if self.replications < self.asked:
            return f"Stopped after {rule.budget:g} seconds" + (f", before {width}." if width else ".")
        return f"Stopped at {self.asked:,} replications, the most allowed" + (f", before {width}." if width else ".")

    def __repr__(self) -> str:
        return (
            f"SweepResult({self.id}: {len(self.names)} scenarios, {self.replications:,} replications, reference {self.reference})"
        )

    def _repr_html_(self) -> str:
        from html import escape

        from simulator.findings import amount

        unit = METRICS[HEADLINE].unit
        rows = "".join(
            f"<tr><td>{escape(rank.scenario)}</td><td style='text-align:right'>{escape(amount(rank.mean, unit))}</td>"
            f"<td style='text-align:right'>{escape(amount(rank.low, unit))} to {escape(amount(rank.high, unit))}</td></tr>"
            for rank in self.ranking()
        )
        note = "<br>".join(escape(line) for line in self.summary().splitlines()[:1])
        return (
            f"<div><p><b>{escape(self.title or self.names[0])}</b><br>{note}</p><table><thead><tr><th>Scenario</th>"
            f"<th>{escape(METRICS[HEADLINE].name)}, mean</th><th>10 to 90 % of futures</th></tr></thead><tbody>{rows}</tbody></table>"
            f"<p>Run {self.id}, reference {escape(self.reference)}</p></div>"
        )

    # ---- figures

    def plot_fan(
        self,
        series: str = HEADLINE,
        *,
        scenario: str | Sequence[str] | None = None,
        tier: int | None = None,
        company: str | None = None,
        country: str | None = None,
    ) -> Figure:
        """The series over time: median and 10 to 90 % of futures; of several scenarios the reference and the most different ones."""
        from simulator import plots

        names = [scenario] if isinstance(scenario, str) else list(scenario or self._telling(plots.MOST_FANS))
        frame = self.fan(series, scenario=names, tier=tier, company=company, country=country, quantiles=(0.1, 0.5, 0.9))
        where = f"tier {tier}" if tier else company or country or ""
        return plots.fan(frame, METRICS[series], where, self.reference)

    def plot_differences(self, metric: str = HEADLINE, *, reference: str | None = None, tier: str = "all") -> Figure:
        """Paired differences from the reference: mean with its interval, and 10 to 90 % of futures."""
        from simulator import plots

        frame = self.differences(reference)
        known = [column.metric for column in headline.METRICS]
        if metric not in known:
            raise ValueError(f"{shown(metric)} is not a headline metric{nearest(metric, known)}")
        mine = frame[(frame["metric"] == metric) & (frame["tier"] == tier) & (frame["when"] != headline.MIDDLE)]
        return plots.differences(mine, METRICS[metric], "" if tier == "all" else f"tier {tier}", reference or self.reference)

    def plot_ranking(self) -> Figure:
        """The scenarios by IT capacity online at the end, with marks where the order is not settled."""
        from simulator import plots

        return plots.ranking(self.ranking(), METRICS[HEADLINE], self.about["shown"][1], self.reference)

    def _telling(self, most: int) -> list[str]:
        """The reference, and the scenarios farthest from it, in the order asked."""
        ranks = {rank.scenario: rank.mean for rank in self.ranking()}
        far = sorted(self.names, key=lambda name: -abs(ranks[name] - ranks[self.reference]))
        chosen = {self.reference, *[name for name in far if name != self.reference][: most - 1]}
        return [name for name in self.names if name in chosen]

    # ---- for scripts

    def record(self) -> dict[str, Any]:
        """Everything as plain values: what `groundbreak sweep --json` prints."""

        def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
            plain = frame.astype(object).where(frame.notna(), None)
            return cast(list[dict[str, Any]], plain.to_dict(orient="records"))

        return {
            "schema_version": SCHEMA_VERSION,
            "run_id": self.id,
            "title": self.title,
            "seed": self.run.members[0].seed,
            "replications": self.replications,
            "interrupted": self.interrupted,
            "failed": self.failed or None,
            "loaded": self.loaded,
            "played": self.played,
            "level": LEVEL,
            "design": dict(self.run.design),
            "reference": self.reference,
            "scenarios": [
                {"name": member.name, "cell": member.cell, "levers": dict(member.levers)} for member in self.run.members
            ],
            "ranking": [
                {
                    name: None if isinstance(value, float) and math.isnan(value) else value
                    for name, value in rank._asdict().items()
                }
                | {"settled": rank.settled}
                for rank in self.ranking()
            ],
            "metrics": rows(self.table()),
            "differences": rows(self.differences()),
        }


def _in_words(ranking: Ranking, unit: str, most: int = 5) -> list[str]:
    """Whether more replications would change a ranking."""
    from simulator.findings import amount

    lines = []
    if ranking.settled:
        lines.append("More replications would not change the ranking.")
    else:
        others = f", the nearest {most} of {len(ranking.close)}" if len(ranking.close) > most else ""
        lines.append(f"More replications may change the ranking. Not told apart{others}:")
    for pair in ranking.close[:most]:
        needed = f"about {pair.needed:,} replications would tell" if pair.needed else "nobody can say how many would tell"
        lines.append(
            f"  {pair.above} over {pair.below}: {amount(pair.gap, unit, signed=True)} ± {amount(pair.half, unit)}; {needed}"
        )
    if ranking.equal:
        others = f" and {len(ranking.equal) - most} other pairs" if len(ranking.equal) > most else ""
        lines.append(f"Equal in every replication: {', '.join(f'{a} and {b}' for a, b in ranking.equal[:most])}{others}.")
    return lines


SCHEMA_VERSION = 1
"""Of `SweepResult.record`."""


def stored(run: str, store: Store | str | Path | None = None) -> SweepResult:
    """A finished run of the store, by its id or its beginning. Raises InputProblems if there is none."""
    place = store if isinstance(store, Store) else open_store(None if store is None else Path(store))
    found = place.run(run)
    return SweepResult(found, place, f"Run {found.id}", asked=found.replications, loaded=found.replications * len(found.members))


def _percent(share: float) -> str:
    """`p10` for 0.1, `p2.5` for 0.025."""
    return f"p{share * 100:g}"

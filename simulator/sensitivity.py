"""Which inputs move the headlines most: every uncertain input alone, at the two ends of its range, all others at their middle.

Read `analyse` first. A group of inputs is what one number of the data stands for (all markets' grid times, one probability of
the law). Both ends are played with the same luck as the middle, for a reference and a policy, so that a movement is the input's.
One at a time says nothing of inputs that matter only together; the spread over replications of a comparison has those too.
"""

from __future__ import annotations

import json
import math
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simulator.compile import Compiled, compile_scenario
from simulator.draws import Z90, Floats
from simulator.engines import play
from simulator.executors import Interrupts
from simulator.experiments import compile_all, rd_weights
from simulator.metrics import BY_MONTH, METRICS, SCALARS, Measures, groups, measure
from simulator.problems import InputProblems, nearest, refuse, shown
from simulator.sampling import Moved
from simulator.static import Draws
from simulator.statistics import half_width

if TYPE_CHECKING:
    import pandas as pd

    from simulator.regimes import Leaf
    from simulator.scenario import Scenario
    from simulator.world import Key, Value, World

SCHEMA_VERSION = 1
ON = date(2028, 12, 31)
"""The month end at which headlines are read, unless the run ends sooner."""
ENDS = ("low", "high")

APART = {
    ("companies", "route_share"),
    ("process", "construction_split"),
    ("process", "country_year_luck_log_sd"),
    ("process", "unmet_demand_share"),
}
"""Parameters each scope of which is an input of its own: shares of one whole, which hardly move together, or different things."""
AT_HOME = {("countries", "demand_share"), ("fleets", "fleet_country_share")}
"""Countries' shares of one whole: that of the United States is moved, against all others."""
HOME = "USA"


class Headline(NamedTuple):
    """A number the ranking speaks of: a metric, of all or of one tier, of the reference or as policy minus reference."""

    id: str
    metric: str
    tier: str
    difference: bool
    words: str
    """Of a line for people; the numbers stand for ..."""

    @property
    def unit(self) -> str:
        """Unit of the metric."""
        return METRICS[self.metric].unit


HEADLINES = (
    Headline("mw_online", "it_mw_online", "all", False, "... online"),
    Headline("mw_difference", "it_mw_online", "all", True, "difference ..."),
    Headline("tier2_difference", "it_mw_online", "2", True, "in tier 2 ..."),
    Headline("plan_to_online", "months_plan_to_online_median", "all", False, "plan to online ..."),
    Headline("plan_to_online_difference", "months_plan_to_online_median", "all", True, "its difference ..."),
    Headline("compliance_difference", "compliance_usd", "all", True, "compliance ..."),
)
READ = tuple(dict.fromkeys((headline.metric, headline.tier) for headline in HEADLINES))
"""What is read off a run: metric and tier."""


@dataclass(frozen=True)
class Input:
    """A group of inputs that is moved as one: uncertain values of the data by their keys, or a leaf of the law by its id."""

    name: str
    """`process/grid_share_of_four`, `companies/route_share [leased]`, `law/time.chips_normal.p50_days`"""
    parameter: str
    values: int
    """How many numbers move"""
    assumed: int
    """How many of them are judgements"""
    low: float | None
    middle: float | None
    high: float | None
    """Where the group stands at its ends and in the middle, if it is a single number"""
    unit: str
    keys: frozenset[Key] = field(repr=False)

    @property
    def of_law(self) -> bool:
        """True for a leaf of the law, moved to the ends of its sweep; other inputs go to their tenth and ninetieth percentile."""
        return not self.keys

    @property
    def rests_on(self) -> str:
        """`assumed`, `assumed in part` or `sourced` (reported, derived or recalled)."""
        return "sourced" if not self.assumed else "assumed" if self.assumed == self.values else "assumed in part"


@dataclass(frozen=True)
class Movement:
    """What one input does to one headline: means over the lucks, in the headline's unit; None where it is not reached."""

    input: str
    rests_on: str
    values: int
    input_unit: str
    input_low: float | None
    input_high: float | None
    headline: str
    unit: str
    at_low: float | None
    at_middle: float | None
    at_high: float | None
    swing: float
    """at_high - at_low without its sign. (The middle is the same runs for all inputs, so its chance would be in every swing.)"""
    half_width: float | None
    """Of the 95 % Student interval of at_high - at_low over the lucks: a swing below it may be chance. None for a single luck"""
    share: float
    """Share in the sum of squares of all inputs' swings of the headline, what chance adds on average taken off each square"""

    @property
    def settled(self) -> bool:
        """Whether the swing stands out from chance."""
        return self.swing > 0 and (self.half_width is None or self.swing > self.half_width)


@dataclass(frozen=True)
class Analysis:
    """Movements of all inputs that were finished, the strongest first."""

    reference: str
    policy: str
    on: date
    seed: int
    lucks: int
    inputs: tuple[Input, ...]
    """In order of rank"""
    movements: tuple[Movement, ...]
    """By input in order of rank, and headline"""
    failed: dict[str, str]
    """Inputs an end of which could not be played, and why"""
    unfinished: tuple[str, ...]
    """Inputs left out because of an interrupt"""

    @property
    def interrupted(self) -> bool:
        """True if not every input asked for was played."""
        return bool(self.unfinished)

    def of(self, input: str) -> dict[str, Movement]:
        """The movements of one input by headline."""
        return {m.headline: m for m in self.movements if m.input == input}

    def ranked(self, headline: str | None = None) -> list[Input]:
        """Inputs by how far they move one headline, or (None) by their share of the squared swings, averaged over headlines."""
        if headline is None:
            return list(self.inputs)
        swings = {m.input: m.swing for m in self.movements if m.headline == headline}
        return sorted(self.inputs, key=lambda i: -swings[i.name])

    def table(self) -> pd.DataFrame:
        """One row for each input and headline, with the columns of `Movement`, whether it is settled, and the input's rank."""
        import pandas as pd

        rank = {one.name: i for i, one in enumerate(self.inputs, 1)}
        rows = [{"rank": rank[m.input], **asdict(m), "settled": m.settled} for m in self.movements]
        return pd.DataFrame(rows, columns=["rank", *Movement.__dataclass_fields__, "settled"])


# ---------------------------------------------------------------------- what can be moved


def data_inputs(compiled: Compiled, position: float = Z90) -> list[Input]:
    """Groups of the uncertain inputs that replications draw; those without a range are left out.

    A market's input is its country's where it has none of its own: one group, named after the markets. `position`: standard
    normal place of the high end (1.2816: the ninetieth percentile).
    """
    sheet = compiled.sampler.sheet
    of_markets = {value.parameter for value in compiled.sampler.values if value.table == "markets"}
    found: dict[tuple[str, str], dict[Key, Value]] = {}
    ends = {end: sheet.at(np.full(len(sheet.mode), z)) for end, z in zip(ENDS, (-position, position), strict=True)}
    middle = sheet.at(np.zeros(len(sheet.mode)))
    for value in compiled.sampler.values:
        i = sheet.index[value.key]
        if ends["low"][i] == ends["high"][i] or ((value.table, value.parameter) in AT_HOME and HOME not in value.key[:4]):
            continue
        name = f"{'markets' if value.parameter in of_markets else value.table}/{value.parameter}"
        if (value.table, value.parameter) in APART:
            name += f" [{value.scope}]"
        found.setdefault((name, value.parameter), {})[value.key] = value
    inputs = []
    for (name, parameter), values in found.items():
        units = {value.unit for value in values.values()}
        single = sheet.index[next(iter(values))] if len(values) == 1 else None
        low, at, high = (None if single is None else float(x[single]) for x in (ends["low"], middle, ends["high"]))
        assumed = sum(value.kind == "assumed" for value in values.values())
        unit = units.pop() if len(units) == 1 else ""
        inputs.append(Input(name, parameter, len(values), assumed, low, at, high, unit, frozenset(values)))
    return inputs


def law_inputs(compiled: Sequence[Compiled]) -> list[Input]:
    """Leaves with a sweep in the law that scenarios have from the day they leave history (all of it, if they never do)."""
    leaves = {id: leaf for one in reversed(compiled) for id, leaf in _swept(one.scenario).items()}
    inputs = []
    for id, leaf in leaves.items():
        assert leaf.sweep is not None
        low, high = map(float, leaf.sweep)
        if low < high:
            assumed = int(leaf.kind == "assumed")
            inputs.append(Input(f"law/{id}", id, 1, assumed, low, float(leaf.value), high, leaf.unit, frozenset()))
    return inputs


def _swept(scenario: Scenario) -> dict[str, Leaf]:
    """Leaves with a sweep that a scenario's own regimes hold, as they stand last."""
    from simulator.controls import load_regime
    from simulator.scenario import HISTORY

    policy = scenario.policy
    named = [policy.regime or HISTORY, *(step.regime for step in policy.later)]
    return {
        id: dated.steps[-1][1]
        for regime in reversed(named)
        for id, dated in load_regime(regime).leaves.items()
        if dated.steps[-1][1].sweep
    }


def with_leaf(scenario: Scenario, leaf: str, value: float, since: date) -> Scenario:
    """The scenario with a leaf of its law set: from the day it leaves history, or from `since` if it never does."""
    from simulator.scenario import HISTORY, Fixed, LeafSetting

    policy = scenario.policy
    setting = LeafSetting.model_validate({"value": value, "reason": "One end of its sweep."})
    changes: dict[str, Any] = {"set": Fixed({**policy.set, leaf: setting})}
    if not policy.regime:
        changes |= {"diverges_on": since, "regime": HISTORY}
    return scenario.model_copy(update={"policy": policy.model_copy(update=changes)})


# ---------------------------------------------------------------------- playing


@dataclass(frozen=True)
class _Setup:
    """What every process needs: the two scenarios, and how they are played."""

    world: World
    compiled: tuple[Compiled, ...]
    seed: int
    lucks: int
    month: int
    position: float
    since: date


class _Task(NamedTuple):
    """One end of one input; the middle of all if there is none."""

    input: Input | None
    end: str


Numbers = list["Floats | None"]
"""(scenarios x lucks) what `READ` names; None where nothing differs from the middle"""


class _Player:
    """Plays tasks. Remembers digests of what the middle is made of: where an input changes nothing, nothing is played."""

    def __init__(self, setup: _Setup):
        self.setup, self.base = setup, dict[tuple[int, int], bytes]()

    def play(self, task: _Task) -> Numbers:
        """Both scenarios with all lucks, scenario by scenario."""
        s, moved = self.setup, task.input
        compiled, shift = list(s.compiled), None
        if moved is not None and moved.of_law:
            compiled = [self._recompiled(one, moved, task.end) for one in compiled]
        elif moved is not None:
            shift = Moved(moved.keys, s.position if task.end == "high" else -s.position)
        numbers: Numbers = []
        for i, one in enumerate(compiled):
            law = one is s.compiled[i] or _digest(one.static) == _digest(s.compiled[i].static)
            for luck in range(s.lucks):
                draws = self._draw(one, luck, shift)
                same = moved is not None and law and (shift is None or _digest(draws) == self._middle(i, luck))
                numbers.append(None if same else self._numbers(one, draws))
        return numbers

    def _recompiled(self, one: Compiled, moved: Input, end: str) -> Compiled:
        leaf = _swept(one.scenario).get(moved.parameter)
        if leaf is None or leaf.sweep is None:
            return one  # its law has no such leaf
        changed = with_leaf(one.scenario, moved.parameter, leaf.sweep[ENDS.index(end)], self.setup.since)
        again = compile_scenario(changed, self.setup.world, one.sampler)
        # A reference that never leaves history does not leave it for a supposition about its numbers either.
        return replace(again, static=replace(again.static, forced_until=one.static.forced_until))

    def _draw(self, one: Compiled, luck: int, shift: Moved | None) -> Draws:
        on = one.scenario.mechanisms
        return one.sampler.draw(self.setup.seed, luck, assumptions=False, luck=on.luck, rationing=on.rationing, moved=shift)

    def _middle(self, scenario: int, luck: int) -> bytes:
        if (scenario, luck) not in self.base:
            self.base[scenario, luck] = _digest(self._draw(self.setup.compiled[scenario], luck, None))
        return self.base[scenario, luck]

    def _numbers(self, one: Compiled, draws: Draws) -> Floats:
        return read(one, measure(one.static, draws, play(one.static, draws, "simpy"), rd_weights(one)), self.setup.month)


def read(compiled: Compiled, measures: Measures, month: int) -> Floats:
    """What `READ` names, of one run at a month; nan where it is not reached."""
    of_group = {(group.company, group.tier): g for g, group in enumerate(groups(compiled.static))}
    by_month, scalars = [metric.id for metric in BY_MONTH], [metric.id for metric in SCALARS]
    return np.array(
        [
            measures.monthly[by_month.index(metric), month, of_group["all", tier]]
            if metric in by_month
            else measures.scalars[scalars.index(metric)]
            for metric, tier in READ
        ],
        dtype=np.float64,
    )


def _digest(tables: Any) -> bytes:
    """A hash of the fields of a table of inputs: equal only if all are."""
    import hashlib

    return hashlib.sha256(pickle.dumps([getattr(tables, one.name) for one in fields(tables)])).digest()


_PLAYER: _Player | None = None


def _start_worker(pickled: bytes) -> None:
    import signal

    global _PLAYER
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    _PLAYER = _Player(pickle.loads(pickled))  # made by the parent process, never read from a file


Outcome = tuple[_Task, "Numbers | str"]
"""A task, and its numbers or why it failed"""


def _attempt(player: _Player, task: _Task) -> Outcome:
    try:
        return task, player.play(task)
    except (ArithmeticError, LookupError, ValueError, TypeError, MemoryError, InputProblems) as error:
        return task, f"{type(error).__name__}: {error}"


def _work(task: _Task) -> Outcome:
    assert _PLAYER is not None
    return _attempt(_PLAYER, task)


def _outcomes(setup: _Setup, tasks: list[_Task], workers: int | None) -> Iterator[Outcome]:
    """Outcomes as they come, in any order. What a task gives does not depend on the number of processes."""
    workers = min(workers or os.cpu_count() or 1, len(tasks))
    if workers <= 1:
        player = _Player(setup)
        for task in tasks:
            yield _attempt(player, task)
        return
    import multiprocessing

    context, waiting, interrupts = multiprocessing.get_context("spawn"), set[Future[Outcome]](), Interrupts()
    queue = list(tasks)
    try:
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(pickle.dumps(setup),)) as pool:
            try:
                while queue or waiting:
                    while queue and len(waiting) < 2 * workers:
                        with interrupts.deaf():
                            waiting.add(pool.submit(_work, queue.pop(0)))
                    done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
                    interrupts.check()
            finally:
                for future in waiting:
                    future.cancel()
    finally:
        interrupts.restore()


# ---------------------------------------------------------------------- the analysis


def analyse(
    reference: Scenario | str,
    policy: Scenario | str,
    world: World | None = None,
    *,
    lucks: int = 4,
    seed: int = 1,
    only: Sequence[str] = (),
    on: date = ON,
    position: float = Z90,
    workers: int | None = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Analysis:
    """Move every uncertain input to both ends of its range, one at a time, and see how the headlines of two scenarios move.

    Inputs of the data go to their tenth and ninetieth percentile (`position`), leaves of the law to the ends of their sweep, in
    both scenarios if both have them; all others stay at their middle. `lucks` runs of each, the same ones everywhere. `only`:
    names of inputs (`process/grid_share_of_four`, `grid_share_of_four`, the id of a leaf). `on`: month end at which headlines
    are read, or the last one before it. `workers` as for `compare`; the result does not depend on it. Ctrl-C keeps the inputs
    that are finished. Raises InputProblems for names that are no input, ValueError for scenarios that cannot be compared,
    RuntimeError if the middle itself cannot be played.
    """
    from simulator.scenario import load_scenario
    from simulator.world import load_world

    if lucks < 1:
        raise ValueError(f"lucks must be a whole number of at least 1, not {lucks!r}")
    pair = [load_scenario(each) if isinstance(each, str) else each for each in (reference, policy)]
    if pair[0].name == pair[1].name:
        raise ValueError(f"scenarios share a name: {pair[0].name}")
    if (pair[0].start, pair[0].end) != (pair[1].start, pair[1].end):
        raise ValueError(f"scenarios must share start and end to be compared: {', '.join(s.name for s in pair)}")
    world = world or load_world()
    compiled = compile_all(pair, world)
    months = compiled[0].sampler.frame.months
    month = max((t for t, day in enumerate(months) if day <= on), default=0)
    inputs = _chosen([*data_inputs(compiled[0], position), *law_inputs(compiled)], only)
    since = next((s.policy.diverges_on for s in pair if s.policy.diverges_on), None) or pair[0].start
    setup = _Setup(world, compiled, seed, lucks, month, position, since)
    tasks = [_Task(None, ""), *(_Task(one, end) for one in inputs for end in ENDS)]

    played: dict[tuple[str, str], Numbers] = {}
    failed: dict[str, str] = {}
    done = 0
    outcomes = _outcomes(setup, tasks, workers)
    try:
        if progress:
            progress(0, len(tasks))
        for task, numbers in outcomes:
            name = task.input.name if task.input else ""
            if isinstance(numbers, str):
                if task.input is None:
                    raise RuntimeError(f"the middle of all inputs could not be played: {numbers}")
                failed[name] = f"at its {task.end} end: {numbers}"
            else:
                played[name, task.end] = numbers
            done += 1
            if progress:
                progress(done, len(tasks))
    except KeyboardInterrupt:
        if not any(_finished(one, played) for one in inputs):
            raise
    finally:
        outcomes.close()  # type: ignore[attr-defined]
    return _analysis(pair, months[month], seed, lucks, inputs, played, failed)


def _chosen(inputs: list[Input], only: Sequence[str]) -> list[Input]:
    """Inputs by name, or by the parameter alone. Raises InputProblems for words that name none."""
    names = sorted({name for one in inputs for name in (one.name, one.parameter)})
    if unknown := [word for word in only if word not in names]:
        raise refuse(
            "command line", f"{shown(unknown[0])} is not an input with a range{nearest(unknown[0], names)}", field="--only"
        )
    return [one for one in inputs if not only or {one.name, one.parameter} & set(only)]


def _finished(one: Input, played: dict[tuple[str, str], Numbers]) -> bool:
    return ("", "") in played and all((one.name, end) in played for end in ENDS)


def _analysis(
    pair: Sequence[Scenario],
    on: date,
    seed: int,
    lucks: int,
    inputs: list[Input],
    played: dict[tuple[str, str], Numbers],
    failed: dict[str, str],
) -> Analysis:
    finished = [one for one in inputs if _finished(one, played)]
    middle = played["", ""]

    def headlines(numbers: Numbers) -> Floats:
        """(headlines, lucks)"""
        whole = np.array([base if own is None else own for own, base in zip(numbers, middle, strict=True)], dtype=np.float64)
        reference, policy = whole.reshape(2, lucks, len(READ)).transpose(0, 2, 1)
        at = [READ.index((headline.metric, headline.tier)) for headline in HEADLINES]
        return np.array([policy[i] - reference[i] if h.difference else reference[i] for i, h in zip(at, HEADLINES, strict=True)])

    places = [[headlines(played[one.name, "low"]), headlines(middle), headlines(played[one.name, "high"])] for one in finished]
    squares = np.array([[_square(at[0][h], at[2][h]) for h in range(len(HEADLINES))] for at in places]).reshape(
        -1, len(HEADLINES)
    )
    shares = squares / np.maximum(squares.sum(axis=0), np.finfo(float).tiny)
    order = sorted(range(len(finished)), key=lambda i: (-float(shares[i].mean()), finished[i].name))
    rows = [
        _movement(finished[i], headline, [at[h] for at in places[i]], float(shares[i, h]))
        for i in order
        for h, headline in enumerate(HEADLINES)
    ]
    left = tuple(one.name for one in inputs if not _finished(one, played) and one.name not in failed)
    ranked = tuple(finished[i] for i in order)
    return Analysis(pair[0].name, pair[1].name, on, seed, lucks, ranked, tuple(rows), failed, left)


def _mean(values: Floats) -> float:
    found = values[np.isfinite(values)]
    return float(found.mean()) if len(found) else math.nan


def _gap(low: Floats, high: Floats) -> Floats:
    """Movement from the low to the high end, luck by luck, where both are reached; 0 if that is nowhere."""
    gap = high - low
    return gap[np.isfinite(gap)] if np.isfinite(gap).any() else np.zeros(1)


def _square(low: Floats, high: Floats) -> float:
    """Square of a swing, less the variance of that mean over the lucks."""
    gap = _gap(low, high)
    return max(float(gap.mean() ** 2 - (gap.var(ddof=1) / len(gap) if len(gap) > 1 else 0.0)), 0.0)


def _movement(one: Input, headline: Headline, at: list[Floats], share: float) -> Movement:
    gap = _gap(at[0], at[2])
    swing, width = abs(float(gap.mean())), half_width(gap) if len(gap) > 1 else None
    low, middle, high = (mean if math.isfinite(mean) else None for mean in map(_mean, at))
    return Movement(
        one.name, one.rests_on, one.values, one.unit, one.low, one.high,
        headline.id, headline.unit, low, middle, high, swing, width, share,
    )  # fmt: skip


# ---------------------------------------------------------------------- in words


def lines(analysis: Analysis, most: int = 25) -> list[str]:
    """The ranking in sentences: the strongest inputs with the headlines they move, then the names of the others."""
    a = analysis
    said = {one.name: [span for h in HEADLINES if (span := _span(a.of(one.name)[h.id], h))] for one in a.inputs}
    moving = [one for one in a.inputs if said[one.name]]
    text = [
        f"{a.policy} against {a.reference}, {a.on:%Y-%m}: each input alone at its low and at its high end, all others at their "
        f"middle, {a.lucks} lucks. ~ may be chance."
    ]
    if a.inputs:
        of = a.of(a.inputs[0].name)
        text.append("all at their middle: " + ", ".join(_said([of[h.id].at_middle], h) for h in HEADLINES))
    text += [f"{one.name} ({_range(one)}): {', '.join(said[one.name])}" for one in moving[:most]]
    if rest := [one.name for one in moving[most:]]:
        text.append(f"{len(rest)} move them less: {', '.join(rest)}")
    if still := [one.name for one in a.inputs if one not in moving]:
        text.append(f"{len(still)} move none of them visibly: {', '.join(still)}")
    kinds = [one.rests_on for one in moving[:most]]
    if kinds:
        counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("assumed", "assumed in part", "sourced") if kind in kinds)
        text.append(f"The {len(kinds)} strongest are {counted}.")
    text += [f"{name} could not be played {why}" for name, why in sorted(a.failed.items())]
    if a.unfinished:
        text.append(f"{len(a.unfinished)} inputs were not finished: {', '.join(a.unfinished)}")
    return text


def _range(one: Input) -> str:
    ends = f"{one.values} values" if one.low is None else f"{one.low:.3g} to {one.high:.3g} {one.unit}"
    return f"{ends}; {one.rests_on}"


def _span(m: Movement, headline: Headline) -> str:
    """`29.1 to 41.0 GW online`: a headline from the low end of the input to the high one; empty if that is no visible movement.

    Where the middle does not lie between the two it is named too.
    """
    low, middle, high = (_said([at], headline) for at in (m.at_low, m.at_middle, m.at_high))
    if low == middle == high:
        return ""
    of_three = sorted((m.at_low or 0.0, m.at_middle or 0.0, m.at_high or 0.0))
    beside = (
        ""
        if of_three[1] == (m.at_middle or 0.0) or middle in (low, high)
        else f" (middle {_said([m.at_middle], headline, alone=True)})"
    )
    return ("" if m.settled else "~") + _said([m.at_low, m.at_high], headline) + beside


def _said(ends: list[float | None], headline: Headline, alone: bool = False) -> str:
    """Numbers of a headline in one scale, with its words unless they stand `alone`."""
    from simulator.findings import scale

    largest = max((abs(end) for end in ends if end is not None), default=0.0)
    divisor, decimals, label = scale(headline.unit, largest)
    if headline.unit == "MW IT" and largest >= 1000:
        divisor, decimals, label = 1000, 1, "GW"
    if headline.unit.startswith("USD") and largest < 1e9:
        divisor, decimals, label = 1e6, 0, "USD m"
    sign = "+" if headline.difference else ""
    numbers = " to ".join("not reached" if end is None else f"{end / divisor + 0.0:{sign},.{decimals}f}" for end in ends)
    if alone:
        return numbers
    return f"{numbers} {label if largest else ''}".strip().join(headline.words.split("...")).strip()


def as_json(analysis: Analysis) -> str:
    """One JSON object: what was asked, and a list of movements with the columns of `Analysis.table`."""
    a = analysis
    rank = {one.name: i for i, one in enumerate(a.inputs, 1)}
    rows = [{"rank": rank[m.input], **asdict(m), "settled": m.settled} for m in a.movements]
    whole = {
        "schema_version": SCHEMA_VERSION, "reference": a.reference, "policy": a.policy, "date": a.on.isoformat(), "seed": a.seed,
        "lucks": a.lucks, "interrupted": a.interrupted, "unfinished": list(a.unfinished), "failed": a.failed, "movements": rows,
    }  # fmt: skip
    return json.dumps(whole, indent=2, allow_nan=False)

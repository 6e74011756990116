"""The command line. Every command imports what it needs itself, so that `--help` stays instant.

Exit codes: 0 done, 2 bad input, 3 failed, 130 interrupted (what was finished is kept and said).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from simulator.experiments import Comparison
    from simulator.scenario import Scenario
    from simulator.store import Store
    from simulator.sweepfile import Sweep
    from simulator.sweepresult import SweepResult
    from simulator.sweeps import Progress
    from simulator.world import World

app = typer.Typer(
    name="groundbreak",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Simulate how hyperscalers build AI clusters abroad and at home under export controls, and compare policies.",
)

Names = Annotated[list[str], typer.Argument(help="Shipped scenario names or paths of .yaml files.", show_default=False)]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed: the same seed gives the same bits.")]
Start = Annotated[
    str | None, typer.Option(help="First day of the run, YYYY-MM-DD; 1 January of 2023 to 2026.", show_default=False)
]
Known = Annotated[
    str | None,
    typer.Option("--as-known-on", help="Use only inputs public by this day; the rest is extrapolated.", show_default=False),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one field, for example policy.foresight=false. May be repeated.", show_default=False),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, max=1024, help="Processes; every core unless given. Results do not depend on it.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output; progress goes to standard error.")]
WhichEngine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        help="simpy or compiled; without it the compiled one where it is ready or worth compiling. Same results.",
        show_default=False,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--override", help="Apply a named override block or an override file. May be repeated.", show_default=False),
]
StorePath = Annotated[
    Path | None,
    typer.Option("--store", help="Folder of the store; else GROUNDBREAK_STORE, else your data folder.", show_default=False),
]


def _version(asked: bool) -> None:
    if asked:
        from simulator.results import version

        typer.echo(f"groundbreak {version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


@contextmanager
def _input(option: str) -> Iterator[None]:
    """Turn a ValueError about an option's value into bad input."""
    from simulator.problems import refuse

    try:
        yield
    except ValueError as error:
        raise refuse("command line", str(error), field=option) from None


def _day(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    from simulator.problems import refuse, shown

    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise refuse(
            "command line", f"{shown(text)} is not a date; write it as YYYY-MM-DD, for example 2023-12-31", field=option
        ) from None


def _load(names: list[str], overrides: list[str] | None, sets: list[str] | None, start: str | None) -> list[Scenario]:
    """Scenarios with the layers of the command line; all problems of all of them at once."""
    from simulator.problems import InputProblems, Problem
    from simulator.scenario import load_scenario

    layers = list(sets or ())
    if (first := _day(start, "--start")) is not None:
        layers.append(f"start={first.isoformat()}")
    found: list[Scenario] = []
    problems: list[Problem] = []
    for name in names:
        try:
            found.append(load_scenario(name, tuple(overrides or ()), tuple(layers)))
        except InputProblems as error:
            problems += error.problems
    if problems:
        raise InputProblems(problems)
    return found


def _world(as_known_on: str | None) -> World:
    from simulator.problems import refuse
    from simulator.scenario import FIRST_CONTROLS
    from simulator.world import load_world

    day = _day(as_known_on, "--as-known-on")
    if day is None:
        return load_world()
    newest = max(value.known_from for value in load_world().values)
    if not FIRST_CONTROLS <= day <= newest:
        message = f"{day} is outside what the inputs cover; give a day from {FIRST_CONTROLS} to {newest}"
        raise refuse("command line", message, field="--as-known-on")
    return load_world(as_known_on=day)


def _check(scenarios: list[Scenario], world: World) -> None:
    from simulator.compile import check_horizon
    from simulator.controls import load_all
    from simulator.problems import InputProblems, Problem
    from simulator.scenario import validate_scenario

    regimes = load_all()
    problems: list[Problem] = []
    for scenario in scenarios:
        try:
            validate_scenario(scenario, world, regimes)
            check_horizon(scenario, world)
        except InputProblems as error:
            problems += error.problems
    if problems:
        raise InputProblems(problems)


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(help="Shipped scenario name or path of a .yaml file.", show_default=False)],
    seed: Seed = 1,
    replication: Annotated[int, typer.Option(min=0, help="Which replication of the seed.")] = 0,
    story: Annotated[str | None, typer.Option(help="Tell the life of one project, by name.", show_default=False)] = None,
    engine: WhichEngine = None,
    start: Start = None,
    as_known_on: Known = None,
    set_: Sets = None,
    override: Overrides = None,
) -> None:
    """Play one replication of a scenario and print what came of it, or the story of one project."""
    from simulator.compile import compile_scenario
    from simulator.experiments import run as run_one
    from simulator.trace import story as tell

    world = _world(as_known_on)
    scenarios = _load([scenario], override, set_, start)
    _check(scenarios, world)
    with _input("--engine"):
        which = _engine(engine or "simpy")
    played = run_one(compile_scenario(scenarios[0], world), seed, replication, which)
    if story is not None:
        for line in tell(played.compiled, played.draws, played.log, _root(played.draws, story)):
            typer.echo(line)
        return
    from simulator.findings import HEADLINES, amount
    from simulator.metrics import BY_MONTH, BY_YEAR, METRICS, SCALARS, year_ends

    static, measures = played.compiled.static, played.measures
    title = scenarios[0].title
    typer.echo(
        f"{title}: replication {replication} of seed {seed}, {len(played.draws.names):,} projects, {len(played.log):,} events\n"
    )
    ends = year_ends(static)
    days = [played.compiled.sampler.frame.months[t].isoformat() for t in ends]
    shown = [i for i in range(len(days)) if i in (0, len(days) // 2, len(days) - 1)]
    series = {m.id: measures.monthly[i, ends, 0] for i, m in enumerate(BY_MONTH)}
    series |= {m.id: measures.yearly[i, :, 0] for i, m in enumerate(BY_YEAR)}
    single = dict(zip((m.id for m in SCALARS), measures.scalars.tolist(), strict=True))

    def cell(value: float, unit: str, missing: str) -> str:
        return missing if value != value else amount(float(value), unit)

    width = max(len(METRICS[id].name) for id in (*series, *single)) + 2
    typer.echo("".ljust(width) + "".join(days[i].rjust(24) for i in shown))
    for section, ids in HEADLINES:
        typer.echo(section.upper())
        for id in ids:
            metric = METRICS[id]
            if id in series:
                typer.echo(metric.name.ljust(width) + "".join(cell(series[id][i], metric.unit, "n/a").rjust(24) for i in shown))
            elif id in single:
                typer.echo(metric.name.ljust(width) + cell(single[id], metric.unit, "not reached").rjust(24 * len(shown)))
    typer.echo("\nProjects to look at with --story: " + ", ".join(_telling(played)))


def _root(draws: Any, name: str) -> int:
    """Index of a project by its name on the command line."""
    from simulator.problems import refuse
    from simulator.trace import find

    try:
        return find(draws, name)
    except LookupError as error:
        raise refuse("command line", str(error.args[0]), field="--story") from None


def _telling(played: Any) -> list[str]:
    """A few projects whose story shows the law at work, else the first ones of the run."""
    from simulator.events import Mark

    log = played.log
    marked = [Mark.RELOCATED, Mark.CANCELLED, Mark.LET, Mark.DOWNSIZED, Mark.FRONT_LOADED, Mark.WAITS, Mark.BRIDGED, Mark.FULL]
    of_projects = (log["tick"] >= 0) & (log["root"] >= 0)
    roots = list(dict.fromkeys(int(r) for mark in marked for r in log["root"][of_projects & (log["mark"] == mark)][:1]))
    return [played.draws.names[r] for r in (roots or range(3))][:5]


@app.command()
def compare(
    scenarios: Names,
    reference: Annotated[
        str | None, typer.Option(help="Scenario the others are compared with; the first unless named.", show_default=False)
    ] = None,
    replications: Annotated[int, typer.Option(min=1, max=1_000_000, help="Paired replications of every scenario.")] = 100,
    seed: Seed = 1,
    out: Annotated[
        Path | None, typer.Option(help="Write tables, events and a manifest into this folder.", show_default=False)
    ] = None,
    json: Json = False,
    workers: Workers = None,
    full: Annotated[bool, typer.Option("--full", help="Show every metric in the table, not only the main ones.")] = False,
    story: Annotated[
        str | None,
        typer.Option(
            help="Tell the life of one project under two scenarios, side by side, and nothing else.", show_default=False
        ),
    ] = None,
    replication: Annotated[int, typer.Option(min=0, help="With --story: which replication of the seed.")] = 0,
    engine: WhichEngine = None,
    start: Start = None,
    as_known_on: Known = None,
    set_: Sets = None,
    override: Overrides = None,
) -> None:
    """Compare policies on the whole world: capacity, cost, timeline and policy, paired replication by replication."""
    from simulator import engines, experiments, results, statistics

    world = _world(as_known_on)
    loaded = _load(scenarios, override, set_, start)
    _check(loaded, world)
    if story is not None:
        return _print_pair(loaded, world, story, seed, replication)
    if out is not None:
        results.check_target(out)  # before the work, not after it
    with _input("--engine"):
        which = _engine(engine)
    if experiments.chosen(which, replications * len(loaded)) == "compiled" and not engines.warm():
        _remark("compiling the engine, which happens once")
    with _progress(replications) as step, _input("scenarios"):
        try:
            compared = experiments.compare(
                loaded,
                world,
                reference=_reference(reference, loaded),
                replications=replications,
                seed=seed,
                workers=workers,
                engine=which,
                progress=step,
            )
        except KeyboardInterrupt:
            typer.echo("interrupted before the first replication was finished; nothing was written", err=True)
            raise typer.Exit(130) from None
    rows, differences = list(statistics.rows(compared)), list(statistics.differences(compared))
    text = _text(compared, rows, differences)
    if json:
        typer.echo(results.as_json(compared, rows, differences))
    else:
        _print_table(compared, rows, differences, full)
    if out is not None:
        replaced = out.is_dir() and any(out.iterdir())
        try:
            with results.writing(out) as folder:
                results.write(compared, rows, differences, text, folder)
        except OSError as error:
            typer.echo(f"failed: {out}: {error.strerror or error}; nothing was changed there", err=True)
            raise typer.Exit(3) from None
        if not json:
            typer.echo(f"\nResults are in {out}" + (", in place of earlier ones" if replaced else ""))
    if compared.failed:
        typer.echo(f"failed: {compared.failed}", err=True)
        typer.echo(f"{compared.replications} of {compared.asked} replications finished; the results rest on those", err=True)
        raise typer.Exit(3)
    if compared.interrupted:
        typer.echo(
            f"interrupted: {compared.replications} of {compared.asked} replications finished; the results rest on those", err=True
        )
        raise typer.Exit(130)


SIDE_BY_SIDE = 120
"""Columns of a terminal from which two stories stand beside each other."""


def _print_pair(loaded: list[Scenario], world: World, name: str, seed: int, replication: int) -> None:
    """One lineage under two scenarios: what both share, the date at which they part, and then each its own way."""
    from shutil import get_terminal_size

    from simulator.experiments import compile_all, run
    from simulator.problems import refuse
    from simulator.trace import story_pair

    if len(loaded) != 2:
        raise refuse("command line", f"a story is told under two scenarios, not {len(loaded)}", field="--story")
    if (loaded[0].start, loaded[0].end) != (loaded[1].start, loaded[1].end):
        raise refuse("command line", "scenarios must share start and end to be compared", field="--story")
    one, two = (run(compiled, seed, replication) for compiled in compile_all(loaded, world))
    root = _root(one.draws, name)
    with _input("--story"):
        pair = story_pair((one.compiled, two.compiled), (one.draws, two.draws), (one.log, two.log), root)
    typer.echo(pair.stories[0].title)
    typer.echo(f"Replication {replication} of seed {seed}. {pair.says}\n")
    for day, words in pair.shared:
        typer.echo(f"{day}  {words}")
    width = get_terminal_size().columns
    if pair.parted is not None and width >= SIDE_BY_SIDE:
        from rich import box
        from rich.console import Console
        from rich.table import Table

        grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
        grid.add_column("from here on", no_wrap=True)
        for scenario in pair.names:
            grid.add_column(scenario, ratio=1)
        for row in pair.rows:
            grid.add_row(*(cell.replace("[", r"\[") for cell in row))
        grid.add_section()
        grid.add_row("", *("\n".join(told.summary).replace("[", r"\[") for told in pair.stories))
        Console(width=width, no_color=not sys.stdout.isatty(), highlight=False).print(grid)
        return
    for side, (scenario, told) in enumerate(zip(pair.names, pair.stories, strict=True), start=1):
        if pair.parted is not None:
            typer.echo(f"\nFrom {pair.parted} on under {scenario}:")
            for row in pair.rows:
                if row[side]:
                    typer.echo(f"{row[0]}  {row[side]}")
        for line in told.summary:
            typer.echo(line)
        if pair.parted is None:
            return


def _reference(name: str | None, loaded: list[Scenario]) -> str | None:
    """A reference may be given by name or by the path the scenario was loaded from."""
    if name is None or any(name == scenario.name for scenario in loaded):
        return name
    return Path(name).stem if name.endswith(".yaml") else name


@contextmanager
def _progress(total: int, what: str = "replications") -> Iterator[Callable[[int, int], None]]:
    """What is done, counted: a bar on a terminal, a line every tenth of the work elsewhere; always on standard error."""
    if not sys.stderr.isatty():
        said = 0

        def step(done: int, of: int) -> None:
            nonlocal said
            if done and (done == of or done * 10 // of > said):
                said = done * 10 // of
                typer.echo(f"{done} of {of} {what}", err=True)

        yield step
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _dates(compared: Comparison) -> list[str]:
    """The dates the table shows: a middle year end, of which the headlines speak too, and the last."""
    from simulator.metrics import year_ends

    days = [compared.compiled[0].sampler.frame.months[t].isoformat() for t in year_ends(compared.compiled[0].static)]
    return sorted({days[(len(days) - 1) * 4 // 7], days[-1]})


LEGEND = (
    "Reference: mean [10 %, 90 % of futures]. Others: mean difference from the reference (95 % interval of that mean: precision of the\n"
    "simulation, not spread of futures; ~ its sign is not settled); = no difference in any replication; shares: points."
)


def _print_table(compared: Comparison, rows: list[Any], differences: list[Any], full: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from simulator.findings import explained, findings, headlines, table

    wide = 66 + 30 * len(compared.scenarios)
    console = Console(width=None if sys.stdout.isatty() else wide, no_color=not sys.stdout.isatty(), highlight=False)
    opening, lines = headlines(compared, rows, differences, _dates(compared)[0])
    typer.echo(opening)
    for head in lines:
        typer.echo(f"  {head.scenario.ljust(max(len(n) for n in compared.names()))}  {head.says}")
    typer.echo("")
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("", no_wrap=True)
    grid.add_column("at", no_wrap=True)
    for scenario in compared.scenarios:
        grid.add_column(
            f"{scenario.name}\n{'reference' if scenario.name == compared.reference else 'difference'}",
            justify="right",
            no_wrap=True,
        )
    section = last = ""
    for line in table(compared, rows, differences, _dates(compared), full=full):
        if line.section != section:
            grid.add_row(line.section.upper())
            section = line.section
        name = f"{line.metric}, {line.unit}" if line.metric != last else ""
        grid.add_row(name, line.date[:7], *(cell.replace("[", r"\[") for cell in line.cells))
        last = line.metric
    console.print(grid)
    typer.echo(LEGEND)
    typer.echo(_title(compared))
    section = ""
    for finding in findings(compared, rows, differences, _dates(compared)[0], full=full):
        if finding.section != section:
            section = finding.section
            typer.echo(f"\n{section}")
        typer.echo(f"  {finding.says}")
    if why := explained(compared):
        typer.echo("\nWhat lies behind it (projects of replication 0, told by `groundbreak compare A B --story PROJECT`):")
        for sentence in why:
            typer.echo(sentence)


def _title(compared: Comparison) -> str:
    static = compared.compiled[0].static
    return (
        f"{compared.replications} paired replications, seed {compared.seed}, {len(static.countries)} countries, {len(static.markets)} markets; "
        f"money in real 2025 USD"
    )


def _text(compared: Comparison, rows: list[Any], differences: list[Any]) -> str:
    """The summary as plain text, for the results folder."""
    from simulator.findings import explained, findings, headlines, table

    opening, heads = headlines(compared, rows, differences, _dates(compared)[0])
    lines = [_title(compared), "", opening, *(f"  {head.scenario}: {head.says}" for head in heads), "", LEGEND, ""]
    for line in table(compared, rows, differences, _dates(compared)):
        cells = "; ".join(f"{s.name}: {cell}" for s, cell in zip(compared.scenarios, line.cells, strict=True))
        lines.append(f"{line.section} | {line.metric}, {line.unit} | {line.date} | {cells}")
    lines += [
        "",
        *(f"{one.section}: {one.says}" for one in findings(compared, rows, differences, _dates(compared)[0], full=True)),
    ]
    return "\n".join([*lines, "", *explained(compared)]) + "\n"


@app.command()
def validate(
    files: Names,
    as_known_on: Known = None,
    set_: Sets = None,
    override: Overrides = None,
) -> None:
    """Check scenario files and the inputs and law they rest on; every problem at once, with file and line."""
    world = _world(as_known_on)
    loaded = _load(files, override, set_, None)
    _check(loaded, world)
    for scenario in loaded:
        from simulator.scenario import content_hash

        typer.echo(f"{scenario.name}: valid ({content_hash(scenario)[:16]})")


@app.command()
def explain(
    scenario: Annotated[str, typer.Argument(help="Shipped scenario name or path of a .yaml file.", show_default=False)],
    other: Annotated[str | None, typer.Argument(help="A second scenario: say what differs.", show_default=False)] = None,
) -> None:
    """Say in words what a scenario supposes, or how two scenarios differ, with dates, units and citations."""
    from simulator.explain import explain as in_words

    loaded = _load([scenario] + ([other] if other else []), None, None, None)
    for sentence in in_words(*loaded, world=_world(None)):
        typer.echo(sentence)


@app.command()
def schema(
    sweep: Annotated[bool, typer.Option("--sweep", help="The schema of sweep files instead of that of scenario files.")] = False,
) -> None:
    """Print the JSON Schema of scenario files, for editors that complete and explain fields."""
    import json

    if sweep:
        from simulator.sweepfile import sweep_schema as of
    else:
        from simulator.scenario import json_schema as of
    typer.echo(json.dumps(of(), indent=2))


@app.command()
def data(
    country: Annotated[
        str | None, typer.Option(help="Country by ISO code: its inputs and those of its markets.", show_default=False)
    ] = None,
    parameter: Annotated[str | None, typer.Option(help="Parameter, or a part of its name.", show_default=False)] = None,
    kind: Annotated[str | None, typer.Option(help="reported, derived, recalled or assumed.", show_default=False)] = None,
    table: Annotated[str | None, typer.Option(help="One table of data/, for example supply.", show_default=False)] = None,
    as_known_on: Known = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON lines instead of a table.")] = False,
) -> None:
    """Show inputs with value, unit, kind, date and source: who says it, of when, and since when it is known."""
    from simulator.problems import nearest, refuse, shown
    from simulator.world import KINDS, TABLES

    world = _world(as_known_on)
    if kind is not None and kind not in KINDS:
        raise refuse(
            "command line", f"{shown(kind)} is not a kind; allowed: {', '.join(KINDS)}{nearest(kind, KINDS)}", field="--kind"
        )
    if table is not None and table not in TABLES:
        raise refuse(
            "command line",
            f"{shown(table)} is not a table; allowed: {', '.join(TABLES)}{nearest(table, TABLES)}",
            field="--table",
        )
    places: set[str] | None = None
    if country is not None:
        known = world.entities("countries")
        if country.upper() not in known:
            raise refuse(
                "command line",
                f"{shown(country)} is not a country of data/countries.csv{nearest(country.upper(), known)}",
                field="--country",
            )
        places = {country.upper(), *(m.id for m in world.markets if m.country == country.upper())}
    chosen = [
        v
        for v in world.select(table=table, kind=kind)
        if (parameter is None or parameter in v.parameter) and (places is None or v.entity in places or v.scope in places)
    ]
    if not chosen:
        names = sorted({v.parameter for v in world.values})
        raise refuse("command line", "no input matches" + (nearest(parameter, names) if parameter else ""), field="data")
    if json:
        import json as encode

        for v in chosen:
            record = {name: getattr(v, name) for name in v.__dataclass_fields__ if name not in ("file", "line")}
            typer.echo(encode.dumps({**record, "known_from": v.known_from.isoformat()}))
        return
    for v in chosen:
        number = v.text if v.mode is None else f"{v.mode:g}"
        span = "" if v.low is None or v.high is None else f" ({v.low:g} to {v.high:g}, {v.quantiles})"
        typer.echo(f"{v.label} = {number}{span}{'' if v.mode is None else ' ' + v.unit}")
        typer.echo(f"    {v.kind}, of {v.as_of}, known from {v.known_from}" + (f", {v.source_url}" if v.source_url else ""))
        if v.note:
            typer.echo(f"    {v.note}")


@app.command()
def backtest(
    replications: Annotated[int, typer.Option(min=1, max=100_000, help="Replications of each of the two runs.")] = 40,
    seed: Seed = 1,
    json: Json = False,
) -> None:
    """Play history from 2023, with what was known then and with all values, against public figures and a dumb baseline."""
    from simulator import backtest as door
    from simulator.world import load_world

    with _progress(2 * replications, "runs") as step:
        found = door.backtest(load_world(), load_world(as_known_on=door.KNOWN_ON), replications, seed, step)
    if json:
        import json as encode

        typer.echo(encode.dumps(door.as_record(found)))
    else:
        typer.echo("\n".join(door.lines(found)))


@app.command()
def analyse(
    reference: Annotated[str, typer.Argument(help="Scenario the other is compared with: a shipped name or a .yaml file.")],
    policy: Annotated[str, typer.Argument(help="The other scenario.")],
    lucks: Annotated[int, typer.Option(min=1, max=1000, help="Runs of each position, the same luck everywhere.")] = 4,
    seed: Seed = 1,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Move only this input or leaf of law. May be repeated.", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the whole table to this CSV file.", show_default=False)] = None,
    json: Json = False,
    workers: Workers = None,
    set_: Sets = None,
    override: Overrides = None,
) -> None:
    """Rank the assumptions: each uncertain input to both ends of its range, one at a time, and how far the headlines move."""
    from simulator import sensitivity
    from simulator.problems import refuse

    if out is not None and not out.absolute().parent.is_dir():  # before the work, not after it
        raise refuse("command line", f"there is no folder {out.parent} to write into", field="--out")
    world = _world(None)
    loaded = _load([reference, policy], override, set_, None)
    _check(loaded, world)
    with _progress(1, "positions of inputs") as step, _input("scenarios"):
        found = sensitivity.analyse(
            loaded[0], loaded[1], world, lucks=lucks, seed=seed, only=only or (), workers=workers or os.cpu_count(), progress=step
        )
    if out is not None:
        found.table().to_csv(out, index=False)
    if json:
        typer.echo(sensitivity.as_json(found))
    else:
        typer.echo("\n".join(sensitivity.lines(found)))
        if out is not None:
            typer.echo(f"\nThe whole table is in {out}")
    if found.interrupted:
        typer.echo(f"interrupted: {len(found.unfinished)} inputs were not moved; the ranking rests on the others", err=True)
        raise typer.Exit(130)


# ---- sweeps, and what is stored of them


@app.command()
def sweep(
    what: Annotated[
        list[str],
        typer.Argument(
            help="A sweep: a .yaml file or a shipped name. Or scenarios, by names or .yaml files.", show_default=False
        ),
    ],
    replications: Annotated[
        int | None, typer.Option(min=1, max=10_000_000, help="Paired replications of every scenario.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, help="Seed: the same seed gives the same bits.", show_default=False)
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Scenario the others are compared with; the first unless named.", show_default=False)
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Stop when the headline difference is known to this share of the reference, as 2%.", show_default=False
        ),
    ] = None,
    precision_abs: Annotated[
        str | None,
        typer.Option(help="Stop when the headline difference is known to so many MW, or as 0.5 GW.", show_default=False),
    ] = None,
    budget: Annotated[str | None, typer.Option(help="Stop after this time, as 20s, 5min or 1h.", show_default=False)] = None,
    max_replications: Annotated[
        int | None,
        typer.Option(min=1, max=10_000_000, help="The most that precision or budget may take.", show_default=False),
    ] = None,
    store: StorePath = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the tables and a manifest into this folder.", show_default=False)
    ] = None,
    json: Json = False,
    workers: Workers = None,
    cluster: Annotated[
        str | None,
        typer.Option(help="Address of a Dask scheduler, tcp://host:port, or local for one here.", show_default=False),
    ] = None,
    chunk: Annotated[
        int | None,
        typer.Option(min=1, help="Replications a worker gets at a time, in whole hundreds.", show_default=False),
    ] = None,
    engine: WhichEngine = None,
    set_: Sets = None,
    override: Overrides = None,
) -> None:
    """Play many scenarios many times, store what comes of it, and go on where an earlier sweep was stopped."""
    from simulator import results
    from simulator import sweep as run_sweep
    from simulator.store import open_store
    from simulator.sweeps import Interrupted, asked_for

    if out is not None:
        results.check_target(out)  # before the work, not after it
    asked = asked_for(
        _asked(what, override, set_),
        **_limits(precision, precision_abs, budget),
        replications=replications,
        seed=seed,
        reference=reference,
        max_replications=max_replications,
    )
    remark = _remark_as_json if json else _remark
    place = open_store(store, remark)
    with _input("--engine"):
        which: Any = _engine(engine) or "compiled"
    with _sweep_progress(json) as step:
        try:
            found = run_sweep(
                asked,
                workers=workers,
                cluster=cluster,
                chunk=chunk,
                store=place,
                engine=which,
                progress=step,
                say=remark,
            )
        except Interrupted as stopped:
            typer.echo(f"interrupted: {stopped}", err=True)
            raise typer.Exit(130) from None
    typer.echo(_as_json(found.record())) if json else _print_sweep(found)
    if out is not None:
        _export(found, asked, out)
        if not json:
            typer.echo(f"Tables are in {out}")
    if found.failed:
        typer.echo(f"failed: {found.failed}", err=True)
    if found.interrupted or found.failed:
        what_is = "failed" if found.failed else "interrupted"
        typer.echo(
            f"{what_is}: the results rest on the {found.replications:,} replications that every scenario has; all that was finished is "
            "kept, and the same command goes on from there",
            err=True,
        )
        raise typer.Exit(3 if found.failed else 130)


def _asked(what: list[str], overrides: list[str] | None, sets: list[str] | None) -> Sweep | list[Scenario]:
    """A sweep if a single one is named, else scenarios, with the layers of the command line over each."""
    from simulator.problems import refuse
    from simulator.sweepfile import is_sweep, load_sweep

    sweeps = [name for name in what if is_sweep(name)]
    if sweeps and len(what) > 1:
        raise refuse("command line", f"{sweeps[0]} is a sweep: name it alone, or scenarios only", field="what")
    if sweeps:
        return load_sweep(what[0], tuple(overrides or ()), tuple(sets or ()))
    return _load(what, overrides, sets, None)


def _limits(precision: str | None, precision_abs: str | None, budget: str | None) -> dict[str, Any]:
    """The rule to stop by that the options say; all that is wrong with them at once."""
    from simulator.metrics import METRICS
    from simulator.precision import Rule
    from simulator.sweepresult import HEADLINE

    rule = Rule.parse(precision, precision_abs, budget, unit=METRICS[HEADLINE].unit)
    return {"precision": rule.relative, "precision_abs": rule.absolute, "budget": rule.budget}


def _engine(name: str | None) -> Any:
    from simulator.engines import ENGINES
    from simulator.problems import nearest, shown

    if name is not None and name not in ENGINES:
        raise ValueError(f"{shown(name)} is not an engine; allowed are {', '.join(ENGINES)}{nearest(name, ENGINES)}")
    return name


def _remark(words: str) -> None:
    """Something to know besides the results: damaged files found, another process waited for."""
    typer.echo(words, err=True)


def _remark_as_json(words: str) -> None:
    """The same for scripts, which read standard error line by line."""
    typer.echo(_as_json({"event": "remark", "text": words}), err=True)


def _as_json(value: Any) -> str:
    import json as encode

    return encode.dumps(value, allow_nan=False, default=str)


@contextmanager
def _sweep_progress(json: bool) -> Iterator[Callable[[Progress], None]]:
    """How far the sweep is: JSON lines, a bar on a terminal, or a line every tenth of the work; always on standard error."""
    if json:
        yield lambda seen: typer.echo(_as_json(seen.record()), err=True)
        return
    if not sys.stderr.isatty():
        said = -1

        def step(seen: Progress) -> None:
            nonlocal said
            tenth = seen.done * 10 // seen.total
            if tenth > said and seen.done > seen.loaded:
                said = tenth
                typer.echo(seen.says(), err=True)

        yield step
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    with Bar(BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1)
        yield lambda seen: bar.update(task, completed=seen.done, total=seen.total, description=seen.says().replace("[", r"\["))


def _print_sweep(found: SweepResult) -> None:
    typer.echo(found.summary())
    loaded = f", {found.loaded:,} of them stored before" if found.loaded else ""
    typer.echo(f"\nRun {found.id}: {found.loaded + found.played:,} runs{loaded}, in {found.store.root}")


def _export(found: SweepResult, asked: Sweep, out: Path) -> None:
    """The stored tables for others, with the scenarios, the summary and the tables of means beside them."""
    from simulator.scenario import to_yaml

    extra = {f"scenarios/{scenario.name}.yaml": to_yaml(scenario) for scenario in asked.scenarios}
    for name, frame in (("means", found.table()), ("differences", found.differences())):
        extra[f"{name}.csv"] = frame.to_csv(index=False, lineterminator="\n")
    found.store.export(found.id, out, extra | {"summary.txt": found.summary() + "\n"})


@app.command()
def verify(
    what: Annotated[
        list[str],
        typer.Argument(help="Ids of stored runs, or scenarios by shipped name or path of a .yaml file.", show_default=False),
    ],
    engines: Annotated[
        bool, typer.Option("--engines", help="Play scenarios on both engines and compare their event logs, row by row.")
    ] = False,
    digests: Annotated[
        bool, typer.Option("--digests", help="Of stored runs check the files only, without computing them again.")
    ] = False,
    replications: Annotated[int, typer.Option(min=1, max=100_000, help="With scenarios: replications to compare.")] = 20,
    seed: Seed = 1,
    store: StorePath = None,
    json: Json = False,
    start: Start = None,
    set_: Sets = None,
    override: Overrides = None,
) -> None:
    """Compute again and compare: stored runs byte for byte, scenarios event by event on both engines. Exit 0 equal, 3 different."""
    runs = [each for each in what if not engines and _is_run(each)]
    named = [each for each in what if each not in runs]
    codes = [_verify_run(run, _store(store), digests, json) for run in runs]
    if named:
        codes += _verify_engines(named, replications, seed, json, start, set_, override)
    raise typer.Exit(max(codes))


def _is_run(text: str) -> bool:
    """Ids of runs are written in hexadecimal digits, which no shipped scenario is."""
    from simulator.scenario import shipped_scenarios

    return text not in shipped_scenarios() and len(text) <= 16 and all(digit in "0123456789abcdef" for digit in text)


def _verify_run(prefix: str, place: Store, digests: bool, json: bool) -> int:
    from simulator.recompute import recomputing

    id = place.run(prefix).id
    with _counting("parts") as step:
        problems = place.verify(id, None if digests else recomputing(), step)
    if json:
        typer.echo(_as_json({"run_id": id, "equal": not problems, "problems": [str(problem) for problem in problems]}))
    else:
        how = "every file is as it was written" if digests else "computed again, every byte is the same"
        typer.echo(f"run {id}: " + (f"{len(problems)} parts differ" if problems else how))
        for problem in problems:
            typer.echo(f"  {problem}")
    return 3 if problems else 0


def _verify_engines(
    names: list[str], replications: int, seed: int, json: bool, start: str | None, sets: list[str] | None,
    overrides: list[str] | None,
) -> list[int]:  # fmt: skip
    from simulator.experiments import compile_all
    from simulator.verify import verify_engines

    world = _world(None)
    loaded = _load(names, overrides, sets, start)
    _check(loaded, world)
    codes = []
    for compiled in compile_all(loaded, world):
        with _counting("replications") as step:
            report = verify_engines(compiled, seed, replications, step)
        if json:
            typer.echo(_as_json(report.as_dict()))
        else:
            for line in report.says:
                typer.echo(line)
        codes.append(report.exit_code)
    return codes


@contextmanager
def _counting(of: str) -> Iterator[Callable[[int, int], None]]:
    """How far a check is: a bar on a terminal, a line every tenth elsewhere; on standard error."""
    said = 0

    def step(done: int, total: int) -> None:
        nonlocal said
        if done * 10 // total > said:
            said = done * 10 // total
            typer.echo(f"{done} of {total} {of}", err=True)

    yield step


runs = typer.Typer(no_args_is_help=True, help="List, show and remove what sweeps have stored.", rich_markup_mode=None)
app.add_typer(runs, name="runs")
RunId = Annotated[
    str, typer.Argument(help="Id of a run, or as much of its beginning as tells it from others.", show_default=False)
]


def _store(path: Path | None) -> Store:
    from simulator.store import open_store

    return open_store(path, _remark)


@runs.command("list")
def list_runs(
    store: StorePath = None, json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False
) -> None:
    """List the finished runs: id, replications, size, scenarios."""
    place = _store(store)
    every = place.runs()
    if json:
        for run in every:
            typer.echo(_as_json({"run_id": run.id, "bytes": place.size(run), **run.asked()}))
        return
    if not every:
        typer.echo(f"no runs in {place.root}")
    for run in every:
        names = [member.name for member in run.members]
        told = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        size = f"{place.size(run) / 1e6:,.1f} MB"
        typer.echo(f"{run.id}  {run.replications:>9,} x {len(names):<3}  seed {run.members[0].seed:<4} {size:>12}  {told}")


@runs.command("show")
def show_run(run: RunId, store: StorePath = None, json: Json = False) -> None:
    """Show what a run found: the scenarios in order, and whether more replications could change it."""
    from simulator.sweepresult import stored

    found = stored(run, _store(store))
    if json:
        typer.echo(_as_json(found.record()))
        return
    typer.echo(found.summary())
    asked = found.run
    typer.echo(
        f"\nSeed {asked.members[0].seed}, version {asked.version}, reference {asked.reference}, {found.store.size(asked) / 1e6:,.1f} MB"
    )
    for line in found.store.timing(found.id):
        if "runs" in line:
            typer.echo(
                f"{line['at'][:19]}: {line['runs']:,} runs in {line['seconds']:g} s, {line['loaded']:,} of them stored before"
            )


@runs.command("remove")
def remove_run(
    run: Annotated[
        str | None, typer.Argument(help="Id of a run, or as much of its beginning as tells it from others.", show_default=False)
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Remove what belongs to no finished run, such as parts of interrupted ones.")
    ] = False,
    store: StorePath = None,
) -> None:
    """Remove a run, with all that no other run needs; or what was never finished."""
    from simulator.problems import refuse

    if (run is None) == (not unfinished):
        raise refuse("command line", "name a run, or give --unfinished", field="remove")
    place = _store(store)
    freed = place.prune() if run is None else place.remove(run)
    typer.echo(f"{freed / 1e6:,.1f} MB are free again")


def main() -> None:
    """Entry point: bad input and failures end in words and an exit code, never in a traceback."""
    from simulator.problems import InputProblems

    try:
        app()
    except InputProblems as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader has seen enough
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (OSError, MemoryError, RuntimeError, ArithmeticError) as error:
        if os.environ.get("GROUNDBREAK_DEBUG"):
            raise
        print(f"failed: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(3)

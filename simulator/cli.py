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
Overrides = Annotated[
    list[str] | None,
    typer.Option("--override", help="Apply a named override block or an override file. May be repeated.", show_default=False),
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
    start: Start = None,
    as_known_on: Known = None,
    set_: Sets = None,
    override: Overrides = None,
) -> None:
    """Play one replication of a scenario and print what came of it, or the story of one project."""
    from simulator.compile import compile_scenario
    from simulator.experiments import run as run_one
    from simulator.trace import find
    from simulator.trace import story as tell

    world = _world(as_known_on)
    scenarios = _load([scenario], override, set_, start)
    _check(scenarios, world)
    played = run_one(compile_scenario(scenarios[0], world), seed, replication)
    if story is not None:
        from simulator.problems import refuse

        try:
            root = find(played.draws, story)
        except LookupError as error:
            raise refuse("command line", str(error.args[0]), field="--story") from None
        for line in tell(played.compiled, played.draws, played.log, root):
            typer.echo(line)
        return
    from simulator.findings import amount
    from simulator.metrics import BY_MONTH, SCALARS, year_ends

    static, measures = played.compiled.static, played.measures
    title = scenarios[0].title
    typer.echo(
        f"{title}: replication {replication} of seed {seed}, {len(played.draws.names):,} projects, {len(played.log):,} events\n"
    )
    ends = year_ends(static)
    days = [played.compiled.sampler.frame.months[t].isoformat() for t in ends]
    shown = [i for i in range(len(days)) if i in (0, len(days) // 2, len(days) - 1)]
    width = max(len(m.name) for m in (*BY_MONTH, *SCALARS)) + 2
    typer.echo("".ljust(width) + "".join(days[i].rjust(16) for i in shown))
    for m, metric in enumerate(BY_MONTH):
        cells = (amount(float(measures.monthly[m, ends[i], 0]), metric.unit) for i in shown)
        typer.echo(metric.name.ljust(width) + "".join(cell.rjust(16) for cell in cells))
    for value, metric in zip(measures.scalars.tolist(), SCALARS, strict=True):
        typer.echo(metric.name.ljust(width) + amount(None if value != value else value, metric.unit))
    typer.echo("\nProjects to look at with --story: " + ", ".join(_telling(played)))


def _telling(played: Any) -> list[str]:
    """A few projects whose story shows the law at work, else the first ones of the run."""
    from simulator.events import Mark

    log = played.log
    marked = [Mark.DENIED, Mark.RETURNED, Mark.RELOCATED, Mark.CANCELLED, Mark.APPROVED, Mark.DOWNSIZED]
    roots = list(dict.fromkeys(int(r) for mark in marked for r in log["root"][(log["mark"] == mark) & (log["tick"] >= 0)][:1]))
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
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output; progress goes to standard error.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=1024, help="Processes; every core unless given. Results do not depend on it.", show_default=False
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show every metric in the table, not only the main ones.")] = False,
    start: Start = None,
    as_known_on: Known = None,
    set_: Sets = None,
    override: Overrides = None,
) -> None:
    """Compare policies on the whole world: capacity, cost, timeline and policy, paired replication by replication."""
    from simulator import experiments, results, statistics

    world = _world(as_known_on)
    loaded = _load(scenarios, override, set_, start)
    _check(loaded, world)
    if out is not None:
        results.check_target(out)  # before the work, not after it
    with _progress(replications) as step, _input("scenarios"):
        try:
            compared = experiments.compare(
                loaded,
                world,
                reference=_reference(reference, loaded),
                replications=replications,
                seed=seed,
                workers=workers,
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


def _reference(name: str | None, loaded: list[Scenario]) -> str | None:
    """A reference may be given by name or by the path the scenario was loaded from."""
    if name is None or any(name == scenario.name for scenario in loaded):
        return name
    return Path(name).stem if name.endswith(".yaml") else name


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int, int], None]]:
    """Replications done, counted: a bar on a terminal, a line every tenth of the work elsewhere; always on standard error."""
    if not sys.stderr.isatty():
        said = 0

        def step(done: int, of: int) -> None:
            nonlocal said
            if done and (done == of or done * 10 // of > said):
                said = done * 10 // of
                typer.echo(f"{done} of {of} replications", err=True)

        yield step
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("replications"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, of: bar.update(task, completed=done)


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

    from simulator.findings import explained, headlines, table

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
    if why := explained(compared):
        typer.echo("\nWhat lies behind it (losses; projects of replication 0, see `groundbreak run SCENARIO --story PROJECT`):")
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
    from simulator.findings import explained, headlines, table

    opening, heads = headlines(compared, rows, differences, _dates(compared)[0])
    lines = [_title(compared), "", opening, *(f"  {head.scenario}: {head.says}" for head in heads), "", LEGEND, ""]
    for line in table(compared, rows, differences, _dates(compared)):
        cells = "; ".join(f"{s.name}: {cell}" for s, cell in zip(compared.scenarios, line.cells, strict=True))
        lines.append(f"{line.section} | {line.metric}, {line.unit} | {line.date} | {cells}")
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
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors that complete and explain fields."""
    import json

    from simulator.scenario import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


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

"""Figures of a sweep: each with a title that says what is to be seen, units on its axes, and colours that everybody can tell apart.

Pure functions from tables to Plotly figures. The interval of a mean (precision of the simulation) and the spread of futures
(uncertainty of the world) are drawn apart, and each figure says which is which.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from simulator.findings import amount, scale

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

    from simulator.metrics import Metric
    from simulator.sweepresult import Rank

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's, which people with any kind of colour blindness can tell apart; black is the reference."""
REFERENCE = "#000000"
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""Lines differ in more than colour"""
MOST_FANS = 6
"""Scenarios in one fan chart at most: more bands hide each other"""
ROW = 26
"""Height of a scenario in a chart of rows, pixels"""
GREY = "#666666"


def fan(frame: pd.DataFrame, metric: Metric, where: str, reference: str) -> Figure:
    """Median and 10 to 90 % of futures of one or several scenarios by month. `frame` as of `SweepResult.fan`."""
    names = list(dict.fromkeys(frame["scenario"]))
    if len(names) > MOST_FANS:
        raise ValueError(f"at most {MOST_FANS} scenarios can be told apart in one chart, not {len(names)}; name those to show")
    measure = scale(metric.unit, float(frame["p90"].abs().max()))
    colours, traces, ends = iter(COLOURS), [], {}
    for i, name in enumerate(names):
        colour = REFERENCE if name == reference else next(colours)
        mine = frame[frame["scenario"] == name]
        days = [day.isoformat()[:10] for day in mine["date"]]
        low, middle, high = ((mine[share] / measure.divisor).tolist() for share in ("p10", "p50", "p90"))
        ends[name] = float(mine["p50"].iloc[-1])
        band = {"type": "scatter", "x": days, "mode": "lines", "line": {"width": 0}, "legendgroup": name, "hoverinfo": "skip"}
        traces += [
            {**band, "y": low, "showlegend": False},
            {**band, "y": high, "fill": "tonexty", "fillcolor": _faint(colour), "showlegend": False},
            {
                "type": "scatter", "x": days, "y": middle, "mode": "lines", "name": name, "legendgroup": name,
                "line": {"color": colour, "width": 2.5, "dash": DASHES[i % len(DASHES)]},
                "customdata": [list(pair) for pair in zip(low, high, strict=True)],
                "hovertemplate": f"%{{y:,.{measure.decimals}f}} (%{{customdata[0]:,.{measure.decimals}f}} to "
                f"%{{customdata[1]:,.{measure.decimals}f}}) {measure.label}",
            },
        ]  # fmt: skip
    what = metric.name + (f" in {where}" if where else "")
    last = frame["date"].iloc[-1].isoformat()[:7]
    return _figure(
        traces,
        _fan_title(what, ends, metric.unit, reference, last),
        "Lines: median of futures. Bands: 10 to 90 % of futures, not the precision of the simulation.",
        {
            "xaxis": {"type": "date", "showgrid": False},
            "yaxis": {"title": {"text": f"{what}, {measure.label}"}, "rangemode": "tozero", "gridcolor": "#DDDDDD"},
            "legend": {"orientation": "h", "yanchor": "top", "y": -0.12, "x": 0, "traceorder": "normal"},
            "hovermode": "x unified",
            "height": 480,
        },
    )


def _fan_title(what: str, ends: dict[str, float], unit: str, reference: str, last: str) -> str:
    if len(ends) == 1:
        [(name, end)] = ends.items()
        return f"{what}: {amount(end, unit)} in {last} under {name}"
    others = {name: end for name, end in ends.items() if name != reference}
    if reference in ends:
        far = max(others, key=lambda name: abs(others[name] - ends[reference]))
        gap = others[far] - ends[reference]
        side = "above" if gap > 0 else "below"
        return (
            f"{what}: {far} ends {amount(abs(gap), unit)} {side} {reference} in {last}"
            if gap
            else f"{what}: no scenario ends apart from {reference} in {last}"
        )
    least, most = min(ends, key=lambda name: ends[name]), max(ends, key=lambda name: ends[name])
    return f"{what} in {last}: from {amount(ends[least], unit)} ({least}) to {amount(ends[most], unit)} ({most})"


def differences(frame: pd.DataFrame, metric: Metric, where: str, reference: str) -> Figure:
    """Paired differences from the reference, a row a scenario, the largest first. `frame` as of `SweepResult.differences`."""
    shown = frame.dropna(subset=["mean"]).sort_values("mean", kind="stable")
    what = metric.name + (f" in {where}" if where else "")
    if shown.empty:
        raise ValueError(f"{what} has no value in any scenario besides the reference")
    measure = scale(metric.unit, float(shown[["p10", "p90"]].abs().max().max()))
    names = shown["scenario"].tolist()
    low, mean, high = ((shown[part] / measure.divisor).tolist() for part in ("p10", "mean", "p90"))
    half = ((shown["ci_high"] - shown["ci_low"]) / 2 / measure.divisor).tolist()
    far = shown.iloc[int(shown["mean"].abs().argmax())]
    date = str(far["date"])[:7]
    gap = float(far["mean"])
    if not gap:
        title = f"{what}: no difference from {reference}"
    elif ((shown["ci_low"] <= 0) & (shown["ci_high"] >= 0)).all():
        title = f"{what}: no difference from {reference} is settled"
    else:
        unsure = " (sign not settled)" if far["ci_low"] <= 0 <= far["ci_high"] else ""
        title = f"{what}: {far['scenario']} differs most from {reference}, by {amount(gap, metric.unit, signed=True)}{unsure}"
    traces = [
        *_spans(low, high, names, "10 to 90 % of futures"),
        {
            "type": "scatter", "x": mean, "y": names, "mode": "markers", "name": "mean, with its 95 % interval",
            "marker": {"color": COLOURS[0], "size": 9},
            "error_x": {"type": "data", "array": half, "color": COLOURS[0], "thickness": 3, "width": 6},
            "hovertemplate": f"%{{y}}: %{{x:+,.{measure.decimals}f}} {measure.label}<extra></extra>",
        },
    ]  # fmt: skip
    axis = {
        "title": {"text": f"Difference from {reference} in {date}, {measure.label}"},
        "zeroline": True,
        "zerolinecolor": REFERENCE,
    }
    return _rows(traces, title, "Thick: how precise the simulation is. Thin: how much futures differ.", axis, len(names))


def ranking(ranks: Sequence[Rank], metric: Metric, end: str, reference: str) -> Figure:
    """Scenarios in order of their mean, with the spread of futures; neighbours whose order is not settled carry a mark."""
    measure = scale(metric.unit, max(rank.high for rank in ranks))
    order = list(reversed(ranks))  # Plotly puts the first row at the bottom
    labels = [f"{rank.scenario} ≈" if not rank.settled else rank.scenario for rank in order]
    unsettled = sum(not rank.settled for rank in ranks)
    first = ranks[0]
    title = f"{first.scenario} has most: {amount(first.mean, metric.unit)} of {metric.name[0].lower()}{metric.name[1:]}"
    if metric.name[:2].isupper():
        title = f"{first.scenario} has most: {amount(first.mean, metric.unit)} of {metric.name}"
    if len(ranks) > 1:
        pairs = len(ranks) - 1
        title += "; the order is settled" if not unsettled else f"; {unsettled} of {pairs} neighbours could still change places"
    colours = [REFERENCE if rank.scenario == reference else COLOURS[0] for rank in order]
    traces = [
        *_spans([rank.low / measure.divisor for rank in order], [rank.high / measure.divisor for rank in order], labels, "10 to 90 % of futures"),
        {
            "type": "scatter", "x": [rank.mean / measure.divisor for rank in order], "y": labels, "mode": "markers", "name": "mean of futures",
            "marker": {"color": colours, "size": 9, "symbol": ["diamond" if rank.scenario == reference else "circle" for rank in order]},
            "hovertemplate": f"%{{y}}: %{{x:,.{measure.decimals}f}} {measure.label}<extra></extra>",
        },
    ]  # fmt: skip
    note = f"Diamond: {reference}, the reference. ≈: more replications could change places with the next one below."
    axis = {"title": {"text": f"{metric.name} on {end}, {measure.label}"}, "rangemode": "tozero"}
    return _rows(traces, title, note, axis, len(ranks))


def _spans(low: Sequence[float], high: Sequence[float], rows: Sequence[str], name: str) -> list[dict[str, Any]]:
    """A thin line in each row, as one trace with gaps."""
    x = [point for pair in zip(low, high, strict=True) for point in (*pair, None)]
    y = [row for name in rows for row in (name, name, None)]
    line = {"color": GREY, "width": 1.5}
    return [{"type": "scatter", "x": x, "y": y, "mode": "lines", "name": name, "line": line, "hoverinfo": "skip"}]


def _rows(traces: list[dict[str, Any]], title: str, note: str, axis: dict[str, Any], rows: int) -> Figure:
    return _figure(
        traces,
        title,
        note,
        {
            "xaxis": {**axis, "gridcolor": "#DDDDDD"},
            "yaxis": {"type": "category", "showgrid": False, "automargin": True, "range": [-0.7, rows - 0.3]},
            "legend": {"orientation": "h", "yanchor": "top", "y": -90 / (ROW * rows + 60), "x": 0},
            "height": 220 + ROW * rows,
        },
    )


def _figure(traces: list[dict[str, Any]], title: str, note: str, layout: dict[str, Any]) -> Figure:
    from plotly.graph_objects import Figure

    shared = {
        "title": {
            "text": title,
            "x": 0,
            "xref": "paper",
            "font": {"size": 17},
            "subtitle": {"text": note, "font": {"size": 12, "color": GREY}},
        },
        "template": "plotly_white",
        "font": {"size": 13},
        "margin": {"l": 70, "r": 30, "t": 90, "b": 90},
    }
    return Figure({"data": traces, "layout": shared | layout})


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"

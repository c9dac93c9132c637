"""Draws the report's plots with matplotlib: as SVG in the page's colours, and as small PNGs.

matplotlib is imported when something is drawn, since it takes a second. pyplot and its global state are not used.
"""

import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squire_pipelines.home import make_folder
from squire_pipelines.warehouse.report import theme
from squire_pipelines.warehouse.report.numbers import ReportNumbers
from squire_pipelines.warehouse.report.sections import percent, short, times

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

MOST_BARS = 12
MOST_MODELS = 4
_TICKS = {"hour": "%H:%M", "day": "%b %d", "week": "%b %d", "month": "%b %Y"}
_SECONDS = (1, 10, 60, 600, 3600, 6 * 3600, 86400, 7 * 86400, 30 * 86400)
_SECONDS_NAMES = ("1 s", "10 s", "1 min", "10 min", "1 h", "6 h", "1 d", "7 d", "30 d")
_LEAST_S = 0.5
_FRAME_IN, _BAR_IN = 0.55, 0.38


@dataclass(frozen=True, slots=True)
class PlotSize:
    """A plot's size in inches, its font in points, and how many ticks and characters of a label fit into it."""

    width: float
    height: float
    font: float
    ticks: int
    label: int


WIDE = PlotSize(7.6, 3.0, 9, 8, 30)
NARROW = PlotSize(4.0, 3.2, 9.5, 4, 16)


def svg(report: ReportNumbers, key: str, size: PlotSize, *, cache: Path | None = None) -> str:
    """Return the plot `key` as matplotlib writes it, its text as text. `cache` is a folder for matplotlib's files."""
    with _matplotlib(cache):
        output = io.StringIO()
        _figure(report, key, size).savefig(output, format="svg", transparent=True, metadata={"Date": None})
        return output.getvalue()


def png(report: ReportNumbers, key: str, *, cache: Path | None = None) -> bytes:
    """Return the plot `key` as a small PNG on white, in 40 colours."""
    with _matplotlib(cache):
        from PIL import Image  # noqa: PLC0415 - as slow to import as matplotlib

        large, small = io.BytesIO(), io.BytesIO()
        _figure(report, key, WIDE).savefig(large, format="png", dpi=90, facecolor="#ffffff")
        large.seek(0)
        with Image.open(large) as image:
            image.convert("RGB").quantize(40).save(small, format="png", optimize=True)
        return small.getvalue()


@contextmanager
def _matplotlib(cache: Path | None) -> Iterator[None]:
    """Import matplotlib and set its style while the block runs."""
    if cache is not None and "MPLCONFIGDIR" not in os.environ:
        # Otherwise it writes its list of fonts into the user's home; it reads the variable when it is imported.
        os.environ["MPLCONFIGDIR"] = str(make_folder(cache))
    import matplotlib as mpl  # noqa: PLC0415 - takes a second

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "squire",
        "text.parse_math": False,  # a dollar sign in a name is a dollar sign
        "font.family": "DejaVu Sans",
        "axes.edgecolor": theme.LINE,
        "axes.labelcolor": theme.SOFT,
        "xtick.color": theme.SOFT,
        "ytick.color": theme.SOFT,
        "text.color": theme.INK,
        "grid.color": theme.LINE,
        "grid.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.axisbelow": True,
        "xtick.major.size": 3,
        "ytick.major.size": 0,
    }
    with warnings.catch_warnings(), mpl.rc_context(settings):
        # A name may have letters that this font lacks; the browser has its own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _figure(report: ReportNumbers, key: str, size: PlotSize) -> "Figure":
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    bars = {"success": report.success, "targets": report.targets, "causes": report.causes, "stages": report.stages}
    rows = len(bars[key]) if key in bars else None
    # A bar has the same height, however many there are.
    height = size.height if rows is None else min(size.height, _FRAME_IN + _BAR_IN * min(rows, MOST_BARS))
    figure = Figure(figsize=(size.width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.tick_params(labelsize=size.font)
    _DRAW[key](axes, report, size)
    return figure


def _throughput(axes: "Axes", report: ReportNumbers, size: PlotSize) -> None:
    rows = report.throughput
    series = [
        ("succeeded", theme.GOOD, [row.succeeded for row in rows]),
        ("failed", theme.BAD, [row.failed for row in rows]),
        ("cancelled", theme.GONE, [row.cancelled for row in rows]),
    ]
    _bars_over_time(axes, report, size, [row.bucket for row in rows], series)
    merged = [row.merged for row in rows]
    marker = "o" if len(rows) <= 60 else ""  # noqa: PLR2004 - more points than that touch each other
    if any(merged):
        axes.plot(range(len(rows)), merged, color=theme.PAPER, linewidth=4)  # so that the line stands out from the bars
        axes.plot(
            range(len(rows)), merged, color=theme.INK, linewidth=1.5, marker=marker, markersize=3.5, label="merged"
        )
    axes.set_ylim(0, max(axes.get_ylim()[1], 1.15))
    _use_whole_steps(axes.yaxis)
    _legend(axes, size)


def _success(axes: "Axes", report: ReportNumbers, size: PlotSize) -> None:
    rows = report.success[:MOST_BARS]
    axes.barh(range(len(rows)), [100 * row.rate for row in rows], color=theme.GOOD, height=0.66)
    _names(axes, [short(row.repository, size.label) for row in rows])
    axes.set_xlim(0, 100)
    axes.set_xticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    for position, row in enumerate(rows):
        inside = row.rate > 0.4  # noqa: PLR2004 - there the text has room in the bar
        axes.annotate(
            f"{percent(row.rate)} of {row.succeeded + row.failed}",
            (100 * row.rate, position),
            xytext=(-5 if inside else 5, 0),
            textcoords="offset points",
            ha="right" if inside else "left",
            va="center",
            fontsize=size.font - 0.5,
            color=theme.ON_BAR if inside else theme.INK,
        )


def _targets(axes: "Axes", report: ReportNumbers, size: PlotSize) -> None:
    rows = report.targets[:MOST_BARS]
    colors = [theme.BAD if row.rate_3d > 1 else theme.GOOD for row in rows]
    bars = axes.barh(range(len(rows)), [row.rate_3d for row in rows], color=colors, height=0.66)
    axes.bar_label(bars, [times(row.rate_3d) for row in rows], padding=4, fontsize=size.font - 0.5, color=theme.INK)
    axes.axvline(1, color=theme.INK, linewidth=1)
    _names(axes, [short(f"{row.repository} {row.target.replace('_', ' ')}", size.label) for row in rows])
    axes.set_xlim(0, max([1.0, *(row.rate_3d for row in rows)]) * 1.3)


def _causes(axes: "Axes", report: ReportNumbers, size: PlotSize) -> None:
    rows = report.causes[:MOST_BARS]
    bars = axes.barh(range(len(rows)), [row.attempts for row in rows], color=theme.BAD, height=0.66)
    axes.bar_label(bars, padding=4, fontsize=size.font - 0.5, color=theme.INK)
    _names(axes, [short(row.cause, size.label) for row in rows])
    axes.margins(x=0.12)
    _use_whole_steps(axes.xaxis)


def _cost(axes: "Axes", report: ReportNumbers, size: PlotSize) -> None:
    buckets = [row.bucket for row in report.throughput]
    position = {bucket: i for i, bucket in enumerate(buckets)}
    sums: dict[str, list[float]] = {}
    for cost in report.cost:
        sums.setdefault(cost.model, [0.0] * len(buckets))[position[cost.bucket]] += cost.cost_usd or 0
    ranked = [(name, values) for name, values in sorted(sums.items(), key=lambda item: -sum(item[1])) if sum(values)]
    series = [
        (short(name, size.label), theme.SERIES[i], values) for i, (name, values) in enumerate(ranked[:MOST_MODELS])
    ]
    if len(ranked) > MOST_MODELS:
        rest = [sum(values) for values in zip(*(values for _, values in ranked[MOST_MODELS:]), strict=True)]
        series.append(("others", theme.GONE, rest))
    _bars_over_time(axes, report, size, buckets, series)
    axes.yaxis.set_major_formatter(lambda value, _: f"${value:,.2f}" if axes.get_ylim()[1] < 10 else f"${value:,.0f}")  # noqa: PLR2004 - cents matter below
    if series:
        _legend(axes, size)


def _stages(axes: "Axes", report: ReportNumbers, size: PlotSize) -> None:
    rows = report.stages
    for position, row in enumerate(rows):
        low, high = max(_LEAST_S, row.p50_s), max(_LEAST_S, row.p95_s)
        axes.plot([low, high], [position, position], color=theme.SERIES[0], linewidth=2.2, solid_capstyle="round")
        axes.plot([high], [position], "o", markersize=6, markerfacecolor=theme.PAPER, markeredgecolor=theme.SERIES[0])
        axes.plot([low], [position], "o", markersize=6.5, color=theme.SERIES[0])
    axes.set_xscale("log")
    axes.minorticks_off()
    highest = max([60.0, *(row.p95_s for row in rows)])
    axes.set_xlim(_LEAST_S * 0.8, highest * 1.6)
    every = 1 if size is WIDE else 2
    ticks = [(s, name) for s, name in zip(_SECONDS, _SECONDS_NAMES, strict=True) if s <= highest * 1.6][::every]
    axes.set_xticks([seconds for seconds, _ in ticks], [name for _, name in ticks])
    _names(axes, [row.stage.replace("pull request", "PR") if size is NARROW else row.stage for row in rows])


def _ci_red(axes: "Axes", report: ReportNumbers, size: PlotSize) -> None:
    buckets = [row.bucket for row in report.throughput]
    position = {bucket: i for i, bucket in enumerate(buckets)}
    default, others = [0.0] * len(buckets), [0.0] * len(buckets)
    for red in report.ci_red:
        (default if red.on_default_branch else others)[position[red.bucket]] += red.hours
    series = [("default branches", theme.BAD, default), ("other branches", theme.GONE, others)]
    _bars_over_time(axes, report, size, buckets, series)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} h")
    _legend(axes, size)


_DRAW: dict[str, Callable[["Axes", ReportNumbers, PlotSize], None]] = {
    "throughput": _throughput,
    "success": _success,
    "targets": _targets,
    "causes": _causes,
    "cost": _cost,
    "stages": _stages,
    "ci_red": _ci_red,
}


def _bars_over_time(
    axes: "Axes",
    report: ReportNumbers,
    size: PlotSize,
    buckets: Sequence[datetime],
    series: Sequence[tuple[str, str, Sequence[float]]],
) -> None:
    below = [0.0] * len(buckets)
    for label, color, values in series:
        axes.bar(
            range(len(buckets)),
            values,
            bottom=below,
            width=0.82,
            color=color,
            label=label,
            edgecolor=theme.PAPER,
            linewidth=0.5,
        )
        below = [a + b for a, b in zip(below, values, strict=True)]
    axes.set_xlim(-0.6, max(len(buckets), 1) - 0.4)
    axes.set_ylim(0, max([*below, 1e-9]) * 1.12 or 1)
    step = max(1, -(-len(buckets) // size.ticks))
    labelled = range((len(buckets) - 1) % step, len(buckets), step)  # the newest has its label
    axes.set_xticks(list(labelled), [buckets[i].strftime(_TICKS[report.bucket]) for i in labelled])
    axes.grid(axis="y")


def _names(axes: "Axes", labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    for label in axes.get_yticklabels():
        label.set_color(theme.INK)
    axes.set_ylim(max(len(labels), 1) - 0.5, -0.5)
    axes.grid(axis="x")


def _use_whole_steps(axis: "Axis") -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - as above

    axis.set_major_locator(MaxNLocator("auto", integer=True))


def _legend(axes: "Axes", size: PlotSize) -> None:
    columns = 5 if size is WIDE else 2
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=size.font,
        borderaxespad=0.2,
        handlelength=1.0,
        handleheight=0.9,
        columnspacing=1.2,
    )

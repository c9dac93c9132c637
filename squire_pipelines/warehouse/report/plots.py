"""The report's drawings, by matplotlib: as SVG whose colours are the page's, and as small PNGs.

matplotlib is imported when something is drawn, since it takes a second. No state of pyplot's: figures are objects.
"""

import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squire_pipelines.warehouse.report import theme
from squire_pipelines.warehouse.report.numbers import Report
from squire_pipelines.warehouse.report.sections import percent, short

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


class Size:
    """How large a drawing is, in inches, and what fits into it."""

    def __init__(self, width: float, height: float, font: float, ticks: int, label: int) -> None:
        self.width, self.height, self.font, self.ticks, self.label = width, height, font, ticks, label


WIDE = Size(7.6, 3.0, 9, 8, 30)
NARROW = Size(4.0, 3.2, 9.5, 4, 16)


def svg(report: Report, key: str, size: Size, *, cache: Path | None = None) -> str:
    """The plot `key` as matplotlib writes it, its text as text. `cache` is where matplotlib may keep its own files."""
    with _drawing(cache) as figure_of:
        figure = figure_of(report, key, size)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
        return written.getvalue()


def png(report: Report, key: str, *, cache: Path | None = None) -> bytes:
    """The plot `key` as a small PNG on white, in some 40 colours."""
    with _drawing(cache) as figure_of:
        from PIL import Image  # noqa: PLC0415 - comes with matplotlib

        figure = figure_of(report, key, WIDE)
        written = io.BytesIO()
        figure.savefig(written, format="png", dpi=90, facecolor="#ffffff")
        written.seek(0)
        small = io.BytesIO()
        with Image.open(written) as drawn:
            drawn.convert("RGB").quantize(40).save(small, format="png", optimize=True)
        return small.getvalue()


@contextmanager
def _drawing(cache: Path | None) -> Iterator[Callable[[Report, str, Size], "Figure"]]:
    if cache is not None and "MPLCONFIGDIR" not in os.environ:
        # Else it writes its list of fonts into the person's home; it reads the variable when it is imported.
        cache.mkdir(parents=True, exist_ok=True)
        os.environ["MPLCONFIGDIR"] = str(cache)
    import matplotlib as mpl  # noqa: PLC0415 - a second, which only drawings pay

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
        # A name may have letters that the font for measuring lacks: the browser has its own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield _figure


def _figure(report: Report, key: str, size: Size) -> "Figure":
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    rows = {"success": len(report.success), "causes": len(report.causes), "stages": len(report.stages)}.get(key)
    # A bar is as high as another, however many there are.
    height = size.height if rows is None else min(size.height, _FRAME_IN + _BAR_IN * min(rows, MOST_BARS))
    figure = Figure(figsize=(size.width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.tick_params(labelsize=size.font)
    _DRAW[key](axes, report, size)
    return figure


def _throughput(axes: "Axes", report: Report, size: Size) -> None:
    rows = report.throughput
    series = [
        ("succeeded", theme.GOOD, [each.succeeded for each in rows]),
        ("failed", theme.BAD, [each.failed for each in rows]),
        ("cancelled", theme.GONE, [each.cancelled for each in rows]),
    ]
    _bars_over_time(axes, report, size, [each.bucket for each in rows], series)
    merged = [each.merged for each in rows]
    marker = "o" if len(rows) <= 60 else ""  # noqa: PLR2004 - more points than that touch each other
    if any(merged):
        axes.plot(range(len(rows)), merged, color=theme.PAPER, linewidth=4)  # so that the line stands out from the bars
        axes.plot(
            range(len(rows)), merged, color=theme.INK, linewidth=1.5, marker=marker, markersize=3.5, label="merged"
        )
    _whole_numbers(axes)
    _legend(axes, size)


def _success(axes: "Axes", report: Report, size: Size) -> None:
    rows = report.success[:MOST_BARS]
    labels = [short(each.repository, size.label) for each in rows]
    _bars_by_name(axes, labels, [100 * each.rate for each in rows], theme.GOOD)
    axes.set_xlim(0, 100)
    axes.set_xticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    for place, each in enumerate(rows):
        inside = each.rate > 0.4  # noqa: PLR2004 - there the text has room in the bar
        axes.annotate(
            f"{percent(each.rate)} of {each.succeeded + each.failed}",
            (100 * each.rate, place),
            xytext=(-5 if inside else 5, 0),
            textcoords="offset points",
            ha="right" if inside else "left",
            va="center",
            fontsize=size.font - 0.5,
            color=theme.ON_BAR if inside else theme.INK,
        )


def _causes(axes: "Axes", report: Report, size: Size) -> None:
    rows = report.causes[:MOST_BARS]
    _bars_by_name(axes, [short(each.cause, size.label) for each in rows], [each.attempts for each in rows], theme.BAD)
    axes.margins(x=0.12)
    _in_whole_steps(axes.xaxis)
    for place, each in enumerate(rows):
        axes.annotate(
            str(each.attempts),
            (each.attempts, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=size.font - 0.5,
            color=theme.INK,
        )


def _cost(axes: "Axes", report: Report, size: Size) -> None:
    buckets = [each.bucket for each in report.throughput]
    place = {bucket: i for i, bucket in enumerate(buckets)}
    sums: dict[str, list[float]] = {}
    for each in report.cost:
        sums.setdefault(each.model, [0.0] * len(buckets))[place[each.bucket]] += each.cost_usd or 0
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


def _stages(axes: "Axes", report: Report, size: Size) -> None:
    rows = report.stages
    for place, each in enumerate(rows):
        low, high = max(_LEAST_S, each.p50_s), max(_LEAST_S, each.p95_s)
        axes.plot([low, high], [place, place], color=theme.SERIES[0], linewidth=2.2, solid_capstyle="round")
        axes.plot([high], [place], "o", markersize=6, markerfacecolor=theme.PAPER, markeredgecolor=theme.SERIES[0])
        axes.plot([low], [place], "o", markersize=6.5, color=theme.SERIES[0])
    axes.set_xscale("log")
    axes.minorticks_off()
    highest = max([60.0, *(each.p95_s for each in rows)])
    axes.set_xlim(_LEAST_S * 0.8, highest * 1.6)
    every = 1 if size is WIDE else 2
    ticks = [(s, name) for s, name in zip(_SECONDS, _SECONDS_NAMES, strict=True) if s <= highest * 1.6][::every]
    axes.set_xticks([seconds for seconds, _ in ticks], [name for _, name in ticks])
    _names(axes, [_stage_name(each.stage, size) for each in rows])


def _stage_name(stage: str, size: Size) -> str:
    return stage.replace("pull request", "PR") if size is NARROW else stage


def _ci_red(axes: "Axes", report: Report, size: Size) -> None:
    buckets = [each.bucket for each in report.throughput]
    place = {bucket: i for i, bucket in enumerate(buckets)}
    default, others = [0.0] * len(buckets), [0.0] * len(buckets)
    for each in report.ci_red:
        (default if each.on_default_branch else others)[place[each.bucket]] += each.hours
    series = [("default branches", theme.BAD, default), ("other branches", theme.GONE, others)]
    _bars_over_time(axes, report, size, buckets, series)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} h")
    _legend(axes, size)


_DRAW: dict[str, Callable[["Axes", Report, Size], None]] = {
    "throughput": _throughput,
    "success": _success,
    "causes": _causes,
    "cost": _cost,
    "stages": _stages,
    "ci_red": _ci_red,
}


def _bars_over_time(
    axes: "Axes",
    report: Report,
    size: Size,
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
    places = range((len(buckets) - 1) % step, len(buckets), step)  # the newest has its name
    axes.set_xticks(list(places), [buckets[i].strftime(_TICKS[report.bucket]) for i in places])
    axes.grid(axis="y")


def _bars_by_name(axes: "Axes", labels: Sequence[str], values: Sequence[float], color: str) -> None:
    axes.barh(range(len(labels)), values, color=color, height=0.66)
    _names(axes, labels)


def _names(axes: "Axes", labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    for label in axes.get_yticklabels():
        label.set_color(theme.INK)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="x")


def _whole_numbers(axes: "Axes") -> None:
    axes.set_ylim(0, max(axes.get_ylim()[1], 1.15))
    _in_whole_steps(axes.yaxis)


def _in_whole_steps(axis: "Axis") -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - as above

    axis.set_major_locator(MaxNLocator("auto", integer=True))


def _legend(axes: "Axes", size: Size) -> None:
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

"""Writes the report as one HTML file that loads nothing: its style and plots are in it, and it has no scripts.

Its content policy tells the browser so: https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Content-Security-Policy.
"""

import base64
import hashlib
from html import escape
from importlib import resources
from pathlib import Path

from squire_pipelines.files import write_atomically
from squire_pipelines.warehouse.parquet import cannot_write
from squire_pipelines.warehouse.report import plots, svg, theme
from squire_pipelines.warehouse.report.numbers import ReportNumbers
from squire_pipelines.warehouse.report.sections import ReportSection, headline, sections


def html(report: ReportNumbers, *, cache: Path | None = None) -> str:
    """Return the whole page. `cache` is a folder for matplotlib's own files."""
    styles = svg.StyleClasses()
    cards = "\n".join(_card(report, section, styles, cache) for section in sections(report))
    css = _css(styles)
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    since, until = f"{report.since:%Y-%m-%d %H:%M}", f"{report.until:%Y-%m-%d %H:%M}"
    tiles = "\n".join(
        f"<div class=tile><dt>{escape(name)}</dt><dd>{escape(value)}</dd><dd class=more>{escape(more)}</dd></div>"
        for name, value, more in headline(report)
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>Squire, {since[:10]} to {until[:10]}</title>
<style>{css}</style>
</head>
<body>
<header>
<h1>Squire</h1>
<p>From <time datetime="{report.since.isoformat()}">{since}</time> to
<time datetime="{report.until.isoformat()}">{until}</time> UTC, the moment of the publication.</p>
</header>
<main>
<dl class=tiles>
{tiles}
</dl>
<div class=cards>
{cards}
</div>
</main>
<footer><p>Written by <code>squire history report --html</code> from the warehouse. Times are in UTC.</p></footer>
</body>
</html>
"""


def write_page(path: Path, content: str | bytes) -> None:
    """Write a page or a picture, whole or not at all; only its owner may read it. Raises WarehouseError."""
    try:
        write_atomically(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_pictures(path: Path, report: ReportNumbers, *, cache: Path | None = None) -> dict[str, Path]:
    """Write each plot as a PNG file beside the page at `path`, and return the paths by section.

    An earlier picture of a section that is empty now is removed. Raises WarehouseError.
    """
    pictures = {section.key: path.with_name(f"{path.stem}-{section.key}.png") for section in sections(report)}
    for section in sections(report):
        if section.rows:
            write_page(pictures[section.key], plots.png(report, section.key, cache=cache))
        else:
            pictures.pop(section.key).unlink(missing_ok=True)
    return pictures


def _card(report: ReportNumbers, section: ReportSection, styles: svg.StyleClasses, cache: Path | None) -> str:
    key = section.key.replace("_", "-")
    head = f"<section class=card aria-labelledby={key}><h2 id={key}>{escape(section.title)}</h2>"
    if not section.rows:
        return f"{head}<p class=nothing>{escape(section.nothing)}</p></section>"
    text = f"{section.text} {section.reading}".strip()
    drawn = "".join(
        svg.inline(
            plots.svg(report, section.key, size, cache=cache),
            styles,
            key=f"{key}-{name}",
            title=section.title,
            description=text,
            css_class=name,
        )
        for name, size in (("wide", plots.WIDE), ("narrow", plots.NARROW))
    )
    return f"{head}<p>{escape(text)}</p>{drawn}{_table(section, key)}</section>"


def _table(section: ReportSection, key: str) -> str:
    header = "".join(f"<th scope=col>{escape(name)}</th>" for name in section.header)
    body = "".join(
        f"<tr><th scope=row>{escape(row[0])}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in section.rows
    )
    # A region of its own, so that a wide table is scrolled by the keyboard too, and never the page.
    return (
        f"<details><summary>Numbers</summary><div class=scroll role=region aria-labelledby={key} tabindex=0>"
        f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _css(styles: svg.StyleClasses) -> str:
    own = resources.files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    return (
        f":root{{{theme.variables(dark=False)}}}"
        f"@media (prefers-color-scheme: dark){{:root{{{theme.variables(dark=True)}}}}}\n{own}{styles.css()}"
    )

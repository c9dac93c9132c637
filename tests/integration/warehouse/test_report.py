"""The report on histories of every size: its numbers, and a page that loads nothing and lets no stranger in."""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from squire_pipelines.errors import WarehouseError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.targets import TargetSettings
from squire_pipelines.warehouse.publish import Publication, publish_warehouse
from squire_pipelines.warehouse.query import run_query
from squire_pipelines.warehouse.report import plots
from squire_pipelines.warehouse.report.numbers import bucket_of, read_report
from squire_pipelines.warehouse.report.page import html, write_page, write_pictures
from squire_pipelines.warehouse.report.sections import clean, duration, money, percent, sections, short
from squire_pipelines.warehouse.settings_tables import PublishedTargets
from tests.support.years import fill

Publish = Callable[[], Publication]
HOSTILE = (
    "<script>alert(1)</script> $x^2$ \"'&amp; \x1b[31m]]> <img src=x onerror=alert(1)> "
    "\u202e漢字 🙂 --><svg onload=alert(1)>"
)


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "matplotlib"


def _checked(text: str) -> _Page:
    """The page loads nothing, runs nothing, and its ids are its own."""
    page = _Page(text)
    assert not {tag for tag, _ in page.tags} & {"script", "img", "image", "link", "iframe", "object", "embed", "a", "b"}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in {"src", "style", "action"}], tag
        assert (attributes.get("href") or "#").startswith("#")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = {name for _, attributes in page.tags for name in (attributes.get("aria-labelledby") or "").split()}
    referred = {(attributes.get("href") or "#")[1:] for _, attributes in page.tags} | set(
        re.findall(r"url\(#([^)]+)\)", text)
    )
    assert (named | referred) - {""} <= set(ids)
    (css,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in text
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in css
    assert "@import" not in css
    assert not re.findall(r"#[0-9a-f]{6}", text.partition("</style>")[2])  # every colour of a drawing is a variable
    return page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("days", "tasks", "bucket"), [(1, 1, "hour"), (30, 60, "day"), (365, 60, "week"), (1500, 60, "month")]
)
def test_histories_of_every_size_make_a_page(
    ledger: Ledger, publish: Publish, warehouse: Path, cache: Path, *, days: int, tasks: int, bucket: str
) -> None:
    fill(ledger, days=days, tasks=tasks)
    publish()
    report = read_report(warehouse, since=timedelta(days=days))
    assert report.bucket == bucket
    assert len(report.throughput) <= 125
    totals = report.totals
    assert totals.created == tasks
    rows = run_query(warehouse, "SELECT status, count(*) FROM tasks GROUP BY ALL").rows
    by_status = dict(rows)
    assert totals.succeeded == by_status.get("succeeded", 0) == sum(row.succeeded for row in report.throughput)
    assert totals.failed == by_status.get("failed", 0) == sum(row.failed for row in report.throughput)
    ((spent,),) = run_query(warehouse, "SELECT sum(cost_usd) FROM model_calls").rows
    assert totals.cost_usd == pytest.approx(spent) == pytest.approx(sum(row.cost_usd or 0 for row in report.cost))
    page = _checked(html(report, cache=cache))
    drawn = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(drawn) == 2 * sum(1 for section in sections(report) if section.rows)
    assert all(attributes["role"] == "img" for attributes in drawn)


@pytest.mark.slow
def test_an_empty_warehouse_says_so(ledger: Ledger, publish: Publish, warehouse: Path) -> None:
    assert ledger
    publish()
    report = read_report(warehouse)
    text = html(report)
    _checked(text)
    assert text.count("class=nothing") == 7
    assert not any(section.rows for section in sections(report))


@pytest.mark.slow
def test_targets_that_are_missed_too_often_come_first(ledger: Ledger, warehouse: Path, cache: Path) -> None:
    fill(ledger, days=1, tasks=40, repositories=("acme/shop",))
    own = TargetSettings(task_failure=0.001, container_crash=1)
    publish_warehouse(ledger, warehouse, targets=PublishedTargets(of_repositories={"acme/shop": own}))
    report = read_report(warehouse)
    first = report.targets[0]
    assert (first.repository, first.target, first.rate_3d > 1) == ("acme/shop", "task_failure", True)
    assert "Worst: task failure of acme/shop" in next(one.text for one in sections(report) if one.key == "targets")
    _checked(html(report, cache=cache))


@pytest.mark.slow
def test_what_strangers_wrote_is_text(ledger: Ledger, publish: Publish, warehouse: Path, cache: Path) -> None:
    fill(ledger, days=20, tasks=40, text=HOSTILE, repositories=("acme/<b>x</b>$a_b$\x07", f"acme/{HOSTILE}"))
    publish()
    text = html(read_report(warehouse), cache=cache)
    _checked(text)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


@pytest.mark.slow
def test_pictures_are_small(ledger: Ledger, publish: Publish, warehouse: Path, cache: Path) -> None:
    fill(ledger, days=30, tasks=100, text=HOSTILE)
    publish()
    report = read_report(warehouse)
    sizes = [len(plots.png(report, section.key, cache=cache)) for section in sections(report)]
    assert plots.png(report, "cost", cache=cache).startswith(b"\x89PNG")
    assert sum(sizes) < 60_000


@pytest.mark.slow
def test_red_time_counts_overlapping_failures_once(ledger: Ledger, publish: Publish, warehouse: Path) -> None:
    fill(ledger, days=20, tasks=80, repositories=("acme/shop",))
    publish()
    report = read_report(warehouse, since=timedelta(days=60))
    ((seconds,),) = run_query(warehouse, "SELECT sum(red_s) FROM ci_red_time WHERE on_default_branch").rows
    assert report.red_hours == pytest.approx(seconds / 3600)
    assert report.as_json()["totals"]["red_hours"] == pytest.approx(seconds / 3600, abs=0.001)


@pytest.mark.slow
def test_pictures_lie_beside_the_page_and_those_of_empty_sections_go(
    publish: Publish, warehouse: Path, ledger: Ledger, tmp_path: Path, cache: Path
) -> None:
    fill(ledger, days=10, tasks=40)
    publish()
    page = tmp_path / "report.html"
    stale = tmp_path / "report-ci_red.png"
    stale.write_bytes(b"old")
    report = read_report(warehouse, since=timedelta(days=3650))
    report = replace(report, ci_red=())
    pictures = write_pictures(page, report, cache=cache)
    assert set(pictures) == {"throughput", "success", "causes", "cost", "stages"}
    assert not stale.exists()
    for key, picture in pictures.items():
        assert picture == tmp_path / f"report-{key}.png"
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_mode & 0o777 == 0o600


def test_a_span_that_is_none_is_refused(ledger: Ledger, publish: Publish, warehouse: Path) -> None:
    assert ledger
    with pytest.raises(WarehouseError, match="nothing has been published"):
        read_report(warehouse)
    publish()
    for since in (timedelta(0), timedelta(days=-1), timedelta(days=99_999)):
        with pytest.raises(WarehouseError, match="no span of time"):
            read_report(warehouse, since=since)


def test_the_page_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    write_page(tmp_path / "a.html", "one")
    write_page(tmp_path / "a.html", "two")
    assert [path.read_text() for path in tmp_path.iterdir() if path.is_file()] == ["two"]
    with pytest.raises(WarehouseError, match="cannot be written"):
        write_page(tmp_path / "none" / "a.html", "one")


def test_values_for_people() -> None:
    assert [duration(s) for s in (None, 0.42, 45, 700, 11_000, 200_000)] == [
        "-",
        "0.4 s",
        "45 s",
        "12 min",
        "3.1 h",
        "2.3 d",
    ]
    assert [money(usd) for usd in (None, 0, 0.1234, 1234.5)] == ["-", "$0.00", "$0.123", "$1,234.50"]
    assert [percent(rate) for rate in (None, 0.915)] == ["-", "92 %"]
    assert clean("a\x00b\n\u202ec\ud800") == "ab c"
    assert short("acme/a-very-long-name", 11) == "acme/…-name"
    assert bucket_of(timedelta(days=2)) == "hour"

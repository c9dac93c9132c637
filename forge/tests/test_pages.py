import re
from typing import Any

import httpx
import pytest

from squire_forge.client import ForgeClient

HOSTILE = '<script>alert("x")</script> & <img src=x onerror=y>'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "texts"),
    [
        ("/", ["demo/ledgerlib", "Failure", "1 open pull request, 2 open issues"]),
        ("/demo/webshop", ["Discount codes in the cart", "noor/discount-codes", "git clone"]),
        ("/demo/quiet", ["None."]),
        ("/demo/webshop/pull/1", ["noor", "data/discounts.json:2", "entry.code == code", "build", "+30 -0 in 3 files"]),
        ("/demo/handbook/issues/1", ["Broken links", "squire", "confused a new colleague"]),
    ],
)
def test_pages_show_what_is_there(local_forge: ForgeClient, path: str, texts: list[str]) -> None:
    response = httpx.get(local_forge.url + path)
    assert response.status_code == 200
    for text in texts:
        assert text in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]


def test_a_check_has_a_page_with_its_text(local_forge: ForgeClient) -> None:
    index = httpx.get(f"{local_forge.url}/demo/ledgerlib").text
    (path, *_) = re.findall(r'href="(/demo/ledgerlib/runs/\d+)"', index)
    page = httpx.get(local_forge.url + path).text
    assert "AssertionError" in page


@pytest.mark.parametrize(
    "path",
    [
        "/demo/nope",
        "/demo/nope/pull/1",
        "/demo/quiet/pull/1",
        "/demo/handbook/issues/3",
        "/demo/handbook/runs/1",
        "/demo/x/runs/1",
    ],
)
def test_what_is_not_there_is_404(local_forge: ForgeClient, path: str) -> None:
    assert httpx.get(local_forge.url + path).status_code == 404


def test_a_draft_is_shown_as_one_with_the_checks_of_its_head(serve_forge: Any, samples: Any) -> None:
    forge = serve_forge()
    shop = next(sample for sample in samples if sample.full_name == "demo/webshop").hosting()
    forge.host_repository({**shop, "pull_requests": [{**pull, "draft": True} for pull in shop["pull_requests"]]})
    forge.settle()
    for path in ("/demo/webshop", "/demo/webshop/pull/1"):
        page = httpx.get(forge.url + path).text
        assert '<span class="badge draft">Draft</span>' in page
        assert "/demo/webshop/runs/" in page
    assert "wants to merge" in page


def test_private_repositories_are_not_shown(local_forge: ForgeClient, samples: Any) -> None:
    local_forge.host_repository({**samples[3].hosting(), "name": "secret", "private": True})
    assert "secret" not in httpx.get(local_forge.url).text
    assert httpx.get(f"{local_forge.url}/demo/secret").status_code == 404


@pytest.mark.slow
def test_every_text_is_escaped(serve_forge: Any, api_of: Any, clone_of: Any, samples: Any) -> None:
    forge = serve_forge()
    forge.host_repository(
        {
            **samples[3].hosting(),
            "description": HOSTILE,
            "issues": [{"title": HOSTILE, "body": HOSTILE, "author": "ada", "labels": [HOSTILE],
                        "comments": [{"author": "ivo", "body": HOSTILE}]}],
            "expectations": [{"check": HOSTILE, "path": "README.md", "pattern": "nope", "message": HOSTILE}],
        }
    )  # fmt: skip
    clone = clone_of(forge, "demo/quiet")
    clone.commit("a&b", {"<b>.txt": HOSTILE}, message=HOSTILE)
    clone.push("a&b")
    api_of(forge).rest(
        "POST", "/repos/demo/quiet/pulls", {"title": HOSTILE, "body": HOSTILE, "head": "a&b", "base": "main"}
    )
    sha = api_of(forge).rest("GET", "/repos/demo/quiet/pulls/2").json()["head"]["sha"]
    status = {"state": "success", "context": HOSTILE, "description": f"Waits: {HOSTILE}"}
    api_of(forge).rest("POST", f"/repos/demo/quiet/statuses/{sha}", status)
    forge.settle()
    paths = ["/", "/demo/quiet", "/demo/quiet/pull/2", "/demo/quiet/issues/1"]
    pages = [httpx.get(forge.url + path).text for path in paths]
    assert "Waits: &lt;script&gt;" in pages[2]
    (run, *_) = re.findall(r'href="(/demo/quiet/runs/\d+)"', pages[1])
    pages.append(httpx.get(forge.url + run).text)
    for page in pages:
        assert "&lt;script&gt;" in page
        assert "<script" not in page
        assert "<img" not in page


def test_the_style_knows_light_and_dark(local_forge: ForgeClient) -> None:
    response = httpx.get(f"{local_forge.url}/_style.css")
    assert response.headers["content-type"].startswith("text/css")
    assert "prefers-color-scheme: dark" in response.text


def test_a_diff_of_odd_bytes_and_separators_is_shown_by_gits_own_lines(
    serve_forge: Any, api_of: Any, clone_of: Any, samples: Any
) -> None:
    forge = serve_forge()
    forge.host_repository(samples[3].hosting())
    clone = clone_of(forge, "demo/quiet")
    (clone.path / "odd.txt").write_bytes("first\u2028+no line\x0b\x85-nor this\r\n".encode() + b"caf\xe9 <b>\n")
    clone.commit("odd", {}, message="Odd")
    clone.push("odd")
    long = {"title": "Odd", "body": "<" * 70_000, "head": "odd", "base": "main"}
    assert api_of(forge).rest("POST", "/repos/demo/quiet/pulls", long).status_code == 422
    api_of(forge).rest("POST", "/repos/demo/quiet/pulls", {**long, "body": "<" * 60_000})
    page = httpx.get(f"{forge.url}/demo/quiet/pull/1").text
    assert page.count('<span class="a">') == 2
    assert "caf\ufffd &lt;b&gt;" in page

"""Markdown on the forge's pages: what is shown as GitHub shows it, and that nobody's text becomes more than text."""

import re
import time

import pytest

from squire_forge.page_text import MAX_CHARACTERS, MAX_SHOWN, rendered

# All that a text may become: elements without attributes, but for links, columns and the language of code.
_ALLOWED = re.compile(
    r"</?(?:p|h[3-6]|ul|ol|li|strong|em|s|code|pre|blockquote|table|thead|tbody|tr|th|td|details|summary)>|<(?:br|hr)>|</a>"
    r"|<(?:br|hr) />"
    r'|<a href="(?:https?://|/|#|\.|%)[^"<>]*"(?: title="[^"<>]*")?>'
    r'|<code class="language-[^"<>]*">|<ol start="\d+">'
)


def _others(html: str) -> list[str]:
    """Return the elements that no text may become."""
    return re.findall(r"<[^>]*>?", _ALLOWED.sub("", html))


def test_a_text_is_shown_as_github_shows_it() -> None:
    html = rendered(
        "# What\n\n- **one** `two`\n\n| a |\n|--:|\n| 1 |\n\n[web](https://x.test/) [here](/demo/quiet)\n\n"
        "```py\n<b>\n```\n\n"
        "<!-- squire part follow -->\n<details><summary>The order</summary>\n\n> quoted\n\n</details>\n\nlast<br>line"
    )
    for shown in (
        "<h3>What</h3>",
        "<strong>one</strong> <code>two</code>",
        "<td>1</td>",
        '<a href="https://x.test/">web</a> <a href="/demo/quiet">here</a>',
        "&lt;b&gt;",
        "<details><summary>The order</summary>\n<blockquote>",
        "</details>",
        "last<br>line",
    ):
        assert shown in html
    assert "squire part" not in html
    assert _others(html) == []


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<SCRIPT\n>alert(1)</SCRIPT\n>",
        "text <img src=x onerror=alert(1)> text",
        "<details onclick=alert(1)><summary style=x>a</summary>",
        "<details\nopen>",
        "<!-- --><script>x</script><!-- -->",
        "<!--><script>x</script>-->",
        "<br onload=x>",
        "<style>*{display:none}</style>",
        "<iframe src=//x.test></iframe>",
        "<a href='javascript:alert(1)'>x</a>",
        "<svg/onload=alert(1)>",
        "<?php x ?><![CDATA[<script>x</script>]]>",
        '```py"><script>\nx\n```',
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](javascript&#58;alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](java\tscript:alert(1))",
        "[x](<java\nscript:alert(1)>)",
        "[x](\x01javascript:alert(1))",
        "[x](\u00a0javascript:alert(1))",
        "[x](vbscript:x) <vbscript:x>",
        "[x](data:text/html,<script>x</script>)",
        "[x](data:image/png;base64,AAAA)",
        "[x](file:///etc/passwd)",
        "<javascript:alert(1)>",
        "[x]\n\n[x]: javascript:alert(1)",
        '[x](https://x.test "\\" onmouseover=alert(1) y=\\"")',
        '[x](https://x.test/"onclick=alert(1))',
        '![x](https://x.test/pixel.png) !["><script>](/x)',
        "![x](data:image/svg+xml,<svg/onload=x>)",
        "[![x](https://x.test/badge.svg)](https://x.test)",
        "\x00<scr\x00ipt>x</script>",
        "\ufeff<script>x</script> \u202e \u2028<img src=x>",
        "\ud800 <b>",
    ],
)
def test_no_text_becomes_a_script_an_image_or_a_link_elsewhere(text: str) -> None:
    for shown in (rendered(text), rendered(f"- a\n  > {text}"), rendered(f"| a |\n|---|\n| {text} |")):
        assert _others(shown) == []
        assert not re.search(r'href="[^"]*(?:script|data|file):', shown, re.IGNORECASE)


@pytest.mark.parametrize(
    "text",
    ["[" * MAX_CHARACTERS, "![[" * 20_000, "[a](" * 16_000, ">" * MAX_CHARACTERS, "- " * 32_000],
)
def test_a_text_that_is_made_to_be_slow_is_not(text: str) -> None:
    began = time.process_time()
    assert len(rendered(text)) < 3 * MAX_CHARACTERS
    assert time.process_time() - began < 5.0  # brackets took 12 seconds, and all of these take one


def test_an_enormous_text_is_shown_as_it_is_and_cut_at_last() -> None:
    assert rendered("*" * (MAX_CHARACTERS + 1)).startswith("<pre>***")
    cut = rendered("<" * (MAX_SHOWN + 1))
    assert cut == f"<pre>{'&lt;' * MAX_SHOWN}\n… cut</pre>"

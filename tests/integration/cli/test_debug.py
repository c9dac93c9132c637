"""`squire debug`: on for a time, shown and recorded, and over by itself."""

from tests.support.cli import SampleData, Squire

REPOSITORY = "acme/shop"


def test_debugging_is_switched_on_shown_recorded_and_switched_off(squire: Squire, samples: SampleData) -> None:
    samples.task("One")
    squire.config(f'repositories = ["{REPOSITORY}", "acme/other"]\n')
    assert "nothing is debugged" in squire.ok("debug", "status")
    assert "acme/shop: debugged until" in squire.ok("debug", "on", "--repository", "Acme/Shop", "--for", "1h")
    squire.ok("debug", "on", "--for", "10m")
    rows = squire.json("debug", "status")
    assert [row["repository"] for row in rows] == [REPOSITORY, ""]
    assert "all repositories: until" in squire.ok("debug", "status")
    shown = squire("status").stdout
    assert f"{REPOSITORY}; `squire debug off` ends it" in shown
    assert [row["repository"] for row in squire.json("status", "--fail-on", "never")["debugging"]] == [REPOSITORY, ""]
    assert squire.ok("debug", "off", "--repository", REPOSITORY) == f"{REPOSITORY}: no longer debugged\n"
    assert "was not debugged by itself" in squire.ok("debug", "off", "--repository", REPOSITORY)
    assert squire.ok("debug", "off") == "all repositories: no longer debugged\n"
    assert squire.ok("debug", "off") == "nothing was debugged\n"
    trail = [(row["action"], row["subject"]) for row in squire.json("audit", "list")]
    assert trail[:4] == [
        ("debug.off", "all repositories"),
        ("debug.off", REPOSITORY),
        ("debug.on", "all repositories"),
        ("debug.on", REPOSITORY),
    ]


def test_what_cannot_be_debugged_is_refused(squire: Squire) -> None:
    squire.config(f'repositories = ["{REPOSITORY}"]\n')
    assert "is not among the repositories" in squire.fails(5, "debug", "on", "--repository", "no/such", "--for", "1h")
    assert "at most 7d" in squire.fails(2, "debug", "on", "--for", "8d")
    assert "at most 7d" in squire.fails(2, "debug", "on", "--for", "0s")
    assert "for" in squire.fails(2, "debug", "on")
    (squire.home / "settings").write_text("no folder")
    assert "cannot be written" in squire.fails(3, "debug", "on", "--for", "1h")

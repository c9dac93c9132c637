"""What the doctor makes of the facts: each line with a step that works on this machine."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.doctor import clock as doctor_clock
from squire_pipelines.cli.doctor import disk as doctor_disk
from squire_pipelines.cli.doctor import logs as doctor_logs
from squire_pipelines.cli.doctor import plaintext as doctor_plaintext
from squire_pipelines.cli.doctor import ports as doctor_ports
from squire_pipelines.cli.doctor import webhook as doctor_webhook
from squire_pipelines.cli.doctor.disk import HomeSizes, PartSize
from squire_pipelines.cli.doctor.ports import PortFacts
from squire_pipelines.cli.doctor.rules import judge_rules
from squire_pipelines.cli.doctor.secrets import judge_passphrase_file
from squire_pipelines.cli.doctor.webhook import HookFacts, PingFacts
from squire_pipelines.github.branch_rules import (
    BranchRule,
    CommitSigner,
    PushFacts,
    matches_pattern,
    merge_obstacles,
    obstacles,
    read_rules,
)
from squire_pipelines.github.webhook_state import (
    AppDelivery,
    Webhook,
    leads_to_receiver,
    read_app_deliveries,
    read_webhooks,
)
from squire_pipelines.health.clock_offset import measure_offset
from squire_pipelines.health.machine_steps import clock_step, engine_step, install_step
from squire_pipelines.ledger.deliveries import ReceivedDelivery
from squire_pipelines.ledger.delivery_checks import HookCheck
from squire_pipelines.sections.operation import LoggingSettings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GIB = 2**30
TOKEN = "ghp_" + "x" * 36
HOOK = Webhook(1, "https://squire.test/webhooks/github", is_active=True)


def programs(*names: str) -> Any:
    return lambda name: f"/usr/bin/{name}" if name in names else None


@pytest.mark.parametrize(
    ("known", "is_root", "step"),
    [
        (("apt-get",), True, "run `apt-get install git`"),
        (("apt-get",), False, "run `sudo apt-get install git`"),
        (("brew",), False, "run `brew install git`"),
        ((), True, "install git"),
    ],
)
def test_a_program_is_installed_by_this_machines_own_package_manager(
    *, known: tuple[str, ...], is_root: bool, step: str
) -> None:
    assert install_step("git", which=programs(*known), is_root=is_root) == step


@pytest.mark.parametrize(
    ("known", "is_contained", "step"),
    [
        (("docker", "systemctl"), True, "mount the socket"),
        (("docker", "systemctl", "apt-get"), False, "systemctl start docker"),
        (("apt-get",), False, "apt-get install docker.io"),
        (("dnf",), False, "dnf install moby-engine"),
        (("brew",), False, "Docker Desktop"),
        ((), False, "install docker, and start it"),
    ],
)
def test_an_engine_is_got_as_this_machine_can(
    tmp_path: Path, *, known: tuple[str, ...], is_contained: bool, step: str
) -> None:
    assert step in engine_step(is_contained=is_contained, which=programs(*known), script=tmp_path / "none")


def test_a_checkout_on_debian_has_its_own_script_for_an_engine(tmp_path: Path) -> None:
    (tmp_path / "engine.sh").touch()
    step = engine_step(is_contained=False, which=programs("apt-get"), script=tmp_path / "engine.sh")
    assert step == "run `make engine` in Squire's checkout"


@pytest.mark.parametrize(
    ("ahead_s", "status", "text"),
    [(0.4, "ok", "as GitHub's"), (-30, "warn", "30 s behind"), (300, "fail", "300 s ahead"), (None, "ok", "not comp")],
)
def test_a_clock_is_judged_by_how_far_it_is_from_githubs(ahead_s: float | None, status: str, text: str) -> None:
    row = doctor_clock.judge_offset(ahead_s, step="set it")
    assert (row.status, text in row.message) == (status, True)


def test_a_clock_is_measured_by_the_date_of_any_answer_and_set_as_this_machine_can() -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, headers={"date": "Sun, 01 Mar 2026 12:00:00 GMT"})

    transport = httpx.MockTransport(answer)
    ahead = measure_offset("https://github.test", timeout_s=1, now=lambda: NOW.timestamp() + 90.5, transport=transport)
    assert ahead == pytest.approx(90)
    steps = {
        names: clock_step(which=programs(*names), is_container=lambda: False)
        for names in (("timedatectl",), ("chronyc",), ())
    }
    assert steps == {
        ("timedatectl",): "run `timedatectl set-ntp true`",
        ("chronyc",): "run `chronyc makestep`",
        (): "set the clock, and have a time service keep it",
    }
    assert "the machine that runs this container" in clock_step(is_container=lambda: True)


@pytest.mark.parametrize(
    ("facts", "status", "text", "step"),
    [
        ({"port": 0}, "ok", "any free one", ""),
        ({}, "ok", "is free", ""),
        ({"problem": "taken", "is_ours": True, "other": 1}, "ok", "this home's own process", ""),
        (
            {"problem": "taken", "holder": "process 7 (nginx)", "other": 4001},
            "fail",
            "in use, which process 7 (nginx) holds",
            "squire config set webhooks.port 4001",
        ),
        ({"problem": "no such address"}, "fail", "no such address", "webhooks.port"),
    ],
)
def test_a_port_is_free_or_ours_or_another_process_has_it(
    facts: dict[str, Any], status: str, text: str, step: str
) -> None:
    row = doctor_ports.judge_port(PortFacts("port", "webhooks.port", "127.0.0.1", **{"port": 4000, **facts}))
    assert (row.status, text in row.message, step in row.next_step) == (status, True, True)


def sizes(age_days: float, **daily: float) -> HomeSizes:
    return HomeSizes(tuple(PartSize(name, GIB, grown) for name, grown in daily.items()), age_days * 86400)


def test_growth_says_how_long_the_room_does_and_which_part_to_make_smaller() -> None:
    soon = doctor_disk.judge_growth(10 * GIB, sizes(30, ledger=0.1 * GIB, attempts=1.9 * GIB))
    assert soon.status == "warn"
    assert "2.0 GiB a day, for which the disk has room for 5 days" in soon.message
    assert "agent.log_retention_days" in soon.next_step
    assert doctor_disk.judge_growth(100 * GIB, sizes(30, ledger=0.1 * GIB)).message.endswith("room for years")
    assert doctor_disk.judge_growth(GIB, sizes(0.5, ledger=GIB)).message.endswith("is known after a day")
    assert [doctor_disk.judge_room(free, Path("/x"), sizes(1)).status for free in (GIB, GIB // 2, 2**20)] == [
        "ok",
        "warn",
        "fail",
    ]


def test_images_are_removed_only_where_that_makes_room(tmp_path: Path) -> None:
    engine_on_disk_of = doctor_disk.engine_on_disk_of
    assert engine_on_disk_of(tmp_path, {"sh": (tmp_path / "none", tmp_path)}) == "sh"
    assert engine_on_disk_of(tmp_path, {"no-such-program": (tmp_path,)}) is None
    assert engine_on_disk_of(tmp_path, {"sh": (Path("/proc"),)}) is None


def test_variables_with_secrets_are_told_outside_of_containers_alone_and_never_with_their_values() -> None:
    environment = {"GH_TOKEN": TOKEN, "PATH": "/bin"}
    (row,) = doctor_plaintext.judge_environment(["github-token"], environment, is_container=False)
    assert "GH_TOKEN" in row.message
    assert "printenv GH_TOKEN | squire secrets set github-token" in row.next_step
    assert TOKEN not in repr(row)
    assert not list(doctor_plaintext.judge_environment(["github-token"], environment, is_container=True))


def test_a_secret_in_the_settings_file_is_told_by_its_line_and_never_repeated() -> None:
    (row,) = doctor_plaintext.judge_settings_text(Path("config.toml"), f'[agent]\noptions = {{a = "{TOKEN}"}}\n')
    assert "line 2" in row.message
    assert TOKEN not in repr(row)


def test_a_secret_that_was_taken_out_of_the_settings_is_found_in_their_earlier_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text("# clean\n")
    for name in ("config.toml.bak", "settings/previous-1.toml", "run/edit-1/config.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {TOKEN}\n")
    rows = [
        row for row in doctor_plaintext.check_plaintext(CliContext()) if "line 1, has a GitHub token" in row.message
    ]
    assert [row.message.partition(",")[0] for row in rows] == [
        str(tmp_path / name) for name in ("config.toml.bak", "settings/previous-1.toml", "run/edit-1/config.toml")
    ]
    assert all(row.next_step.startswith("remove this copy") for row in rows)


def test_a_password_in_the_ledgers_url_belongs_into_the_drivers_own_file() -> None:
    url = "postgresql://squire:" + "p" * 12 + "@db/squire"
    rows = [
        *doctor_plaintext.judge_settings_text(Path("config.toml"), f'ledger_url = "{url}"\n'),
        *doctor_plaintext.judge_environment([], {"SQUIRE_LEDGER_URL": url}, is_container=False),
    ]
    assert ["PGPASSFILE" in (row.next_step or "") for row in rows] == [True, True]
    assert all(url not in row.message for row in rows)


PUSH = PushFacts("squire/t1-fix-it", "Fix it", "bot@example.test", 2 * 2**20)


def rule(kind: str, **parameters: object) -> dict[str, object]:
    return {"type": kind, "ruleset_source_type": "Repository", "ruleset_id": 7, "parameters": parameters}


@pytest.mark.parametrize(
    ("entry", "refuses"),
    [
        (rule("creation"), True),
        (rule("required_signatures"), True),
        (rule("pull_request", required_approving_review_count=1), True),
        (rule("deletion"), False),
        (rule("non_fast_forward"), None),
        (rule("required_linear_history"), False),
        (rule("merge_queue", max_entries_to_merge=5), True),
        (rule("required_status_checks", required_status_checks=[]), True),
        (rule("required_status_checks", do_not_enforce_on_create=True), None),
        (rule("workflows", workflows=[{"path": ".github/workflows/scan.yml"}]), True),
        (rule("code_scanning", code_scanning_tools=[]), True),
        (rule("file_path_restriction", restricted_file_paths=["infra/**"]), None),
        (rule("file_path_restriction", restricted_file_paths="noise"), None),
        (rule("file_extension_restriction", restricted_file_extensions=["exe"]), None),
        (rule("max_file_path_length", max_file_path_length=100), None),
        (rule("max_file_size", max_file_size=1), None),
        (rule("max_file_size", max_file_size=5), False),
        (rule("branch_name_pattern", operator="starts_with", pattern="squire/"), False),
        (rule("branch_name_pattern", operator="starts_with", pattern="feature/"), True),
        (rule("branch_name_pattern", operator="starts_with", pattern="squire/", negate=True), True),
        (rule("branch_name_pattern", operator="regex", pattern="^squire/.*"), False),
        (rule("commit_author_email_pattern", operator="ends_with", pattern="@acme.test"), True),
        (rule("commit_message_pattern", operator="contains", pattern="ENG-"), None),
        (rule("branch_name_pattern", operator="regex", pattern="(a+)+$"), None),
    ],
)
def test_a_rule_refuses_a_push_or_not_or_nobody_can_tell_before_it(
    *, entry: dict[str, object], refuses: bool | None
) -> None:
    refusing = obstacles(tuple(read_rules([entry, "noise", {"type": 3}])), PUSH)
    row = judge_rules("rules", refusing, {7: "strict"})
    assert row.status == {True: "fail", False: "ok", None: "warn"}[refuses]
    assert refuses is False or "the ruleset strict" in row.message


@pytest.mark.parametrize(
    ("signature", "says"),
    [
        (CommitSigner.GITHUB, "no ruleset"),
        (CommitSigner.NOBODY, "are not signed"),
        (CommitSigner.NOBODY_FOR_TOKENS, "not a token's"),
    ],
)
def test_a_rule_that_asks_for_signatures_refuses_what_nobody_signs(signature: CommitSigner, says: str) -> None:
    refusing = obstacles((BranchRule("required_signatures"),), replace(PUSH, signature=signature))
    row = judge_rules("rules", refusing, {}, branch="bots/squire-t1")
    assert says in row.message
    assert (row.status == "ok") is (signature is CommitSigner.GITHUB)
    assert row.status == "ok" or ("`bots/**`" in row.next_step and "publishing.commits" in row.next_step)


def test_restrictions_are_told_with_what_they_restrict() -> None:
    paths = rule("file_path_restriction", restricted_file_paths=[f"infra/{number}" for number in range(7)])
    size = rule("max_file_size", max_file_size=1)
    row = judge_rules("rules", obstacles(tuple(read_rules([paths, size])), PUSH), {})
    assert "takes no change of infra/0, infra/1, infra/2, infra/3, infra/4 and 2 more" in row.message
    assert "takes no file of more than 1 MB, and the policy lets larger ones pass" in row.message


def test_what_the_base_asks_of_commits_is_told_as_a_warning_about_merges() -> None:
    of_base = (
        BranchRule("required_signatures", ruleset=7),
        BranchRule("pull_request"),
        BranchRule("required_status_checks"),
        BranchRule("commit_author_email_pattern", {"operator": "ends_with", "pattern": "@acme.test"}),
        BranchRule("branch_name_pattern", {"operator": "starts_with", "pattern": "x"}),
    )
    row = judge_rules("rules", (), {7: "signed"}, merging=merge_obstacles(of_base, PUSH), base="main")
    assert row.status == "warn"
    assert row.message == (
        "may refuse merges into main: the ruleset signed asks for signed commits, and Squire's are not signed; "
        "a ruleset asks that the author's address ends with '@acme.test'"
    )
    assert "squashing" in row.next_step


def test_a_branch_protection_is_told_by_its_pattern() -> None:
    rules = (BranchRule("creation", protection="squire/*"), BranchRule("restricted_pushes", protection="squire/*"))
    assert [one.is_sure for one in obstacles(rules, PUSH)] == [True, False]
    row = judge_rules("rules", obstacles(rules, PUSH), {})
    assert (row.status, row.message) == (
        "fail",
        "the branch protection of squire/* forbids to create such branches",
    )


def test_a_regular_expression_of_a_stranger_is_not_run() -> None:
    assert matches_pattern({"operator": "regex", "pattern": "(a|a)*$"}, "a" * 64) is None


def test_the_rules_of_an_organisation_are_told_as_the_owners() -> None:
    (obstacle,) = obstacles((BranchRule("creation", is_repositorys=False),), PUSH)
    assert "a ruleset of the owner's forbids to create" in judge_rules("rules", (obstacle,), {}).message


def test_webhooks_are_read_without_user_and_query_and_only_those_that_lead_to_a_receiver() -> None:
    answer = [
        {"id": 1, "active": True, "config": {"url": f"https://user:{TOKEN}@squire.test/webhooks/github?token={TOKEN}"}},
        {"id": 2, "active": True, "config": {"url": "https://ci.test/hook"}},
        {"id": "three"},
    ]
    (hook,) = read_webhooks(answer)
    assert hook.url == "https://squire.test/webhooks/github"


@pytest.mark.parametrize(
    "url", ["http://[::1/webhooks/github", "https://a\u2100b.test/webhooks/github", "", 3, {"a": 1}]
)
def test_a_malformed_address_of_one_webhook_hides_no_other(url: object) -> None:
    good = {"id": 2, "config": {"url": "https://squire.test/webhooks/github"}, "last_response": {"code": True}}
    (hook,) = read_webhooks([{"id": 1, "config": {"url": url}}, good, {"id": True, "config": good["config"]}])
    assert (hook.id, hook.status) == (2, None)
    assert not leads_to_receiver(str(url))


@pytest.mark.parametrize(
    ("status", "step"),
    [
        (None, "reachable from GitHub"),
        (401, "squire secrets get webhook-secret --reveal"),
        (202, "another receiver answers there"),
        (404, "is not Squire's receiver"),
    ],
)
def test_a_ping_that_does_not_arrive_says_what_is_wrong_by_how_github_saw_it_end(status: int | None, step: str) -> None:
    hook = Webhook(1, HOOK.url, is_active=True, status=status, message="words")
    row = doctor_webhook.judge_ping(PingFacts("acme/shop", hook, None))
    assert (row.status, step in row.next_step) == ("fail", True)


def test_repositories_without_a_webhook_or_with_one_that_is_off_are_named() -> None:
    off = Webhook(1, HOOK.url, is_active=False)
    facts = [
        HookFacts("acme/a", ()),
        HookFacts("acme/b", (off,)),
        HookFacts("acme/c", (HOOK,)),
        HookFacts("acme/d", None),
    ]
    first, second = doctor_webhook.judge_hooks(facts)
    assert "acme/a" in first.message
    assert "switched off in acme/b" in second.message


def test_an_app_is_judged_by_its_last_delivery_and_a_token_without_the_permission_by_the_inbox() -> None:
    answer = [{"delivered_at": "2026-03-01T11:00:00Z", "event": "push", "status_code": 502}, {"status_code": "x"}]
    assert doctor_webhook.judge_app(read_app_deliveries(answer)).status == "fail"
    assert doctor_webhook.judge_app((AppDelivery("2026-03-01T11:00:00Z", "push", 202),)).status == "ok"
    assert doctor_webhook.judge_app(()).status == "warn"
    ages = {1: "ok", 30: "warn"}
    for days, status in ages.items():
        newest = ReceivedDelivery(5, "push", NOW - timedelta(days=days))
        assert doctor_webhook.judge_inbox(newest, NOW).status == status
    assert doctor_webhook.judge_inbox(None, None).status == "warn"


@pytest.mark.parametrize(("public_url", "ids"), [(None, [1]), ("https://squire.test", [1, 2])])
def test_the_old_products_address_is_ours_on_our_host_alone(public_url: str | None, ids: list[int]) -> None:
    urls = ["https://squire.test/webhooks/github", "https://squire.test/webhook", "https://other.test/webhook"]
    answer = [{"id": number, "active": True, "config": {"url": url}} for number, url in enumerate(urls, 1)]
    assert [webhook.id for webhook in read_webhooks(answer, public_url=public_url)] == ids


def test_the_newest_comparisons_of_deliveries_are_one_line_unless_something_is_left() -> None:
    ago = NOW - timedelta(minutes=5)
    well = HookCheck("acme/a", ago, 2, None)
    (row,) = doctor_webhook.judge_checks([well, HookCheck("acme/b", NOW, 0, None)], NOW)
    assert (row.status, row.message) == ("ok", "deliveries were compared with GitHub's 5m ago: none is missing")
    (row,) = doctor_webhook.judge_checks([well, HookCheck("acme/b", NOW, 1, "1 deliveries are not here")], NOW)
    assert (row.status, "acme/b" in row.message, "webhooks repair" in row.next_step) == ("warn", True, True)
    assert list(doctor_webhook.judge_checks([], NOW)) == []


def test_a_passphrase_that_every_user_of_the_machine_can_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "passphrase"
    file.write_text("x")
    file.chmod(0o640)
    assert judge_passphrase_file("file", file, is_container=False).status == "ok"
    file.chmod(0o644)
    row = judge_passphrase_file("file", file, is_container=False)
    assert (row.status, row.next_step) == ("warn", f"chmod 600 {file}")
    assert judge_passphrase_file("file", file, is_container=True).status == "ok"
    assert judge_passphrase_file("descriptor 3", None, is_container=False).status == "ok"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert judge_passphrase_file("file", file, is_container=False).status == "ok"


def test_the_logs_are_named_with_their_bound_and_one_beyond_it_is_a_warning(tmp_path: Path) -> None:
    for name, length in (("daemon.log", 10), ("daemon.log.1", 90), ("receiver.log", 5), ("daemon.log.lock", 7)):
        (tmp_path / name).write_bytes(b"x" * length)
    sizes = doctor_logs.log_sizes(tmp_path)
    assert sizes == {"daemon.log": 10, "daemon.log.1": 90, "receiver.log": 5}
    line = doctor_logs.judge_logs(sizes, LoggingSettings())
    assert (line.status, line.message) == (
        "ok",
        "105 B in 3 files of 2 processes, 5 of at most 10.0 MiB for each process",
    )
    line = doctor_logs.judge_logs({**sizes, "webserver.log": 16 * 2**20}, LoggingSettings())
    assert line.status == "warn"
    assert "webserver.log has 16.0 MiB" in line.message
    assert doctor_logs.judge_logs({}, LoggingSettings()).status == "ok"

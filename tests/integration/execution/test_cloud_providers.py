"""An attempt whose agent's provider is on a cloud's platform, as the settings say it."""

from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.errors import SecretMissingError
from squire_pipelines.execution import gateway_session
from squire_pipelines.execution.ending import ending_of
from squire_pipelines.gateway import container
from squire_pipelines.ledger.tables import model_calls
from squire_pipelines.settings.model import load_settings
from squire_pipelines.trusted_certificates import tls_context
from tests.integration.execution.test_providers import MESSAGE, lease
from tests.integration.planning.test_protocols import ANSWERS
from tests.support.clouds import aws_environment, signature_of
from tests.support.ledgers import REPOSITORY, sqlite_ledger_file
from tests.support.provider import DirectedProvider, plain, serve_upstream


def configure(folder: Path, monkeypatch: pytest.MonkeyPatch, upstream: DirectedProvider) -> str:
    home = folder / "home"
    home.mkdir()
    monkeypatch.setenv("SQUIRE_HOME", str(home))
    monkeypatch.setenv("SQUIRE_AWS_KEY", "k" * 30)  # of no use there, and sent nowhere
    aws_environment(monkeypatch.setenv)
    root = upstream.url.removesuffix("/v1")
    (home / "config.toml").write_text(
        f'repositories = ["{REPOSITORY}"]\n'
        f'[providers.aws]\nprotocol = "anthropic"\nplatform = "bedrock"\nregion = "eu-central-1"\nbase_url = "{root}"\n'
        'aliases = {haiku = "eu.anthropic.haiku-v1:0"}\n'
        '[agent]\nkind = "claude-code"\nprovider = "aws"\nmodel = "eu.anthropic.haiku-v1:0"\n'
        "[gateway]\ncheckpoint_s = 0.05\n"
    )
    sqlite_ledger_file(home / "ledger.sqlite")
    return root


@pytest.mark.slow
def test_an_attempts_calls_are_signed_and_recorded_with_their_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_upstream() as upstream:
        root = configure(tmp_path, monkeypatch, upstream)
        upstream.answer = plain(200, ANSWERS["anthropic"])
        leased = lease(load_settings())
        with gateway_session.open_gateway(leased, leased.settings) as session:
            assert session is not None
            transport = httpx.HTTPTransport(verify=tls_context(), uds=str(session.socket_path))
            with httpx.Client(transport=transport, base_url="http://g", timeout=20) as client:
                assert client.post("/v1/messages", json=MESSAGE).json() == ANSWERS["anthropic"]
    (request,) = upstream.seen
    assert request.path == "/model/eu.anthropic.haiku-v1%3A0/invoke"
    expected = signature_of("POST", root + request.path, request.headers, request.body)
    assert request.headers["authorization"] == expected
    assert "k" * 30 not in str(request.headers)
    with leased.ledger.read() as tx:
        (row,) = tx.execute(select(model_calls.c.provider, model_calls.c.input_tokens)).all()
    assert tuple(row) == ("aws", 100)


def test_an_attempt_without_credentials_waits_for_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_upstream() as upstream:
        configure(tmp_path, monkeypatch, upstream)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        leased = lease(load_settings())
        with gateway_session.open_gateway(leased, leased.settings) as session:
            assert session is not None
            transport = httpx.HTTPTransport(verify=tls_context(), uds=str(session.socket_path))
            with httpx.Client(transport=transport, base_url="http://g", timeout=20) as client:
                assert client.post("/v1/messages", json=MESSAGE).status_code == 400
            ending = session.revise(Ending(cause=Cause.AGENT_ERROR, message="it ended"))
    assert upstream.seen == []
    assert ending.cause is Cause.CONFIGURATION
    assert "aws sso login" in ending.message
    assert "after any other change, run `squire tasks retry`" in ending.message


def test_credentials_that_cannot_be_lent_end_the_attempt_before_its_agent_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_upstream() as upstream:
        configure(tmp_path, monkeypatch, upstream)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setattr(gateway_session, "engine_for", lambda *_: object())
    monkeypatch.setattr(container, "bring_log", lambda *_: None)
    leased = lease(load_settings())
    with pytest.raises(SecretMissingError) as raised, gateway_session.open_gateway(leased, leased.settings):
        pass
    ending = ending_of(raised.value)
    assert (ending.cause, ending.waits_for_user) == (Cause.CONFIGURATION, True)
    assert "The AWS credentials cannot be used" in ending.message
    assert "run `squire tasks retry`" in ending.message

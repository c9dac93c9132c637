"""Which requests for registries may pass, where they go, and how answers lead back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.gateway import registry_routes
from squire_pipelines.gateway.package_manager_env import package_manager_env
from squire_pipelines.gateway.refusals import RefusalError
from squire_pipelines.gateway.registry_routes import Registry
from squire_pipelines.sections.gateway import GatewaySettings, RegistrySettings

REGISTRY = Registry("npm", "https://registry.example.com/root", ("https://files.example.net/",))
REGISTRIES = {"npm": REGISTRY}
GATEWAY_URL = "http://127.0.0.1:8787"


def url_of(path: str, method: str = "GET", query: bytes = b"") -> str:
    return registry_routes.route(method, path.encode("latin-1"), query, REGISTRIES).url


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/egress/npm/left-pad", "https://registry.example.com/root/left-pad"),
        ("/egress/npm/left-pad/", "https://registry.example.com/root/left-pad/"),
        ("/egress/npm/", "https://registry.example.com/root/"),
        ("/egress/npm/@types%2fnode", "https://registry.example.com/root/@types%2fnode"),
        ("/egress/npm/@types%2Fnode/-/node-1.tgz", "https://registry.example.com/root/@types%2fnode/-/node-1.tgz"),
        ("/egress/npm/a%20b", "https://registry.example.com/root/a%20b"),
        ("/egress/npm/a%25b", "https://registry.example.com/root/a%25b"),
        ("/egress/npm/%C3%A9", "https://registry.example.com/root/%C3%A9"),
        ("/egress/npm/~1/p/a.whl", "https://files.example.net/p/a.whl"),
    ],
)
def test_a_plain_path_leads_below_its_base(path: str, url: str) -> None:
    assert url_of(path) == url


@pytest.mark.parametrize(
    ("method", "path", "query", "status", "code"),
    [
        ("POST", "/egress/npm/a", b"", 405, "method"),
        ("PUT", "/egress/npm/a", b"", 405, "method"),
        ("GET", "/egress/npm/a", b"data=secret", 403, "egress"),
        ("GET", "/egress/other/a", b"", 403, "egress"),
        ("GET", "/egress/", b"", 403, "egress"),
        ("GET", "/egress/npm/../x", b"", 403, "egress"),
        ("GET", "/egress/npm/%2e%2e/x", b"", 403, "egress"),
        ("GET", "/egress/npm/a/%2E", b"", 403, "egress"),
        ("GET", "/egress/npm/a%2f..%2fb", b"", 403, "egress"),
        ("GET", "/egress/npm/@a%2f..", b"", 403, "egress"),
        ("GET", "/egress/npm/a%2fb", b"", 403, "egress"),
        ("GET", "/egress/npm//host/x", b"", 403, "egress"),
        ("GET", "/egress/npm/a%5cb", b"", 403, "egress"),
        ("GET", "/egress/npm/a%0d%0aHost:x", b"", 403, "egress"),
        ("GET", "/egress/npm/a%00", b"", 403, "egress"),
        ("GET", "/egress/npm/%ff", b"", 403, "egress"),
        ("GET", "/egress/npm/~2/a", b"", 403, "egress"),
        ("GET", "/egress/npm/~0/a", b"", 403, "egress"),
        ("GET", "/egress/npm/~x/a", b"", 403, "egress"),
        ("GET", "/egress/npm/" + "a" * 1100, b"", 414, "egress"),
    ],
)
def test_what_is_not_a_plain_reading_is_refused(method: str, path: str, query: bytes, status: int, code: str) -> None:
    with pytest.raises(RefusalError) as refused:
        url_of(path, method, query)
    assert (refused.value.status, refused.value.code) == (status, code)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60))
def test_no_path_leaves_its_base(rest: str) -> None:
    try:
        url = url_of(f"/egress/npm/{rest}")
    except RefusalError:
        return
    assert url.startswith(REGISTRY.bases)
    assert not {".", ".."} & set(url.removeprefix("https://").split("/"))
    assert not {"?", "#", "\\", " "} & set(url)


@pytest.mark.parametrize("headers", [[(b"content-length", b"3")], [(b"Transfer-Encoding", b"chunked")]])
def test_a_reading_carries_no_body(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(RefusalError):
        registry_routes.check_no_body(headers)
    registry_routes.check_no_body([(b"content-length", b"0"), (b"accept", b"*/*")])


def test_a_registry_hears_only_what_is_wanted() -> None:
    asked = [(b"Accept", b"application/json"), (b"Cookie", b"x"), (b"Authorization", b"y"), (b"Range", b"bytes=0-9")]
    asked += [(b"User-Agent", b"secret"), (b"If-None-Match", b"secret"), (b"Host", b"evil")]
    assert dict(registry_routes.request_headers(asked, "https://user@h.example.com:8443/x")) == {
        b"host": b"h.example.com:8443",
        b"accept": b"application/json",
        b"accept-encoding": b"identity",
        b"user-agent": b"squire-gateway",
        b"range": b"bytes=0-9",
    }


@pytest.mark.parametrize(
    ("accept", "passed"),
    [
        (b"a" * 400, b"*/*"),
        (b"text/what-the-repository-says", b"*/*"),
        (b"application/json; note=what-the-repository-says", b"*/*"),
        (b"application/json; q=0.123456789", b"*/*"),
        (b"text/html; q=0.1, text/html; q=0.2, text/secret, */*", b"text/html;q=0.1, */*"),
        (
            b"application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01",
            b"application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.1, text/html;q=0.01",
        ),
        (
            b"application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*",
            b"application/vnd.npm.install-v1+json;q=1.0, application/json;q=0.8, */*",
        ),
    ],
)
def test_a_registry_is_asked_for_known_forms_alone(accept: bytes, passed: bytes) -> None:
    assert dict(registry_routes.request_headers([(b"accept", accept)], "https://h/x"))[b"accept"] == passed


@pytest.mark.parametrize("part", [b"bytes=0-", b"bytes=5-9", b"bytes=-16384"])
def test_a_part_of_a_file_is_asked_for_by_its_bytes_alone(part: bytes) -> None:
    assert dict(registry_routes.request_headers([(b"range", part)], "https://h/x"))[b"range"] == part
    for other in (part + b" secret", b"secret=" + part, part + b",1-2", b"bytes=" + b"1" * 40 + b"-"):
        assert b"range" not in dict(registry_routes.request_headers([(b"range", other)], "https://h/x"))


def test_files_of_an_index_are_rewritten_to_lead_through_the_gateway() -> None:
    body = b'{"a": "https://registry.example.com/root/a.tgz", "b": "https:\\/\\/files.example.net\\/b.whl", "c": "https://c/"}'
    assert registry_routes.rewrite_urls(body, REGISTRY, GATEWAY_URL) == (
        b'{"a": "http://127.0.0.1:8787/egress/npm/a.tgz", '
        b'"b": "http:\\/\\/127.0.0.1:8787\\/egress\\/npm\\/~1\\/b.whl", "c": "https://c/"}'
    )


def test_a_redirect_stays_among_the_named_places() -> None:
    target = registry_routes.route("GET", b"/egress/npm/a", b"", REGISTRIES)
    assert target.host == "registry.example.com"
    assert (
        registry_routes.redirected("https://files.example.net/x/a.tgz", target, GATEWAY_URL)
        == f"{GATEWAY_URL}/egress/npm/~1/x/a.tgz"
    )
    assert registry_routes.redirected("/root/b", target, GATEWAY_URL) == f"{GATEWAY_URL}/egress/npm/b"
    for place in ("https://evil.example.org/a", "http://registry.example.com/root/a", "/other", "/root/b?token=1"):
        with pytest.raises(RefusalError, match="not among its places"):
            registry_routes.redirected(place, target, GATEWAY_URL)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.1.2.3", "224.0.0.1",
        "::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1", "fec0::1", "::7f00:1", "255.255.255.255",
    ],
)  # fmt: skip
def test_an_address_of_an_inner_network_is_refused(address: str) -> None:
    with pytest.raises(RefusalError) as refused:
        registry_routes.check_address("registry.example.com", address)
    assert refused.value.code == "address"


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"])
def test_a_public_address_is_fine(address: str) -> None:
    registry_routes.check_address("registry.example.com", address)


def test_package_managers_find_the_registries() -> None:
    settings = GatewaySettings(
        registries={
            "node": RegistrySettings(kind="npm", base_url="https://n.example.com"),
            "wheels": RegistrySettings(kind="pypi", base_url="https://p.example.com", index="root/simple"),
            "raw": RegistrySettings(base_url="https://r.example.com/x/"),
            "shut": RegistrySettings(kind="npm", base_url="https://s.example.com"),
        },
        egress=("node", "wheels", "raw"),
    )
    variables = package_manager_env(settings, GATEWAY_URL)
    assert variables["npm_config_registry"] == f"{GATEWAY_URL}/egress/node/"
    assert variables["PIP_INDEX_URL"] == variables["UV_DEFAULT_INDEX"] == f"{GATEWAY_URL}/egress/wheels/root/simple/"
    assert variables["SQUIRE_EGRESS_RAW"] == f"{GATEWAY_URL}/egress/raw/"
    assert not any("shut" in value for value in variables.values())
    assert package_manager_env(GatewaySettings(), GATEWAY_URL) == {}


@pytest.mark.parametrize(
    "values",
    [
        {"egress": ("absent",)},
        {"registries": {"Upper": {"base_url": "https://x.example.com"}}},
        {"registries": {"a": {"base_url": "ftp://x.example.com"}}},
        {"registries": {"a": {"base_url": "https://user:pw@x.example.com"}}},
        {"registries": {"a": {"base_url": "https://x.example.com?a=b"}}},
    ],
)
def test_settings_that_name_no_registry_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"base URL|egress|registries"):
        GatewaySettings.model_validate(values)


@pytest.mark.parametrize("value", [(), ("git.example.com:443",)])
def test_a_tunnel_in_the_settings_is_refused_with_what_to_use_instead(value: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"unsafe_connect no longer exists.*`registries` and `egress`"):
        GatewaySettings.model_validate({"unsafe_connect": value})

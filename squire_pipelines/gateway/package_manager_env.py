"""What package managers must be told to take the ways out: environment variables by the kind of registry. Pure."""

from squire_pipelines.gateway.registry_routes import EGRESS_PREFIX
from squire_pipelines.gateway.sections import GatewaySettings


def environment(settings: GatewaySettings, here: str) -> dict[str, str]:
    """The variables of an agent that may read the registries in `settings.egress`.

    The first registry of a kind is that of its package managers; each is also told as `SQUIRE_EGRESS_NAME`.

    Args:
        settings: Those of the attempt's repository.
        here: How the agent reaches the gateway: `http://127.0.0.1:PORT`.
    """
    told: dict[str, str] = {}
    for name in settings.egress:
        registry = settings.registries[name]
        url = f"{here}{EGRESS_PREFIX}{name}/"
        told[f"SQUIRE_EGRESS_{name.upper().replace('-', '_')}"] = url
        if registry.kind == "npm":
            index = url + registry.index.strip("/") + ("/" if registry.index.strip("/") else "")
            names = {"npm_config_registry": index, "YARN_NPM_REGISTRY_SERVER": index.rstrip("/")}
            more = {"YARN_UNSAFE_HTTP_WHITELIST": "127.0.0.1", "npm_config_audit": "false", "npm_config_fund": "false"}
            more |= {"npm_config_offline": "false"}  # a cache that is mounted makes it true
        elif registry.kind == "pypi":
            index = url + (registry.index.strip("/") or "simple") + "/"
            names = {"PIP_INDEX_URL": index, "UV_DEFAULT_INDEX": index, "UV_INDEX_URL": index}
            more = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "0", "UV_OFFLINE": "0"}
        else:
            continue
        told = names | more | told
    return told

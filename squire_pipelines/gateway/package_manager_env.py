"""The environment variables by which package managers find the registries that are open to an agent. Pure."""

from squire_pipelines.gateway.registry_routes import EGRESS_PREFIX
from squire_pipelines.sections.gateway import GatewaySettings


def package_manager_env(settings: GatewaySettings, gateway_url: str) -> dict[str, str]:
    """Return the variables of an agent that may read the registries in `settings.egress`.

    Package managers use the first registry of their kind; each one is also named by `SQUIRE_EGRESS_NAME`.

    Args:
        settings: Those of the attempt's repository.
        gateway_url: How the agent reaches the gateway: `http://127.0.0.1:PORT`.
    """
    variables: dict[str, str] = {}
    for name in settings.egress:
        registry = settings.registries[name]
        url = f"{gateway_url}{EGRESS_PREFIX}{name}/"
        variables[f"SQUIRE_EGRESS_{name.upper().replace('-', '_')}"] = url
        path = registry.index.strip("/")
        if registry.kind == "npm":
            index = f"{url}{path}/" if path else url
            added = {
                "npm_config_registry": index,
                "npm_config_audit": "false",
                "npm_config_fund": "false",
                "npm_config_offline": "false",  # a cache that is mounted makes it true
                "YARN_NPM_REGISTRY_SERVER": index.rstrip("/"),
                "YARN_UNSAFE_HTTP_WHITELIST": "127.0.0.1",
            }
        elif registry.kind == "pypi":
            index = f"{url}{path or 'simple'}/"
            added = {"PIP_INDEX_URL": index, "UV_DEFAULT_INDEX": index, "UV_INDEX_URL": index}
            added |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "0", "UV_OFFLINE": "0"}
        else:
            continue
        variables = added | variables
    return variables

"""The rule that what signs deliveries has no other use: whoever gets it to sign with could do the other thing too."""

from collections.abc import Mapping

from squire_pipelines.sections.alerts import AlertSettings
from squire_pipelines.sections.hooks import HookSettings
from squire_pipelines.sections.webhooks import WebhookSettings
from squire_pipelines.settings.keys import SettingValueError
from squire_pipelines.settings.providers import ProviderSettings


def check_signing_secrets(
    webhooks: WebhookSettings,
    hooks: Mapping[str, HookSettings],
    providers: Mapping[str, ProviderSettings],
    alerts: AlertSettings,
) -> None:
    """Raise SettingValueError for the name of a signing secret that is also a provider's key or another's.

    Two senders, or two repositories, may share one.
    """
    uses = {
        provider.secret or f"{name}-key": f"the key of [providers.{name}]"
        for name, provider in providers.items()
        if provider.platform is None
    }
    uses |= dict.fromkeys(alerts.secret_names, "a secret of [alerts]")
    for name, hook in hooks.items():
        for secret in hook.secret_names(name):
            key = ("hooks", name, "secrets") if hook.secrets else ("hooks", name)
            _check(secret, uses, f"[hooks.{name}]", key)
    uses |= {
        secret: f"a secret of [hooks.{name}]" for name, hook in hooks.items() for secret in hook.secret_names(name)
    }
    for repository, secrets in webhooks.secrets.items():
        for secret in secrets:
            _check(secret, uses, f"webhooks.secrets of {repository}", ("webhooks", "secrets", repository))


def _check(secret: str, uses: Mapping[str, str], where: str, key: tuple[str, ...]) -> None:
    if secret in uses:
        raise SettingValueError(f"{where}: {secret} is {uses[secret]} too: name a secret of its own", key=key)

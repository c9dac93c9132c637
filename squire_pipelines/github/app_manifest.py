"""What a GitHub App is made from and what GitHub sends back: its manifest, the addresses, the answers. Pure.

https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest. The flow is
`app_registration`'s, the page on this machine `app_page`'s.
"""

import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from squire_pipelines.errors import ConfigError, GitHubError, GitHubNotFoundError, RefusedError
from squire_pipelines.github.permissions import PermissionNeeds
from squire_pipelines.github.protocol import unreadable_answer
from squire_pipelines.secret_names import SecretName
from squire_pipelines.secrets.secret import Secret

MAX_NAME_CHARS = 34
"""Of an App's name: https://docs.github.com/apps/creating-github-apps/registering-a-github-app."""

MAX_ANSWER_CHARS = 4000
_MIN_BARE_CHARS = 16
_CODE = re.compile(r"[A-Za-z0-9._-]{1,200}")
_SLUG = re.compile(r"[A-Za-z0-9._-]{1,100}")
_NO_LABEL = re.compile(r"[^A-Za-z0-9]+")
_DESCRIPTION = "Keeps repositories in good order: plans tasks, has coding agents do them, and opens pull requests."


@dataclass(frozen=True, slots=True)
class NewApp:
    """What GitHub gave for the code, but for the client secret, which nothing here has a use for."""

    id: int
    slug: str
    page: str
    key: Secret
    webhook_secret: Secret | None


class _Conversion(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    id: int
    slug: str | None = None
    html_url: str | None = None
    pem: str
    webhook_secret: str | None = None


def new_app_url(web: str, organization: str | None, state: str) -> str:
    """Return the address to which a browser sends the manifest."""
    return f"{_settings_of(web, organization)}/apps/new?state={quote(state)}"


def settings_url(web: str, organization: str | None, slug: str, page: str = "") -> str:
    """Return the address of an App's settings, or of one page of them: `permissions`, `advanced`."""
    return f"{_settings_of(web, organization)}/apps/{quote(slug)}" + (f"/{page}" if page else "")


def apps_url(web: str, organization: str | None) -> str:
    """Return the address of the list of all Apps that a person or an organization has."""
    return f"{_settings_of(web, organization)}/apps"


def install_url(app_page: str) -> str:
    """Return the address at which an App is installed, by that of its page."""
    return f"{app_page.rstrip('/')}/installations/new"


def _settings_of(web: str, organization: str | None) -> str:
    return f"{web}/organizations/{quote(organization)}/settings" if organization else f"{web}/settings"


def app_name(name: str | None, owner: str) -> str:
    """Return a name for an App: the given one, else one of Squire and an owner. Raises ConfigError when too long."""
    if name is None:
        return f"squire-{_NO_LABEL.sub('-', owner).strip('-')}"[:MAX_NAME_CHARS].strip("-")
    if not name.strip() or len(name) > MAX_NAME_CHARS:
        raise ConfigError(
            f"an App's name has 1 to {MAX_NAME_CHARS} characters, and {name!r} has {len(name.strip())}",
            hint="name another one with --app-name, or leave the option out",
        )
    return name.strip()


def manifest(
    name: str, homepage: str, redirect_url: str, needs: PermissionNeeds, public_url: str | None
) -> dict[str, Any]:
    """Return the manifest of a private App that asks for what is needed and nothing else.

    Without an address for its webhook it has no `hook_attributes`: GitHub refuses them without a `url`, also with
    `active: false`. Without them it takes no events.

    Args:
        name: Of the App, which people can change before they create it.
        homepage: Of the App: its owner's, as GitHub advises where it has none of its own.
        redirect_url: Where GitHub sends the browser with the code.
        needs: Permissions and events.
        public_url: Where the receiver of webhooks is reached; None for an App without a webhook.
    """
    content: dict[str, Any] = {
        "name": name,
        "url": homepage,
        "description": _DESCRIPTION,
        "redirect_url": redirect_url,
        "public": False,
        "default_permissions": needs.all,
    }
    if public_url is not None:
        content["hook_attributes"] = {"url": f"{public_url.rstrip('/')}/webhooks/github", "active": True}
        content["default_events"] = [*needs.events]
    return content


def check_public(url: str, web: str) -> None:
    """Check that a GitHub may send to an address: it refuses an App with one that it cannot reach. Raises ConfigError.

    A GitHub Enterprise Server reaches private addresses, and one on this machine, such as the demo's, loopback ones.
    """
    host, github = urlsplit(url).hostname or "", urlsplit(web).hostname or ""
    is_hidden = _is_loopback(host) and not _is_loopback(github)
    if github.endswith((".ghe.com", "github.com")):
        is_hidden |= not _is_global(host)
    if is_hidden:
        raise ConfigError(
            f"webhooks.public_url = {url}: {github} cannot reach this address, and refuses an App with it",
            hint="set it to the address by which GitHub reaches the receiver of webhooks; or "
            "`squire config set webhooks.public_url --unset` for an App without a webhook",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_global(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return True  # a name, which may lead anywhere


def code_in(text: str, state: str) -> Secret:
    """Return the code of what a person pastes: the address that the browser was sent to, or the code alone.

    An address has to bear our state: a code that somebody else slips in would make their App ours.

    Raises:
        RefusedError: The address bears another state.
        ConfigError: There is no code in the text.
    """
    text = text.strip()[:MAX_ANSWER_CHARS]
    values = parse_qs(text.partition("?")[2] or text)
    if "code" in values or "state" in values:
        check_state(values.get("state", [""])[0], state)
        text = values.get("code", [""])[0]
    elif len(text) < _MIN_BARE_CHARS:  # a word that somebody typed
        text = ""
    if not _CODE.fullmatch(text):
        raise ConfigError(
            "there is no code in that",
            hint="copy the whole address to which GitHub sent the browser: http://127.0.0.1:…/callback?code=…&state=…",
        )
    return Secret(text, name="code of a new App")


def check_state(candidate: str, state: str) -> None:
    """Compare the state of an answer with ours, in constant time. Raises RefusedError."""
    if not hmac.compare_digest(candidate.encode(), state.encode()):
        raise RefusedError(
            "this answer does not belong to this command: it bears another state",
            hint="begin again with the page that the command names, in the same browser",
        )


def parse_new_app(data: object, request: str, web: str) -> NewApp:
    """Return the App that GitHub made, rebuilt from what we know.

    Its key is shown once: what is odd about its name or its page, as of a server with two names, is replaced by what
    we know, and no reason to lose the key.

    Raises:
        GitHubUnavailableError: There is no key and no id in it. Nothing of the answer is repeated.
    """
    try:
        answer = _Conversion.model_validate(data)
    except ValidationError as error:
        raise unreadable_answer(request) from error
    page = answer.html_url or ""
    names = (answer.slug or "", page.rpartition("/")[2], str(answer.id))
    slug = next(name for name in names if _SLUG.fullmatch(name))
    return NewApp(
        id=answer.id,
        slug=slug,
        page=page if page.startswith(f"{web}/") else f"{web}/apps/{slug}",
        key=Secret(answer.pem, name=SecretName.GITHUB_APP_KEY),
        webhook_secret=Secret(answer.webhook_secret, name=SecretName.WEBHOOK_SECRET) if answer.webhook_secret else None,
    )


def without_a_key(error: GitHubError, apps_page: str) -> GitHubError:
    """Return what a failure means of which GitHub made an App and gave its key to nobody."""
    if isinstance(error, GitHubNotFoundError):
        return GitHubNotFoundError(
            "GitHub does not know this code: it is older than an hour, or was used already",
            hint=f"delete the App that was just made at {apps_page}, and run the command again",
            context=error.context,
        )
    return type(error)(
        f"{error.message}; the new App is there, and Squire has no key of it",
        hint="run the command again within an hour, and paste the code out of the browser's address (what is between "
        f"code= and &); or delete the App at {apps_page}",
        context=error.context,
    )


def explain_permissions(needs: PermissionNeeds) -> Mapping[str, str]:
    """Return what each permission is for, in words for the page on which a person agrees to it."""
    why = {
        "metadata": "seeing the repository, and who may do what in it",
        "contents": "fetching it, and pushing branches squire/…",
        "pull_requests": "reading pull requests; opening and labelling its own",
        "issues": "issues as work"
        + ("; one that says what is wrong in .github/squire.toml" if needs.all.get("issues") == "write" else ""),
        "checks": "which checks failed",
        "statuses": "the same for status checks of the older kind",
        "actions": "logs of failed jobs" + ("; running them again" if needs.all.get("actions") == "write" else ""),
        "workflows": "pushing a change of a workflow that somebody approved of",
    }
    return {name: why[name] for name in needs.all}

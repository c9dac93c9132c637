"""Signs a request with a cloud's credentials."""

from collections.abc import Mapping

from squire_pipelines.gateway.clouds.cloud import AwsKeys, Cloud, Credential, Platform
from squire_pipelines.gateway.clouds.libraries import require

# What AWS's signature covers beside what it sets itself. Others may change on the way: a proxy's, the connection's.
_SIGNED_HEADERS = frozenset({"content-type"})
_AWS_SERVICE = "bedrock"
# Of a token its end is what nobody can guess. More of it would take seconds to prepare a search for.
_HIDDEN_CHARS = 64


def sign(
    cloud: Cloud, credential: Credential, *, method: str, url: str, headers: Mapping[str, str], body: bytes
) -> dict[str, str]:
    """Return the headers of a request with those that show who asks.

    Raises:
        ConfigError: The company's library is not installed.
    """
    if not isinstance(credential, AwsKeys):
        return {**headers, **credential.headers}
    request = require(Platform.BEDROCK, "botocore.awsrequest").AWSRequest(
        method=method,
        url=url,
        headers={name: value for name, value in headers.items() if name.lower() in _SIGNED_HEADERS},
        data=body,
    )
    keys = require(Platform.BEDROCK, "botocore.credentials").Credentials(
        credential.access_key, credential.secret_key, credential.session_token
    )
    require(Platform.BEDROCK, "botocore.auth").SigV4Auth(keys, _AWS_SERVICE, cloud.region).add_auth(request)
    return {**headers, **{name.lower(): str(value) for name, value in request.headers.items()}}


def hidden_parts(credential: Credential) -> tuple[str, ...]:
    """Return what an answer must not repeat: enough of each secret of a credential that the rest is of no use."""
    secrets = (
        (credential.secret_key, credential.session_token or "")
        if isinstance(credential, AwsKeys)
        else tuple(value.rpartition(" ")[2] for name, value in credential.headers.items() if name == "authorization")
    )
    return tuple(secret[-_HIDDEN_CHARS:] for secret in secrets if secret)

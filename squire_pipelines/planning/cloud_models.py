"""The planner's model on a cloud's platform, asked through the companies' own libraries.

They take seconds to import: import this module where it is used.
"""

import asyncio
from typing import Any

import httpx2
from pydantic_ai.models import Model

from squire_pipelines.gateway.clouds.cloud import AwsKeys, Cloud, Credential
from squire_pipelines.gateway.clouds.credentials import CredentialSource
from squire_pipelines.gateway.clouds.libraries import require
from squire_pipelines.gateway.model import Protocol

_PLACE = "/projects/"
_VERTEX_VERSION = "/v1"


async def cloud_model(
    model: str, cloud: Cloud, protocol: Protocol | None, base_url: str, client: httpx2.AsyncClient
) -> Model:
    """Make the model to ask, with credentials that last as long as a conversation.

    Args:
        model: Its name on the platform.
        cloud: Which platform, and who asks.
        protocol: What the model speaks.
        base_url: Where the platform is.
        client: Asks.

    Raises:
        ConfigError: There are no credentials, or a library is missing.
        NotReachableError: What gives credentials does not answer.
    """
    credential = await asyncio.to_thread(CredentialSource(cloud).find)
    root = base_url.partition(_PLACE)[0]
    if protocol is Protocol.GEMINI:
        return _gemini(model, cloud, credential, root, client)
    from pydantic_ai.models.anthropic import AnthropicModel  # noqa: PLC0415 - each library takes a second
    from pydantic_ai.providers.anthropic import AnthropicProvider  # noqa: PLC0415 - likewise

    if isinstance(credential, AwsKeys):
        from anthropic import AsyncAnthropicBedrock  # noqa: PLC0415 - likewise

        require(cloud.platform, "boto3")
        bedrock = AsyncAnthropicBedrock(
            aws_access_key=credential.access_key,
            aws_secret_key=credential.secret_key,
            aws_session_token=credential.session_token,
            aws_region=cloud.region,
            base_url=root,
            http_client=client,
        )
        return AnthropicModel(model, provider=AnthropicProvider(anthropic_client=bedrock))
    from anthropic import AsyncAnthropicVertex  # noqa: PLC0415 - likewise

    vertex = AsyncAnthropicVertex(
        region=cloud.region,
        project_id=cloud.project or "",
        access_token=_token(credential.headers["authorization"]),
        base_url=root,
        http_client=client,
    )
    return AnthropicModel(model, provider=AnthropicProvider(anthropic_client=vertex))


def _gemini(model: str, cloud: Cloud, credential: Credential, root: str, client: httpx2.AsyncClient) -> Model:
    from pydantic_ai.models.google import GoogleModel  # noqa: PLC0415 - likewise
    from pydantic_ai.providers.google_cloud import GoogleCloudProvider  # noqa: PLC0415 - likewise

    if isinstance(credential, AwsKeys):
        raise TypeError("keys of AWS for a model of Google's")
    google: Any = require(cloud.platform, "google.oauth2.credentials")
    provider = GoogleCloudProvider(
        credentials=google.Credentials(token=_token(credential.headers["authorization"])),
        project=cloud.project,
        location=cloud.region,
        base_url=root.removesuffix(_VERTEX_VERSION),  # the library adds its own
        http_client=client,
    )
    return GoogleModel(model, provider=provider)


def _token(authorization: str) -> str:
    return authorization.rpartition(" ")[2]

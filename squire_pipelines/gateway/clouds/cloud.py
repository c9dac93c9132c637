"""Where a model is on a cloud's platform, and the credentials that a gateway may hold for it. No I/O.

Addresses: https://docs.aws.amazon.com/general/latest/gr/bedrock.html,
https://cloud.google.com/vertex-ai/generative-ai/docs/learn/locations
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from squire_pipelines.domain.provider_faults import CredentialWords
from squire_pipelines.gateway.model import Protocol


class Platform(StrEnum):
    """A cloud that serves models under its own signatures."""

    BEDROCK = "bedrock"
    VERTEX = "vertex"


PROTOCOLS: Mapping[Platform, tuple[Protocol, ...]] = {
    Platform.BEDROCK: (Protocol.ANTHROPIC,),
    Platform.VERTEX: (Protocol.ANTHROPIC, Protocol.GEMINI),
}
"""What each platform's models speak, as far as they are served here."""
_PUBLISHERS = {Protocol.ANTHROPIC: "anthropic", Protocol.GEMINI: "google"}
# Of Vertex AI, whose other locations have a host each.
_VERTEX_HOSTS = {
    "global": "aiplatform.googleapis.com",
    "us": "aiplatform.us.rep.googleapis.com",
    "eu": "aiplatform.eu.rep.googleapis.com",
}


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """Keys of AWS, short-lived ones with their end.

    Args:
        access_key: Names the other two.
        secret_key: Signs; it is never sent.
        session_token: Goes with each request that is signed with short-lived keys.
        expires_at: When they end; None where nobody says.
    """

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class GoogleToken:
    """The headers by which Google knows who asks, with the end of the token in them."""

    headers: Mapping[str, str] = field(repr=False)
    expires_at: datetime | None = None


Credential = AwsKeys | GoogleToken


@dataclass(frozen=True, slots=True)
class Cloud:
    """Where a model is on a platform, and who asks there.

    Args:
        platform: Which one.
        region: Of it.
        project: Of Google Cloud.
        profile: Of the AWS configuration; None for what the library finds without one.
        credential: What a gateway in a container holds; None where the company's library finds it.
    """

    platform: Platform
    region: str
    project: str | None = None
    profile: str | None = None
    credential: Credential | None = None

    def base_url(self, protocol: Protocol, endpoint: str | None = None) -> str:
        """Return the URL below which a protocol's models are; `endpoint` stands for the platform's own host."""
        if self.platform is Platform.BEDROCK:
            return (endpoint or f"https://bedrock-runtime.{self.region}.amazonaws.com").rstrip("/")
        host = _VERTEX_HOSTS.get(self.region, f"{self.region}-aiplatform.googleapis.com")
        root = (endpoint or f"https://{host}/v1").rstrip("/")
        place = f"projects/{self.project}/locations/{self.region}"
        return f"{root}/{place}/publishers/{_PUBLISHERS[protocol]}"

    @property
    def words(self) -> CredentialWords:
        """How messages name the credentials, and what to do about them."""
        if self.platform is Platform.BEDROCK:
            option = f" --profile {self.profile}" if self.profile else ""
            return CredentialWords(
                f"the AWS credentials of the profile {self.profile}" if self.profile else "the AWS credentials",
                f"sign in with `aws sso login{option}` or set other credentials, look at them with "
                f"`aws sts get-caller-identity{option}`, and allow them bedrock:InvokeModel and "
                "bedrock:InvokeModelWithResponseStream; `squire doctor` tries them",
            )
        return CredentialWords(
            "Google's application default credentials",
            "sign in with `gcloud auth application-default login` or name a service account's file in "
            f"GOOGLE_APPLICATION_CREDENTIALS, and allow it aiplatform.endpoints.predict in the project {self.project}; "
            "`squire doctor` tries them",
        )

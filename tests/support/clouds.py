"""What a cloud's platform does on the other side: checks a signature of AWS's, writes Bedrock's event stream."""

import base64
import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import time_machine
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from squire_pipelines.gateway.clouds.cloud import AwsKeys

KEYS = AwsKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session-" + "t" * 60)
EVENTS: tuple[dict[str, Any], ...] = (
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": "claude",
            "usage": {"input_tokens": 20, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Grüße\n\ndata: nichts"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 20, "outputTokenCount": 7}},
)


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message of AWS's event stream: https://smithy.io/2.0/aws/amazon-eventstream.html."""
    written = b""
    for name, value in headers.items():
        text = value.encode()
        written += bytes([len(name)]) + name.encode() + b"\x07" + struct.pack("!H", len(text)) + text
    return frame_of(written, payload)


def frame_of(written: bytes, payload: bytes) -> bytes:
    """One message with headers as they are written."""
    prelude = struct.pack("!II", 16 + len(written) + len(payload), len(written))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + written + payload
    return message + struct.pack("!I", zlib.crc32(message))


def chunk(document: object) -> bytes:
    """One event with a piece of the answer, padded as Bedrock does."""
    inner = base64.b64encode(json.dumps(document).encode()).decode()
    payload = json.dumps({"bytes": inner, "p": "abcdefgh"}).encode()
    return frame({":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}, payload)


def exception(kind: str, message: str) -> bytes:
    """One event that ends a stream with an error."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, json.dumps({"message": message}).encode())


def signature_of(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    keys: AwsKeys = KEYS,
    region: str = "eu-central-1",
) -> str:
    """The `Authorization` header that AWS expects of a request that it got, with the time and headers that it names."""
    fields = dict(part.strip().split("=", 1) for part in headers["authorization"].partition(" ")[2].split(","))
    signed = {name: headers[name] for name in fields["SignedHeaders"].split(";")}
    request = AWSRequest(method=method, url=url, headers=signed, data=body)
    signer = SigV4Auth(Credentials(keys.access_key, keys.secret_key, keys.session_token), "bedrock", region)
    date = headers["x-amz-date"]
    moment = f"{date[:4]}-{date[4:6]}-{date[6:8]}T{date[9:11]}:{date[11:13]}:{date[13:15]}Z"
    with time_machine.travel(moment, tick=False):
        signer.add_auth(request)
    return str(request.headers["Authorization"])


def event_stream(parts: Sequence[bytes]) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer in AWS's event stream, cut into pieces where nothing ends."""
    raw = b"".join(parts)

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/vnd.amazon.eventstream")
        handler.end_headers()
        for start in range(0, len(raw), 37):
            handler.wfile.write(raw[start : start + 37])
            handler.wfile.flush()

    return write


def aws_environment(setenv: Callable[[str, str], None], keys: AwsKeys = KEYS) -> None:
    """Set the environment so that AWS's library finds keys there, and nothing of this machine's."""
    setenv("AWS_ACCESS_KEY_ID", keys.access_key)
    setenv("AWS_SECRET_ACCESS_KEY", keys.secret_key)
    setenv("AWS_SESSION_TOKEN", keys.session_token or "")
    setenv("AWS_EC2_METADATA_DISABLED", "true")
    setenv("AWS_CONFIG_FILE", "/nonexistent/config")
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")


def service_account(path: Path, token_url: str) -> None:
    """Write the file of a service account of Google's, whose tokens a server of the test's gives."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    written = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "client_email": "squire@my-project.iam.gserviceaccount.com",
        "private_key_id": "1",
        "private_key": written.decode(),
        "token_uri": token_url,
        "project_id": "my-project",
    }
    path.write_text(json.dumps(account))

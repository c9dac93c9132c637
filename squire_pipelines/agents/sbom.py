"""Copies the bill of materials out of the worker image. Nothing in the image runs for it."""

import io
import json
import tarfile
from pathlib import Path

import docker
import requests
from docker.errors import DockerException, ImageNotFound, NotFound

from squire_pipelines.agents.endings import IMAGE_HINT
from squire_pipelines.errors import EngineError, ImageMissingError, NotFoundError

SBOM = "/usr/share/squire/sbom.cdx.json"
MAX_BYTES = 32 * 2**20


def read_sbom(client: docker.DockerClient, image: str) -> str:
    """Return the bill's text.

    Raises:
        ImageMissingError: The engine has no such image.
        NotFoundError: The image has no bill, or none within its bounds.
        EngineError: The engine does not answer.
    """
    text = read_file(client, image, SBOM)
    json.loads(text)
    return text


def read_file(client: docker.DockerClient, image: str, path: str) -> str:
    """Return the text of one of the image's files, copied out of a container that is never started.

    Raises:
        ImageMissingError: The engine has no such image.
        NotFoundError: The image has no such file, or none within `MAX_BYTES`.
        EngineError: The engine does not answer.
    """
    try:
        container = client.containers.create(image, network_mode="none", labels={"squire.role": "sbom"})
        try:
            chunks, _ = container.get_archive(path)
            data = bytearray()
            for chunk in chunks:
                data += chunk
                if len(data) > MAX_BYTES:
                    raise NotFoundError(f"{path} of {image} is larger than {MAX_BYTES} bytes")
        finally:
            container.remove(force=True)
    except ImageNotFound as error:
        raise ImageMissingError(f"the image {image} is not on the engine", hint=IMAGE_HINT) from error
    except NotFound as error:
        raise NotFoundError(
            f"{image} has no {path}", hint="images that scripts/images.sh worker builds have one"
        ) from error
    except (DockerException, requests.RequestException) as error:
        raise EngineError(f"the engine does not answer: {str(error)[:200]}") from error
    with tarfile.open(fileobj=io.BytesIO(bytes(data))) as archive:
        file = archive.extractfile(Path(path).name)
        return file.read().decode("utf-8") if file is not None else ""

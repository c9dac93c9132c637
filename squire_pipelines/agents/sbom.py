"""Copies the bill of materials out of the worker image. Nothing in the image runs for it."""

import io
import json
import tarfile
from pathlib import Path

import docker
from docker.errors import NotFound

from squire_pipelines.agents import engine
from squire_pipelines.errors import NotFoundError

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
    image_id = engine.image_attributes(client, image)["Id"]
    data = bytearray()
    with engine.engine_errors("the engine does not answer"):
        container = client.containers.create(image_id, network_mode="none", labels={"squire.role": "sbom"})
        try:
            for chunk in container.get_archive(path)[0]:
                data += chunk
                if len(data) > MAX_BYTES:
                    raise NotFoundError(f"{path} of {image} is larger than {MAX_BYTES} bytes")
        except NotFound as error:
            raise NotFoundError(
                f"{image} has no {path}", hint="images that scripts/images.sh worker builds have one"
            ) from error
        finally:
            container.remove(force=True)
    with tarfile.open(fileobj=io.BytesIO(bytes(data))) as archive:
        file = archive.extractfile(Path(path).name)
        return file.read().decode("utf-8") if file is not None else ""

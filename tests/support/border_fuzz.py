"""Fuzzing the border: bundles with broken bytes, and what changes if anything got past."""

import hashlib
import os
import random
from collections import Counter
from pathlib import Path

from squire_pipelines.domain.policy import judge
from squire_pipelines.errors import BundleError
from squire_pipelines.publishing.bundle import BundleProblem
from squire_pipelines.publishing.publish_change import policy_from
from squire_pipelines.sections.tasks import PolicySettings
from tests.support.workshop import Workshop, bounds

BOUNDS = bounds(max_bundle=2**20, max_objects=1000, max_object=2**20, max_unpacked=2**22, git_timeout_s=20)
_TRAILER = 20
_HEADER_PIECES = (b"\n", b"-", b"@x\n", b" ", b"refs/heads/x", b"\0", b"\xff")
POLICY = policy_from(PolicySettings())


def seeds(workshop: Workshop) -> list[bytes]:
    """Sound bundles of several shapes: new files, deltas against the base, several commits, a binary."""
    collected = []
    for number in range(4):
        workshop.agent.write("src/app.py", "def add(a, b):\n" + "    # a remark\n" * number + "    return a + b\n")
        workshop.agent.write(f"data/{number}.bin", bytes(range(256)) * (number + 1))
        workshop.agent.commit(f"Change {number}")
        collected.append(workshop.bundle().read_bytes())
    return collected


def _resealed(data: bytes) -> bytes:
    """With a pack's checksum that is right, so that what lies before it is looked at."""
    start = data.find(b"PACK")
    if start < 0 or len(data) - start < _TRAILER:
        return data
    body = data[start:-_TRAILER]
    return data[:start] + body + hashlib.sha1(body, usedforsecurity=False).digest()


def mutated(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """`data` with one to eight faults: bits, bytes, blocks, numbers, lines of the header, pieces of another bundle."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(out)) if out else 0
        match rng.randrange(9):
            case 0 if out:
                out[at] ^= 1 << rng.randrange(8)
            case 1 if out:
                out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, 10, 32, rng.randrange(256)))
            case 2:
                del out[at : at + rng.choice((1, 4, 20, 200))]
            case 3:
                out[at:at] = rng.randbytes(rng.choice((1, 4, 20, 200)))
            case 4:
                out = out[: at + 1]
            case 5:
                other = rng.choice(others)
                start = rng.randrange(len(other))
                out[at:at] = other[start : start + rng.randrange(1, 400)]
            case 6:
                out[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
            case 7:
                end = max(1, out.find(b"\n\n"))
                spot = rng.randrange(end)
                out[spot : spot + rng.randrange(3)] = rng.choice(_HEADER_PIECES)
            case _:
                out += rng.randbytes(rng.randrange(1, 64))
    return bytes(out)


def _outside(root: Path) -> dict[str, tuple[int, int]]:
    """Every file but those in the scratch folder, with size and time of change."""
    collected = {}
    for folder, folders, files in os.walk(root):
        if folder == os.fspath(root):
            folders[:] = [name for name in folders if name != "scratch"]
        for name in files:
            path = f"{folder}/{name}"
            status = os.lstat(path)
            collected[path] = (status.st_size, status.st_mtime_ns)
    return collected


def fuzz_bundles(workshop: Workshop, *, count: int, seed: int) -> Counter[str]:
    """Verify and judge `count` broken bundles; how often each problem was named. Any other error goes on.

    Asserts that nothing outside of the scratch folder was written, every 100 bundles and at the end.
    """
    rng = random.Random(seed)  # noqa: S311 - no secret
    sound = seeds(workshop)
    bundle = workshop.root / "fuzzed" / "result.bundle"
    bundle.parent.mkdir()
    named: Counter[str] = Counter()
    for number in range(count):
        data = mutated(rng, rng.choice(sound), sound)
        bundle.write_bytes(_resealed(data) if rng.random() < 0.7 else data)
        before = _outside(workshop.root) if number % 100 == 0 else None
        try:
            change = workshop.verify(bundle, BOUNDS)
        except BundleError as error:
            named[str(BundleProblem(error.problem))] += 1
        else:
            named[f"verified, {judge(change.files, POLICY, pieces=change.pieces).decision.name.lower()}"] += 1
        if before is not None:
            assert _outside(workshop.root) == before
    return named

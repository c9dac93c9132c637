"""Faults of the encrypted file of secrets: writers that are killed, and bits that flip."""

import contextlib
import hashlib
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from squire_pipelines.errors import SecretStoreError
from squire_pipelines.secrets.sealed import KdfCost, SealingKey, derive_key, open_sealed, parse
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.secrets.store import SecretStore

CHEAP = KdfCost(memory_kib=8, iterations=1, lanes=1)
WRITERS = 2
_MAX_DELAY_S = 0.05


def passphrase(text: str = "a passphrase of a test") -> Secret:
    """Return a passphrase that no one else has."""
    return Secret(text, name="passphrase", origin="test")


def cheap_store(path: Path, text: str | None = "a passphrase of a test") -> SecretStore:
    """Return a store that is opened in no time: with `text` None there is nothing that gives its passphrase."""
    find = (lambda: passphrase(text)) if text is not None else (lambda: None)
    return SecretStore(path, cost=CHEAP, passphrase=find, pause=lambda _seconds: None)


@dataclass(slots=True)
class KillReport:
    """What the killed writers left: how many were killed and what they had acknowledged, and what does not fit."""

    kills: int = 0
    acknowledged: int = 0
    problems: list[str] = field(default_factory=list)


def kill_writers(path: Path, kills: int, seed: int) -> KillReport:
    """Kill two writers of one file again and again, at moments that `seed` gives, and look at the file each time.

    Each writer raises a number under a name of its own and acknowledges it. After a kill the file must open, hold the
    secret that nobody touches, and each writer's number as acknowledged, or the one after it.
    """
    moments, report = random.Random(seed), KillReport()  # noqa: S311 - moments of kills
    store = cheap_store(path)
    store.create(passphrase())
    store.change(lambda values: values.update(untouched="u" * 2000))
    numbers = [0] * WRITERS
    while report.kills < kills:
        writers = [_start_writer(path, index, numbers[index]) for index in range(WRITERS)]
        time.sleep(moments.random() * _MAX_DELAY_S)
        for pid, _ in moments.sample(writers, len(writers)):
            os.kill(pid, signal.SIGKILL)
        for index, (pid, acknowledgements) in enumerate(writers):
            os.waitpid(pid, 0)
            report.kills += 1
            with os.fdopen(acknowledgements, "rb") as file:
                count = len(file.read())
            report.acknowledged += count
            numbers[index] += count
        _look(path, numbers, report)
    return report


def _look(path: Path, numbers: list[int], report: KillReport) -> None:
    try:
        values = cheap_store(path).read()
    except SecretStoreError as error:
        report.problems.append(f"after {report.kills} kills: {error}")
        return
    if values.get("untouched") != "u" * 2000:
        report.problems.append(f"after {report.kills} kills: the untouched secret is lost")
    for index, number in enumerate(numbers):
        stored = int(values.get(f"writer-{index}", "0"))
        if stored not in {number, number + 1}:  # the last one may be written and not acknowledged
            report.problems.append(f"after {report.kills} kills: {stored} is stored, {number} was acknowledged")
        numbers[index] = stored


def _start_writer(path: Path, index: int, number: int) -> tuple[int, int]:
    """Fork a writer, which lives until it is killed; return its pid and the descriptor of its acknowledgements."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    with contextlib.suppress(BaseException):
        store = cheap_store(path)
        while True:
            number += 1
            store.change(lambda values, text=str(number): values.update({f"writer-{index}": text}))  # type: ignore[misc]
            os.write(writing, b".")
    os._exit(1)


def accepted_flips(data: bytes, key: SealingKey, count: int, seed: int) -> Iterator[str]:
    """Flip single bits of a file and yield those that are accepted: none.

    Each flip is tried as it is, and with a checksum made to fit, as somebody who forges the file would. The parts are
    taken by turns: there are far more bits of the ciphertext than of the header.
    """
    choices = random.Random(seed)  # noqa: S311 - which bits
    head = len(parse(data, "the file").head)
    for number in range(count):
        low, high = (0, head) if number % 2 else (head, len(data))
        position, bit = choices.randrange(low, high), choices.randrange(8)
        flipped = bytearray(data)
        flipped[position] ^= 1 << bit
        body = bytes(flipped[:-32])
        for name, forged in (("flipped", bytes(flipped)), ("forged", body + hashlib.sha256(body).digest())):
            if forged != data and _opens(forged, key):
                yield f"{name}: bit {bit} of byte {position}"


def _opens(data: bytes, key: SealingKey) -> bool:
    """Return whether a file opens, with the key derived anew where the file's own parameters say so."""
    try:
        sealed = parse(data, "the file")
        if (sealed.salt, sealed.cost) != (key.salt, key.cost):
            open_sealed(sealed, derive_key(passphrase().reveal(), sealed.salt, sealed.cost), "the file")
        else:
            open_sealed(sealed, key, "the file")
    except SecretStoreError:
        return False
    return True

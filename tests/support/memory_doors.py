"""A registry of doors in memory, for runners without a ledger."""

from squire_pipelines.domain.door_addresses import DoorAddress, RegisteredDoor


class MemoryDoors:
    """The registry of doors, in memory."""

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}
        self.addresses: dict[str, DoorAddress] = {}
        self.removed: list[str] = []

    def token_sha256(self, unit: str) -> str | None:
        return self.tokens.get(unit)

    def register(self, unit: str, address: DoorAddress, token_sha256: str) -> None:
        self.addresses[unit] = address
        self.tokens[unit] = token_sha256

    def remove(self, unit: str) -> None:
        self.removed.append(unit)
        self.tokens.pop(unit, None)

    def find(self, unit: str) -> RegisteredDoor | None:
        """Return a unit's door as a router looks for it."""
        token = self.tokens.get(unit)
        return None if token is None else RegisteredDoor(unit, self.addresses[unit], token)

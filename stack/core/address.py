"""Transport addresses and datagrams, as values."""

from dataclasses import dataclass
from typing import NamedTuple


class Address(NamedTuple):
    """A transport address: an IP address in its canonical text form, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(slots=True)
class Datagram:
    """One UDP payload with the remote end it came from or goes to, and the local socket it uses.

    Args:
        data: The payload.
        remote: The other end's address, as seen from here.
        local: The local socket's address.
    """

    data: bytes
    remote: Address
    local: Address

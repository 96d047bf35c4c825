"""Transport addresses and datagrams, as values."""

from dataclasses import dataclass
from typing import NamedTuple


class Address(NamedTuple):
    """A transport address: RFC 8445 section 4.

    Args:
        host: An IP address in its canonical text form.
        port: 0..65535.
        transport: `udp`, or `tcp` where a stream carries the datagrams; the same port of both is two addresses.
    """

    host: str
    port: int
    transport: str = "udp"

    def __str__(self) -> str:
        text = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        return text if self.transport == "udp" else f"{text}/{self.transport}"


@dataclass(slots=True)
class Datagram:
    """One UDP payload, or one message of a stream, with the remote end and the local socket it uses.

    Args:
        data: The payload.
        remote: The other end's address, as seen from here.
        local: The local socket's address.
    """

    data: bytes
    remote: Address
    local: Address

"""What the DTLS tests share: certificates, pairs of connections, a link that runs a handshake."""

from functools import cache

from stack import dtls
from stack.testing import Link, seeded_random_bytes

NOW_UNIX = 1_800_000_000.0


@cache
def certificate(seed="a"):
    return dtls.Certificate.generate(seeded_random_bytes(f"certificate-{seed}"), now_unix=NOW_UNIX)


def pair(seed=0, *, config=None, client=None, server=None, fingerprints=True):
    """A client and a server that know each other's fingerprints; client/server are further constructor arguments."""
    ends = []
    for role, own, other, more in (("client", "a", "b", client or {}), ("server", "b", "a", server or {})):
        arguments = {
            "certificate": certificate(own),
            "random_bytes": seeded_random_bytes(f"{role}-{seed}"),
            "config": config or dtls.Config(),
            "remote_fingerprints": [certificate(other).fingerprint()] if fingerprints else None,
        } | more
        ends.append(dtls.Connection(role, **arguments))
    return ends


def started(link):
    for machine in link.machines:
        machine.start(link.now)
    return link


def connect(client, server, **kwargs):
    """Join, start and run until both have completed; return the link."""
    link = started(Link(client, server, **kwargs))
    assert link.run(lambda: client.handshake_complete and server.handshake_complete, seconds=30), link.events
    return link


def connected(seed=0, **kwargs):
    client, server = pair(seed, **kwargs)
    return client, server, connect(client, server)


def shuttle(a, b, now=0.0):
    """Move datagrams between two machines without a link until both are silent."""
    busy = True
    while busy:
        busy = False
        for sender, receiver in ((a, b), (b, a)):
            for data in sender.datagrams_to_send(now):
                receiver.receive_datagram(data, now)
                busy = True


def events_of(machine):
    found = []
    while (event := machine.next_event()) is not None:
        found.append(event)
    return found


def failure_of(machine):
    """The reason in the terminal event of a machine, or None."""
    for event in events_of(machine):
        if isinstance(event, dtls.Closed):
            return None if event.error is None else event.error.reason
    raise AssertionError("not closed")


def records_of(data):
    """Cut a datagram into records."""
    records, offset = [], 0
    while offset < len(data):
        end = offset + 13 + int.from_bytes(data[offset + 11 : offset + 13], "big")
        records.append(data[offset:end])
        offset = end
    return records


def handshake_record(kind, body, *, sequence=0, record=0, version=0xFEFD):
    """An unprotected record with one whole handshake message."""
    size = len(body).to_bytes(3, "big")
    fragment = bytes((kind,)) + size + sequence.to_bytes(2, "big") + bytes(3) + size + body
    return plain_record(22, fragment, record=record, version=version)


def plain_record(kind, content, *, record=0, version=0xFEFD, epoch=0):
    number = (epoch << 48 | record).to_bytes(8, "big")
    return bytes((kind,)) + version.to_bytes(2, "big") + number + len(content).to_bytes(2, "big") + content


def rewrite(kind, change):
    """A tamper function for Link: change(body) -> body of every unprotected message of one kind (None loses it)."""

    def tamper(sender, index, data):
        out = b""
        for record in records_of(data):
            if record[0] == 22 and record[3:5] == bytes(2) and record[13] == kind:
                assert record[14:17] == record[22:25], "fragmented: use a larger MTU"
                body = change(record[25:])
                if body is None:
                    continue
                sequence, number = int.from_bytes(record[17:19], "big"), int.from_bytes(record[5:11], "big")
                version = int.from_bytes(record[1:3], "big")
                out += handshake_record(kind, body, sequence=sequence, record=number, version=version)
            else:
                out += record
        return [out] if out else []

    return tamper


def plaintext_kinds(datagrams):
    """(content type, handshake type or None) of each record."""
    return [
        (r[0], r[13] if r[0] == 22 and r[3:5] == bytes(2) else None) for data in datagrams for r in records_of(data)
    ]

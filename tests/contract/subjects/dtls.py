"""DTLS under the ten laws."""

from stack import dtls
from stack.testing import seeded_random_bytes
from tests.dtls import test_codecs as codecs
from tests.dtls import test_connection as connection
from tests.dtls import test_handshake as handshake
from tests.dtls.support import pair

from ..subject import Rig, Subject


def rig(client, server):
    def start(now):
        client.start(now)
        server.start(now)

    def work(now):
        for machine in (client, server):
            if machine.handshake_complete and machine.state == "connected":
                for n in range(5):
                    machine.send(bytes([n]) * 100 * n, now)

    return Rig(client, server, start, work)


def as_client(seed):
    return rig(*pair(seed))


def as_server(seed):
    made = rig(*pair(seed, config=dtls.Config(mtu=200, cookie_exchange=True)))
    return Rig(made.b, made.a, made.start, made.work)


MISUSE = [
    lambda rig, now: rig.a.start(now),
    lambda rig, now: rig.a.set_initial_timeout(1.0),
    lambda rig, now: rig.a.send(bytes(2**14 + 1), now),
    lambda rig, now: rig.a.set_remote_fingerprints([dtls.Fingerprint("sha-256", "00")], now),
    lambda rig, now: rig.a.export_keying_material("master secret", 48),
    lambda rig, now: dtls.Certificate.generate(seeded_random_bytes(1), now_unix=0.0, days=0),
]

LIMITS = {
    "MAX_HELD_DATAGRAMS": connection.test_limit_held_datagrams,
    "MAX_FUTURE_RECORDS": connection.test_limit_future_records,
    "MAX_PENDING_APPLICATION_DATA": lambda: connection.test_limit_pending_application_data(
        {"max_pending_application_data": 3}
    ),
    "MAX_PENDING_APPLICATION_BYTES": lambda: connection.test_limit_pending_application_data(
        {"max_pending_application_bytes": 3000}
    ),
    "MAX_QUEUED_APPLICATION_DATA": connection.test_limit_queued_application_data,
    "MAX_RECORDS_PER_EPOCH": connection.test_limit_records_per_epoch,
    "MAX_HANDSHAKE_MESSAGE": codecs.test_limit_message_length,
    "MAX_MESSAGES_AHEAD": codecs.test_limit_messages_ahead,
    "MAX_FRAGMENTS_PER_MESSAGE": codecs.test_limit_fragments_per_message,
    "MAX_HELLO_VERIFY_REQUESTS": handshake.test_endless_hello_verify_requests_end_the_handshake,
}

GARBAGE = [b"", b"\x00", b"\xff" * 40, b"\x17\xfe\xfd", b"\x16" + b"\xff" * 60]

SUBJECTS = [
    Subject("dtls-client", as_client, dtls.Closed, LIMITS, garbage=GARBAGE, misuse=MISUSE),
    Subject("dtls-server", as_server, dtls.Closed, LIMITS, garbage=GARBAGE, misuse=MISUSE),
]

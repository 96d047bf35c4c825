import hashlib
import itertools
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from stack import dtls
from stack.core import LocalError, PeerError
from stack.core.crypto import generate_key_exchange, self_signed_certificate
from stack.dtls import client as dtls_client
from stack.dtls import handshake as handshake_module
from stack.dtls.handshake import TRANSITIONS, State
from stack.testing import Conditions, Link, seeded_random_bytes

from .support import (
    NOW_UNIX,
    certificate,
    connect,
    connected,
    events_of,
    failure_of,
    pair,
    plaintext_kinds,
    shuttle,
    started,
)

# A key made of the bytes 0 to 31 and its certificate, valid until 2046.
ED25519 = (
    """-----BEGIN CERTIFICATE-----
MIHJMH2gAwIBAgIBATAFBgMrZXAwDzENMAsGA1UEAwwEdGVzdDAeFw0yNjAxMDEw
MDAwMDBaFw00NjAxMDEwMDAwMDBaMA8xDTALBgNVBAMMBHRlc3QwKjAFBgMrZXAD
IQADoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuDAFBgMrZXADQQBprA6S
HQR5qXUoz0ErO9p4qoErs5yt2DQjDKUfd2d4Ud8rL1w4lU+Cjt7yOkZ0J50KZlPI
RXrRg7OeTMimiooB
-----END CERTIFICATE-----
""",
    """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f
-----END PRIVATE KEY-----
""",
)


def test_four_flights_in_four_datagrams():
    client, server = pair()
    link = connect(client, server, keep_trace=True)
    link.run(seconds=1)
    assert [(sender, plaintext_kinds([data])) for _, sender, data in link.trace] == [
        (0, [(22, 1)]),
        (1, [(22, 2), (22, 11), (22, 12), (22, 13), (22, 14)]),
        (0, [(22, 11), (22, 16), (22, 15), (20, None), (22, None)]),
        (1, [(20, None), (22, None)]),
    ]
    assert link.events[0] == [dtls.HandshakeCompleted(7, 0xC02B, certificate("b").der)]
    assert link.events[1] == [dtls.HandshakeCompleted(7, 0xC02B, certificate("a").der)]
    for machine in (client, server):
        assert machine.next_timer() is None
        assert machine.state == "connected"
        assert (machine.cipher_suite, machine.srtp_profile) == (0xC02B, 7)
        assert not machine.dropped
    assert client.peer_certificate == certificate("b").der
    assert (client.role, server.role) == ("client", "server")
    assert client.record_overhead == 37


def test_exported_keys_agree():
    client, server, _ = connected()
    for arguments in (("EXTRACTOR-dtls_srtp", 60), (b"x", 100, b""), (b"x", 100, b"context")):
        assert client.export_keying_material(*arguments) == server.export_keying_material(*arguments)
    assert client.export_keying_material(b"x", 32) != client.export_keying_material(b"x", 32, b"")
    assert len(client.export_keying_material(b"x", 7)) == 7


def test_wrong_exports_are_refused():
    client, _ = pair()
    with pytest.raises(LocalError, match="not complete"):
        client.export_keying_material(b"x", 10)
    client, _, _ = connected()
    for arguments in ((b"master secret", 48), ("key expansion", 4), (b"x", 0), (b"x", 1, bytes(65536))):
        with pytest.raises(LocalError):
            client.export_keying_material(*arguments)


@pytest.mark.parametrize("suite", [0xC02B, 0xCCA9, 0xC02C])
def test_cipher_suites(suite):
    client, server, link = connected(config=dtls.Config(cipher_suites=(suite,)))
    client.send(b"up", link.now)
    server.send(b"down", link.now)
    link.run(seconds=1)
    assert (client.cipher_suite, server.take_application_data(), client.take_application_data()) == (
        suite,
        [b"up"],
        [b"down"],
    )


@pytest.mark.parametrize("group", [29, 23, 24])
def test_groups(group):
    client, server, _ = connected(server={"config": dtls.Config(groups=(group,))})
    assert client.handshake_complete
    assert client.export_keying_material(b"x", 20) == server.export_keying_material(b"x", 20)


@pytest.mark.parametrize(("group", "shares"), [(29, ["x25519"]), (23, ["x25519", "secp256r1"])])
def test_the_share_that_the_client_makes_in_advance_is_of_the_group_that_it_likes_best(monkeypatch, group, shares):
    made = []
    monkeypatch.setattr(
        dtls_client, "generate_key_exchange", lambda *of: (made.append(of[0]), generate_key_exchange(*of))[1]
    )
    connected(server={"config": dtls.Config(groups=(group,))})
    assert made == shares


def test_the_server_decides_the_order():
    first = dtls.Config(srtp_profiles=(7, 1), cipher_suites=(0xC02B, 0xCCA9))
    second = dtls.Config(srtp_profiles=(1, 7), cipher_suites=(0xCCA9, 0xC02B))
    client, _, _ = connected(client={"config": first}, server={"config": second})
    assert (client.srtp_profile, client.cipher_suite) == (1, 0xCCA9)


@pytest.mark.parametrize(("ours", "theirs"), [((), (7,)), ((7,), ()), ((1,), (7,)), ((), ())])
def test_without_a_common_srtp_profile_data_still_works(ours, theirs):
    client, server, _ = connected(
        client={"config": dtls.Config(srtp_profiles=ours)}, server={"config": dtls.Config(srtp_profiles=theirs)}
    )
    assert client.srtp_profile is server.srtp_profile is None


@cache
def certificate_of(kind):
    if kind == "ed25519":
        return dtls.Certificate.from_pem(*ED25519)
    if kind == "rsa":
        key = rsa.generate_private_key(65537, 2048)
        der = self_signed_certificate(
            key, seeded_random_bytes(1), common_name="r", not_before=NOW_UNIX, not_after=NOW_UNIX + 86400
        )
        return dtls.Certificate(der, key)
    curve = {"p256": "secp256r1", "p384": "secp384r1"}[kind]
    return dtls.Certificate.generate(seeded_random_bytes(kind), now_unix=NOW_UNIX, curve=curve)


KINDS = ["p256", "p384", "ed25519", "rsa"]


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-384", "sha-512"])
@pytest.mark.parametrize("ours", KINDS)
@pytest.mark.parametrize("theirs", KINDS)
def test_kinds_of_certificates(ours, theirs, algorithm):
    a, b = certificate_of(ours), certificate_of(theirs)
    client, server = pair(
        client={"remote_fingerprints": [b.fingerprint(algorithm)], "certificate": a},
        server={"remote_fingerprints": [a.fingerprint(algorithm)], "certificate": b},
    )
    connect(client, server)
    assert (client.peer_certificate, server.peer_certificate) == (b.der, a.der)
    assert (client.cipher_suite == 0xC02F) is (theirs == "rsa")


@pytest.mark.parametrize("pss", [True, False])
@pytest.mark.parametrize("role", ["client", "server"])
def test_both_signatures_of_rsa(pss, role, monkeypatch):
    wanted = 0x0804 if pss else 0x0401
    used = []
    original = handshake_module.Handshake._check_signature

    def check(self, scheme, signature, data):
        used.append(scheme)
        original(self, scheme, signature, data)

    monkeypatch.setattr(handshake_module.Handshake, "_check_signature", check)
    own = certificate_of("rsa")
    client, server = pair(
        **{
            role: {"certificate": own},
            "server" if role == "client" else "client": {"remote_fingerprints": [own.fingerprint()]},
        }
    )
    signer = client if role == "client" else server
    sign = signer._handshake._sign
    signer._handshake._sign = lambda offered, data: sign((wanted,), data)
    connect(client, server)
    assert wanted in used


def test_the_certificate_must_be_on_a_curve_that_the_client_offers():
    own = certificate_of("p384")
    client, server = pair(
        client={"remote_fingerprints": [own.fingerprint()], "config": dtls.Config(groups=(29, 23))},
        server={"certificate": own},
    )
    link = started(Link(client, server))
    link.run(seconds=5)
    error = PeerError("dtls", "no-common-group", "our certificate is on secp384r1")
    assert link.events == ([dtls.Closed(PeerError("dtls", "peer-alert", "handshake_failure"))], [dtls.Closed(error)])


@pytest.mark.parametrize("profile", [0x0001, 0x0002, 0x0007, 0x0008])
def test_srtp_profiles(profile):
    every = dtls.Config(srtp_profiles=(8, 7, 2, 1))
    client, server, _ = connected(client={"config": every}, server={"config": dtls.Config(srtp_profiles=(profile,))})
    assert client.srtp_profile == server.srtp_profile == profile


# -- application protocols -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [
        (("webrtc", "c-webrtc"), ("c-webrtc", "webrtc"), "c-webrtc"),
        (("webrtc",), ("c-webrtc", "webrtc"), "webrtc"),
        (("webrtc",), (), None),
        ((), ("webrtc",), None),
        ((), (), None),
    ],
)
def test_application_protocols(ours, theirs, agreed):
    client, server, _ = connected(
        client={"config": dtls.Config(alpn_protocols=ours)}, server={"config": dtls.Config(alpn_protocols=theirs)}
    )
    assert client.application_protocol == server.application_protocol == agreed


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_names_of_application_protocols_are_checked(name):
    with pytest.raises(LocalError, match="application protocol"):
        dtls.Config(alpn_protocols=(name,))


def test_without_extended_master_secret_if_allowed(monkeypatch):
    monkeypatch.setattr(handshake_module.Handshake, "_extended_master_secret", False, raising=False)
    config = dtls.Config(require_extended_master_secret=False)
    client, server = pair(config=config)
    offer = type(client._handshake)._offer
    monkeypatch.setattr(
        type(client._handshake), "_offer", lambda self: {k: v for k, v in offer(self).items() if k != 23}
    )
    connect(client, server)
    assert client.export_keying_material(b"x", 32) == server.export_keying_material(b"x", 32)


def test_keylog_and_no_secret_in_repr():
    lines = []
    client, server = pair(client={"keylog": lines.append}, server={"keylog": lines.append})
    connect(client, server)
    assert len(lines) == 2
    assert lines[0] == lines[1]
    label, random, secret = lines[0].split()
    assert (label, len(random), len(secret)) == ("CLIENT_RANDOM", 64, 96)
    for thing in (client, server, client._handshake, client._handshake.keys, certificate()):
        assert secret not in repr(thing)


def test_cookie_exchange_costs_a_round_trip():
    client, server = pair(server={"config": dtls.Config(cookie_exchange=True)})
    link = connect(client, server, keep_trace=True)
    kinds = [plaintext_kinds([data])[0] for _, _, data in link.trace]
    assert kinds == [(22, 1), (22, 3), (22, 1), (22, 2), (22, 11), (20, None)]
    assert link.trace[0][2][1:3] == link.trace[1][2][1:3] == b"\xfe\xff"


def test_a_wrong_cookie_is_asked_for_again():
    client, server = pair(server={"config": dtls.Config(cookie_exchange=True)})

    def tamper(sender, index, data):
        if sender == 1 and index == 0:
            data = data[:-1] + bytes((data[-1] ^ 1,))
        return [data]

    connect(client, server, tamper=tamper)


def test_endless_hello_verify_requests_end_the_handshake():
    client, server = pair(server={"config": dtls.Config(cookie_exchange=True)})
    server._handshake._has_cookie = lambda hello: False
    link = started(Link(client, server))
    link.run(seconds=5)
    assert link.events[0] == [
        dtls.Closed(PeerError("dtls", "unexpected-message", "hello_verify_request again")),
    ]


# -- fingerprints ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["sha-256", "SHA-384", "sha-512"])
def test_any_supported_fingerprint_will_do(algorithm):
    good = certificate("b").fingerprint(algorithm)
    fingerprints = [
        dtls.Fingerprint("sha-1", "00:11"),
        dtls.Fingerprint("sha-256", "AA:BB"),
        dtls.Fingerprint(algorithm, good.value.lower()),
    ]
    client, server = pair(client={"remote_fingerprints": fingerprints})
    connect(client, server)
    assert client.handshake_complete


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("algorithm", ["sha-1", "SHA-1", "md5", "md2"])
def test_weak_hashes_vouch_for_nothing_however_right_they_are(role, algorithm):
    der = certificate("b" if role == "client" else "a").der
    digest = hashlib.new("md5" if algorithm.startswith("md") else "sha1", der).hexdigest()
    right = dtls.Fingerprint(algorithm, ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)).upper())
    client, server = pair(**{role: {"remote_fingerprints": [right]}})
    link = started(Link(client, server))
    link.run(seconds=5)
    ours = link.events[0] if role == "client" else link.events[1]
    assert [e.error.reason for e in ours] == ["unsupported-fingerprint"]


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize(
    ("fingerprints", "reason"),
    [
        ([dtls.Fingerprint("sha-256", "AA:BB")], "fingerprint-mismatch"),
        ([dtls.Fingerprint("sha-256", "\udcff\u00e9")], "fingerprint-mismatch"),
        ([dtls.Fingerprint("sha-1", "AA:BB")], "unsupported-fingerprint"),
        ([], "unsupported-fingerprint"),
    ],
)
def test_wrong_fingerprints(role, fingerprints, reason):
    ends = dict(zip(("client", "server"), pair(**{role: {"remote_fingerprints": fingerprints}}), strict=True))
    link = started(Link(ends["client"], ends["server"]))
    link.run(seconds=5)
    own, other = link.events if role == "client" else reversed(link.events)
    assert [e.error.reason for e in own] == [reason]
    assert other == [dtls.Closed(PeerError("dtls", "peer-alert", "bad_certificate"))]
    assert ends[role].state == "failed"


@pytest.mark.parametrize("late", ["client", "server"])
def test_completion_waits_for_fingerprints(late):
    ends = dict(zip(("client", "server"), pair(**{late: {"remote_fingerprints": None}}), strict=True))
    waiting, other = ends[late], ends["server" if late == "client" else "client"]
    link = started(Link(ends["client"], ends["server"]))
    link.run(seconds=4)
    assert waiting._handshake.state == State.WAIT_FINGERPRINTS
    assert not waiting.handshake_complete
    assert other.handshake_complete is (late == "client")
    if late == "client":  # the server may send already; nothing of it is given out yet
        other.send(b"early", link.now)
        link.run(seconds=1)
        assert waiting.take_application_data() == []
    with pytest.raises(LocalError):
        waiting.send(b"x", link.now)
    expected = certificate("b" if late == "client" else "a").fingerprint()
    waiting.set_remote_fingerprints([expected], link.now)
    assert link.run(lambda: waiting.handshake_complete and other.handshake_complete, seconds=10)
    if late == "client":
        assert waiting.take_application_data() == [b"early"]


@pytest.mark.parametrize("late", ["client", "server"])
def test_fingerprints_that_come_late_and_are_wrong(late):
    ends = dict(zip(("client", "server"), pair(**{late: {"remote_fingerprints": None}}), strict=True))
    link = started(Link(ends["client"], ends["server"]))
    link.run(seconds=1)
    ends[late].set_remote_fingerprints([dtls.Fingerprint("sha-256", "00")], link.now)
    assert failure_of(ends[late]) == "fingerprint-mismatch"
    assert not ends[late].handshake_complete
    assert ends[late].take_application_data() == []


def test_waiting_for_fingerprints_is_bounded():
    client, server = pair(server={"remote_fingerprints": None})
    link = started(Link(client, server))
    link.run(seconds=31)
    assert link.events[1] == [dtls.Closed(PeerError("dtls", "timeout", "in WAIT_FINGERPRINTS"))]


def test_fingerprints_cannot_change():
    client, _ = pair()
    client.set_remote_fingerprints([certificate("b").fingerprint()], 0)
    with pytest.raises(LocalError, match="cannot change"):
        client.set_remote_fingerprints([certificate("a").fingerprint()], 0)


# -- what comes before start ---------------------------------------------------------------------------------------


def test_a_hello_that_comes_before_start_is_not_lost():
    client, server = pair(config=dtls.Config(mtu=120))
    client.start(0)
    hello = client.datagrams_to_send(0)
    assert len(hello) > 1
    for data in hello:
        server.receive_datagram(data, 0)
    assert server.datagrams_to_send(0) == []
    server.start(1)
    shuttle(client, server, 1)
    assert client.handshake_complete
    assert server.handshake_complete


# -- states --------------------------------------------------------------------------------------------------------


def test_every_transition_taken_is_in_the_table(monkeypatch):
    taken = set()
    original = handshake_module.Handshake.handle

    def handle(self, message):
        before = self.state
        after = original(self, message)
        taken.add((before, message.type, after))
        return after

    monkeypatch.setattr(handshake_module.Handshake, "handle", handle)
    connected()
    connected(config=dtls.Config(cookie_exchange=True))
    client, server = pair(fingerprints=False)
    started(Link(client, server)).run(seconds=2)
    client, server = pair(client={"remote_fingerprints": None})
    started(Link(client, server)).run(seconds=2)
    table = {
        (state, kind, after) for state, row in TRANSITIONS.items() for kind, targets in row.items() for after in targets
    }
    assert taken <= table
    # The one that these handshakes do not take: a server that asks for no certificate (see test_openssl).
    assert {(before, int(kind)) for before, kind, _ in table - taken} == {(State.WAIT_CERTIFICATE_REQUEST, 14)}


def test_every_state_but_the_last_leads_somewhere():
    assert set(TRANSITIONS) == set(State)
    reachable = set(itertools.chain(*(targets for row in TRANSITIONS.values() for targets in row.values())))
    entered_locally = {State.START, State.WAIT_SERVER_HELLO, State.WAIT_CLIENT_HELLO}
    assert reachable | entered_locally == set(State)


# -- timers --------------------------------------------------------------------------------------------------------


def test_the_timer_doubles_up_to_its_limit_and_gives_up():
    client, server = pair(config=dtls.Config(initial_timeout=0.5, max_timeout=4))
    link = started(Link(client, server, tamper=lambda *_: [], keep_trace=True))
    link.run(seconds=60)
    sent = [time - 1000 for time, sender, _ in link.trace if sender == 0]
    assert sent == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5]
    assert link.events[0] == [dtls.Closed(PeerError("dtls", "timeout", "in WAIT_SERVER_HELLO"))]
    assert link.events[1] == [dtls.Closed(PeerError("dtls", "timeout", "in WAIT_CLIENT_HELLO"))]
    assert client.next_timer() is None


def test_ice_sets_the_first_timeout():
    client, _ = pair()
    client.set_initial_timeout(0.05)
    client.start(10)
    assert client.next_timer() == pytest.approx(10.05)
    with pytest.raises(LocalError, match="begun"):
        client.set_initial_timeout(1)
    client, _ = pair()
    for wrong in (0, -1, float("inf"), float("nan")):
        with pytest.raises(LocalError):
            client.set_initial_timeout(wrong)


def test_retransmission_has_fresh_record_numbers_and_the_same_message():
    client, _ = pair()
    client.start(0)
    first = client.datagrams_to_send(0)[0]
    client.handle_timer(1)
    second = client.datagrams_to_send(1)[0]
    assert first[:5] == second[:5]
    assert (first[5:11], second[5:11]) == (bytes(6), bytes(5) + b"\x01")
    assert first[11:] == second[11:]


def test_unanswered_flights_shrink_their_datagrams():
    client, server = pair()
    link = started(
        Link(client, server, tamper=lambda sender, index, data: [data] if sender == 0 else [], keep_trace=True)
    )
    link.run(seconds=29)
    sizes = [len(data) for _, sender, data in link.trace if sender == 1]
    assert max(sizes[:3]) > 548
    assert max(sizes[-4:]) <= 548


# -- bad networks --------------------------------------------------------------------------------------------------


def drop(*lost):
    """Lose the datagrams with these numbers, counted over both directions."""
    counter = itertools.count()
    return lambda sender, index, data: [] if next(counter) in lost else [data]


@pytest.mark.parametrize("mtu", [1200, 250])
def test_any_one_or_two_datagrams_may_be_lost(mtu):
    config = dtls.Config(mtu=mtu)
    client, server = pair(config=config)
    total = len(connect(client, server, keep_trace=True).trace)
    numbers = range(total + 2)
    for lost in [*((n,) for n in numbers), *itertools.combinations(numbers, 2)]:
        client, server = pair(config=config)
        link = connect(client, server, tamper=drop(*lost))
        assert link.now - 1000 < 8, lost
        link._tamper = None
        client.send(b"x", link.now)
        link.run(seconds=0.5)
        assert server.take_application_data() == [b"x"]


def test_every_datagram_twice():
    client, server = pair()
    link = connect(client, server, tamper=lambda sender, index, data: [data, data], keep_trace=True)
    link.run(seconds=5)
    assert len(link.trace) == 4  # no flight is repeated because of a copy
    assert server.dropped["old-epoch"] or server.dropped["repeated-message"]


@pytest.mark.parametrize("seed", range(12))
def test_reordering_loss_and_duplicates(seed):
    conditions = Conditions(delay=0.02, jitter=0.2, loss=0.15, duplicate=0.2)
    config = dtls.Config(mtu=200, initial_timeout=0.3)
    client, server = pair(seed, config=config)
    connect(client, server, conditions=conditions, seed=seed)
    assert client.export_keying_material(b"x", 20) == server.export_keying_material(b"x", 20)


def test_flights_reversed_record_by_record():
    client, server = pair(config=dtls.Config(mtu=200))
    client.start(0)
    server.start(0)
    for _ in range(4):
        for sender, receiver in ((client, server), (server, client)):
            for data in reversed(sender.datagrams_to_send(0)):
                receiver.receive_datagram(data, 0)
    assert client.handshake_complete
    assert server.handshake_complete
    assert not client.dropped


def test_small_mtu_is_respected():
    for mtu in (100, 200, 576):
        client, server = pair(config=dtls.Config(mtu=mtu))
        link = connect(client, server, keep_trace=True)
        assert max(len(data) for _, _, data in link.trace) <= mtu


def test_the_finisher_repeats_its_last_flight():
    """The server is done; the client, who lost the last flight, repeats its own, and gets it again."""
    client, server = pair()
    link = connect(client, server, tamper=drop(3), keep_trace=True)
    assert [sender for _, sender, _ in link.trace] == [0, 1, 0, 1, 0, 1]
    assert link.events[1] == [dtls.HandshakeCompleted(7, 0xC02B, certificate("a").der)]
    assert len(link.events[0]) == 1


def test_forged_repetitions_cannot_make_it_flood():
    client, server = pair()
    client.start(0)
    server.start(0)
    hello = client.datagrams_to_send(0)[0]
    server.receive_datagram(hello, 0)
    assert len(server.datagrams_to_send(0)) == 1
    sent = 0
    for step in range(1, 101):
        server.receive_datagram(hello, step / 1000)
        sent += len(server.datagrams_to_send(step / 1000))
    assert sent in {3, 4}  # one in 25 ms
    assert server.dropped["repeated-message"] == 100


def test_an_old_certificate_authority_is_not_asked():
    """Validity does not matter, the fingerprint does: a certificate long expired is accepted."""
    old = dtls.Certificate.generate(seeded_random_bytes(9), now_unix=NOW_UNIX - 400 * 86400)
    client, server = pair(server={"certificate": old}, client={"remote_fingerprints": [old.fingerprint()]})
    connect(client, server)
    assert events_of(client) == []
    assert client.peer_certificate == old.der


def test_roles():
    with pytest.raises(LocalError, match="role"):
        dtls.Connection("both", certificate=certificate(), random_bytes=seeded_random_bytes(1))

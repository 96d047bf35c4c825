"""Names of candidates: the wire alone, and resolvers that find each other by multicast over loopback."""

import asyncio
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.aio import mdns
from stack.aio.interfaces import LocalAddress
from stack.aio.mdns import (
    MAX_CACHED,
    MAX_LOOKUPS,
    MAX_LOOKUPS_PER_MINUTE,
    MAX_PUBLISHED,
    MAX_REPLIES_PER_SECOND,
    PORT,
    Resolver,
    is_candidate_name,
)
from stack.aio.mdns_wire import AAAA, ANY, MAX_ENTRIES, MAX_MESSAGE, A, Question, Record, parse, query, response
from stack.core import LocalError, ParseError

pytestmark = pytest.mark.alone

HOST = "127.0.0.1"
LOOPBACK = [LocalAddress(HOST, "lo", is_loopback=True)]
NAME = "1f4712db-ea17-4bcf-a596-105139dfd8bf.local"
OTHER = "2579ef4b-50ae-4bfe-95af-70b3376ecb9c.local"

# -- the wire --------------------------------------------------------------------------------------------------------

# One A record, to be flushed from caches, for 120 s; written by hand from RFC 1035 section 4.1 and RFC 6762 section 18.
ANSWER = bytes.fromhex(
    "000084000000000100000000"
    "2431663437313264622d656131372d346263662d613539362d313035313339646664386266056c6f63616c00"
    "00018001000000780004c0000201"
)


LABELS = bytes.fromhex("2431663437313264622d656131372d346263662d613539362d313035313339646664386266056c6f63616c00")


@pytest.mark.parametrize(("host", "kinds"), [("192.0.2.1", "000140"), ("2001:db8::1", "000400000008")])
def test_an_answer_to_all_says_that_there_is_nothing_else(host, kinds):
    data = response([Record(NAME, host, 120)])
    assert parse(data).records == [Record(NAME, host, 120)]
    value = LABELS + bytes.fromhex(kinds)
    nsec = LABELS + struct.pack("!HHLH", 47, 0x8001, 120, len(value)) + value
    assert data.endswith(nsec)
    assert data[:12] == struct.pack("!6H", 0, 0x8400, 0, 1, 0, 1)
    if host == "192.0.2.1":
        assert data[12 : -len(nsec)] == ANSWER[12:]


def test_who_takes_a_name_back_says_nothing_else():
    assert response([Record(NAME, "192.0.2.1", 0)]) == ANSWER.replace(bytes((0, 0, 0, 120)), bytes(4))


def test_the_answer_of_the_standard():
    message = parse(ANSWER)
    assert message.is_response
    assert message.records == [Record(NAME, "192.0.2.1", 120)]


def test_a_question_asks_for_both_families():
    message = parse(query(NAME))
    assert not message.is_response
    assert message.questions == [Question(NAME, A), Question(NAME, AAAA)]


def test_an_answer_to_somebody_who_does_not_speak_multicast_dns():
    question = Question(NAME, AAAA)
    message = parse(response([Record(NAME, "2001:db8::1", 10)], question, 0x1234))
    assert (message.ident, message.questions) == (0x1234, [question])
    assert message.records == [Record(NAME, "2001:db8::1", 10)]


def test_the_bit_for_unicast_and_capitals():
    data = bytearray(query(NAME.upper()))
    data[-2] |= 0x80
    assert parse(bytes(data)).questions == [Question(NAME, A), Question(NAME, AAAA, unicast=True)]


def test_other_records_and_classes_are_skipped():
    others = b"".join(
        b"\x01x\0" + struct.pack("!HHLH", kind, klass, 60, len(value)) + value
        for kind, klass, value in [(16, 1, b"text"), (1, 3, b"1234"), (1, 1, b"12345"), (28, 1, b"1234"), (33, 1, b"")]
    )
    data = struct.pack("!6H", 0, 0x8400, 0, 1, 2, 3) + others + ANSWER[12:]
    assert parse(data).records == [Record(NAME, "192.0.2.1", 120)]


HEADER = struct.pack("!6H", 0, 0, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (HEADER, "truncated"),
        (HEADER + b"\x03ab", "truncated"),
        (HEADER + b"\xc0", "truncated"),
        (HEADER + b"\0\0\x01\0", "truncated"),
        (ANSWER[:-1], "truncated"),
        (ANSWER[:-5], "truncated"),
        (HEADER + b"\xc0\x0c\0\x01\0\x01", "bad-name"),
        (HEADER + b"\xc0\x20" + bytes(40), "bad-name"),
        (HEADER + b"\x40" + bytes(70), "bad-name"),
        (HEADER + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\x01\0\x01", "bad-name"),
        (struct.pack("!6H", 0, 0x0800, 0, 0, 0, 0), "bad-opcode"),
        (struct.pack("!6H", 0, 0x8403, 0, 0, 0, 0), "bad-opcode"),
        (struct.pack("!6H", 0, 0, 1, MAX_ENTRIES, 0, 0), "too-many-records"),
        (bytes(MAX_MESSAGE + 1), "too-long"),
    ],
)
def test_what_does_not_follow_the_grammar(data, reason):
    with pytest.raises(ParseError) as caught:
        parse(data)
    assert caught.value.reason == reason


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: HEADER + tail))
def test_noise_is_a_parse_error_at_most(data):
    try:
        message = parse(data)
    except ParseError:
        return
    assert len(message.questions) + len(message.records) <= MAX_ENTRIES


addresses = st.ip_addresses().map(str)


@given(st.lists(st.tuples(st.uuids(), addresses, st.integers(0, 2**32 - 1)), max_size=8))
def test_records_survive(entries):
    records = [Record(f"{name}.local", host, ttl) for name, host, ttl in entries]
    parsed = parse(response(records)).records
    canonical = [socket.inet_pton(socket.AF_INET6 if ":" in r.host else socket.AF_INET, r.host) for r in records]
    again = [socket.inet_pton(socket.AF_INET6 if ":" in r.host else socket.AF_INET, r.host) for r in parsed]
    assert again == canonical
    assert [(r.name, r.ttl) for r in parsed] == [(r.name, r.ttl) for r in records]


@pytest.mark.parametrize("name", [NAME, NAME.upper()])
def test_names_of_candidates(name):
    assert is_candidate_name(name)


@pytest.mark.parametrize("name", ["printer.local", NAME[:-6], f"a.{NAME}", f"{NAME}.", f"{NAME}\n", "", f"x{NAME}"])
def test_other_names(name):
    assert not is_candidate_name(name)


# -- resolvers -------------------------------------------------------------------------------------------------------


class Group:
    """A socket that hears and says whatever is multicast over loopback."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            self.sock.setsockopt(socket.SOL_SOCKET, option, 1)
        self.sock.bind((mdns.GROUPS[4], PORT))
        own = socket.inet_aton(HOST)
        self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(mdns.GROUPS[4]) + own)
        self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
        self.sock.setblocking(False)

    def say(self, data):
        self.sock.sendto(data, (mdns.GROUPS[4], PORT))

    async def hear(self, *, responses):
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(5):
            while True:
                message = parse(await loop.sock_recv(self.sock, 9000))
                if message.is_response == responses:
                    return message


@pytest.fixture
def group():
    made = Group()
    yield made
    made.sock.close()


@pytest.fixture
async def make_resolver():
    loop, made = asyncio.get_running_loop(), []

    def make(addresses=None):
        made.append(Resolver(LOOPBACK if addresses is None else addresses))
        return made[-1]

    yield make
    for resolver in made:
        resolver.close()
        resolver.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not [timer for timer in loop._scheduled if not timer.cancelled() and "Resolver" in repr(timer)]


async def test_a_published_name_is_resolved_by_another(make_resolver):
    ours, theirs = make_resolver(), make_resolver()
    name = ours.publish(HOST)
    assert is_candidate_name(name)
    assert name[14] == "4"  # the version of the UUID
    assert await theirs.resolve(name) == [HOST]
    assert await theirs.resolve(name.upper()) == [HOST]
    assert ours.publish(HOST) == name
    assert not ours.dropped


async def test_it_is_answered_at_once_even_right_after_it_was_published(make_resolver):
    ours, theirs = make_resolver(), make_resolver()
    start = asyncio.get_running_loop().time()
    assert await theirs.resolve(ours.publish(HOST)) == [HOST]
    assert asyncio.get_running_loop().time() - start < 0.2


async def test_our_own_name_needs_no_network(make_resolver):
    resolver = make_resolver([])
    assert await resolver.resolve(resolver.publish("2001:db8::1")) == ["2001:db8::1"]


async def test_nobody_answers(make_resolver):
    resolver = make_resolver()
    assert await resolver.resolve(NAME, 0.05) == []
    assert resolver.dropped == {"no-answer": 1}
    assert not resolver._lookups


async def test_several_wait_for_one_lookup_and_the_first_may_give_up(make_resolver, group):
    resolver = make_resolver()
    impatient = asyncio.create_task(resolver.resolve(NAME, 0.01))
    patient = asyncio.create_task(resolver.resolve(NAME))
    await group.hear(responses=False)
    assert await impatient == []
    assert len(resolver._lookups) == 1
    group.say(ANSWER)
    assert await patient == ["192.0.2.1"]


async def test_a_lost_question_is_asked_again(make_resolver, group, monkeypatch):
    monkeypatch.setattr(mdns, "QUERY_TIMES", (0.0, 0.02, 0.04))
    resolver = make_resolver()
    task = asyncio.create_task(resolver.resolve(NAME))
    for _ in range(3):
        assert (await group.hear(responses=False)).questions[0].name == NAME
    group.say(ANSWER)
    assert await task == ["192.0.2.1"]


@pytest.mark.parametrize("name", ["printer.local", "example.org", ""])
async def test_a_name_that_no_candidate_has_is_not_asked_for(make_resolver, name):
    resolver = make_resolver()
    assert await resolver.resolve(name) == []
    assert resolver.dropped == {"bad-name": 1}
    assert not resolver._ports


async def test_a_name_with_two_addresses_is_ignored(make_resolver, group):
    resolver = make_resolver()
    task = asyncio.create_task(resolver.resolve(NAME))
    await group.hear(responses=False)
    group.say(response([Record(NAME, "192.0.2.1", 120), Record(NAME, "192.0.2.2", 120)]))
    assert await task == []
    assert resolver.dropped == {"ambiguous-name": 1}


async def test_what_nobody_asked_for_is_not_remembered(make_resolver, group):
    resolver = make_resolver()
    task = asyncio.create_task(resolver.resolve(NAME))
    await group.hear(responses=False)
    group.say(response([Record(OTHER, "192.0.2.9", 120)]))
    group.say(ANSWER)
    await task
    assert list(resolver._cache) == [NAME]


async def test_an_address_is_forgotten_when_its_time_is_over_or_it_is_taken_back(make_resolver, group):
    resolver = make_resolver()
    for goodbye in (False, True):
        task = asyncio.create_task(resolver.resolve(NAME))
        await group.hear(responses=False)
        group.say(ANSWER)
        assert await task == ["192.0.2.1"]
        assert resolver._known(NAME) == ["192.0.2.1"]
        if goodbye:
            resolver._learn([Record(NAME, "192.0.2.1", 0)])
        else:
            resolver._cache[NAME] = (["192.0.2.1"], 0.0)
        assert resolver._known(NAME) is None


async def test_answers_from_another_port_are_ignored(make_resolver, group):
    resolver = make_resolver()
    task = asyncio.create_task(resolver.resolve(NAME, 0.1))
    await group.hear(responses=False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(HOST))
        stranger.sendto(ANSWER, (mdns.GROUPS[4], PORT))
        assert await task == []
    assert resolver.dropped == {"bad-source-port": 1, "no-answer": 1}


async def test_noise_is_counted(make_resolver, group):
    resolver = make_resolver()
    resolver.publish(HOST)
    group.say(b"noise")
    async with asyncio.timeout(5):
        await asyncio.sleep(0.02)
    assert resolver.dropped == {"truncated": 1}


async def test_announcements_and_goodbye(make_resolver, group, monkeypatch):
    monkeypatch.setattr(mdns, "ANNOUNCE_TIMES", (0.0, 0.02))
    resolver = make_resolver()
    name = resolver.publish(HOST)
    for _ in range(2):
        assert (await group.hear(responses=True)).records == [Record(name, HOST, 120)]
    resolver.close()
    assert (await group.hear(responses=True)).records == [Record(name, HOST, 0)]


@pytest.fixture
async def quiet(make_resolver, monkeypatch):
    """A resolver with a name, which is not announced."""
    monkeypatch.setattr(mdns, "ANNOUNCE_TIMES", ())
    resolver = make_resolver()
    return resolver, resolver.publish(HOST)


async def test_a_program_that_does_not_speak_multicast_dns_gets_an_answer_of_its_own(quiet):
    _, name = quiet
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(HOST))
        sock.sendto(b"\x12\x34" + query(name)[2:], (mdns.GROUPS[4], PORT))
        async with asyncio.timeout(5):
            message = parse(await loop.sock_recv(sock, 9000))
    assert (message.ident, message.questions) == (0x1234, [Question(name, A)])
    assert message.records == [Record(name, HOST, mdns.LEGACY_TTL)]


class Port:
    """Takes what a resolver sends."""

    interface = "lo"

    def __init__(self):
        self.multicasts, self.unicasts, self.may = [], [], True

    def multicast(self, data):
        self.multicasts.append(parse(data))

    def send(self, data, target):
        self.unicasts.append((parse(data), target))

    def may_multicast(self, name, now):
        return self.may


def question(name, kind=A, *, unicast=False, known=()):
    data = bytearray(response(list(known), Question(name, kind)))
    data[2:4] = b"\0\0"
    end = 12 + len(name) + 2
    data[end + 2] = 0x80 if unicast else 0
    return bytes(data)


ASKER = ("192.0.2.7", PORT)


@pytest.mark.parametrize(("kind", "answers"), [(A, 1), (ANY, 1), (AAAA, 1), (16, 0)])
async def test_the_kind_of_a_question(quiet, kind, answers):
    resolver, name = quiet
    port = Port()
    resolver._on_packet(port, question(name, kind), ASKER)
    resolver._on_packet(port, question(OTHER, kind), ASKER)
    assert [message.records for message in port.multicasts] == [[Record(name, HOST, 120)]] * answers


async def test_an_answer_by_unicast_where_it_is_wanted(quiet):
    resolver, name = quiet
    port = Port()
    resolver._on_packet(port, question(name, unicast=True), ASKER)
    assert [(message.records, target) for message, target in port.unicasts] == [([Record(name, HOST, 120)], ASKER)]
    assert not port.multicasts


@pytest.mark.parametrize(("ttl", "answers"), [(120, 0), (60, 0), (59, 1)])
async def test_who_knows_already_gets_no_answer(quiet, ttl, answers):
    resolver, name = quiet
    port = Port()
    resolver._on_packet(port, question(name, known=[Record(name, HOST, ttl)]), ASKER)
    assert len(port.multicasts) == answers


async def test_a_record_is_not_multicast_again_too_soon(quiet):
    resolver, name = quiet
    (port,) = resolver._ports
    assert port.may_multicast(name, 10.0)
    assert not port.may_multicast(name, 10.0 + mdns.MULTICAST_INTERVAL / 2)
    assert port.may_multicast(name, 10.0 + 2 * mdns.MULTICAST_INTERVAL)
    fake = Port()
    fake.may = False
    resolver._on_packet(fake, question(name), ASKER)
    assert not fake.multicasts
    assert resolver.dropped == {"asked-again-too-soon": 1}


async def test_answers_per_second_are_bounded(quiet):
    resolver, name = quiet
    port = Port()
    for _ in range(MAX_REPLIES_PER_SECOND + 3):
        resolver._on_packet(port, question(name), ASKER)
    assert len(port.multicasts) == MAX_REPLIES_PER_SECOND
    assert resolver.dropped == {"too-many-questions": 3}


async def test_an_address_is_told_on_its_own_link_only(make_resolver):
    lan = [LocalAddress("10.0.0.1", "eth0", is_loopback=False), LocalAddress("10.0.1.1", "eth1", is_loopback=False)]
    resolver = make_resolver(lan)  # neither can be joined here
    name = resolver.publish("10.0.0.1")
    told = []
    for interface in ("eth0", "eth1"):
        port = Port()
        port.interface = interface
        resolver._on_packet(port, question(name), ASKER)
        told.append(len(port.multicasts))
    assert told == [1, 0]


async def test_names_are_bounded(make_resolver):
    resolver = make_resolver([])
    for n in range(MAX_PUBLISHED):
        resolver.publish(f"10.0.0.{n}")
    with pytest.raises(LocalError):
        resolver.publish("10.0.1.0")
    resolver.publish("10.0.0.1")


@pytest.mark.parametrize("host", ["", "host", "10.0.0"])
async def test_only_addresses_are_published(make_resolver, host):
    with pytest.raises(LocalError):
        make_resolver().publish(host)


def names(count):
    return [f"{n:08x}-0000-4000-8000-000000000000.local" for n in range(count)]


async def test_lookups_at_once_are_bounded(make_resolver):
    resolver = make_resolver()
    tasks = [asyncio.create_task(resolver.resolve(name, 0.05)) for name in names(MAX_LOOKUPS + 2)]
    await asyncio.gather(*tasks)
    assert resolver.dropped == {"too-many-lookups": 2, "no-answer": MAX_LOOKUPS}


async def test_lookups_per_minute_are_bounded(make_resolver):
    resolver = make_resolver()
    for name in names(MAX_LOOKUPS_PER_MINUTE + 1):
        await resolver.resolve(name, 0)
    assert resolver.dropped["too-many-lookups"] == 1
    resolver._begun[0] -= 61
    await resolver.resolve(NAME, 0)
    assert resolver.dropped["too-many-lookups"] == 1


async def test_remembered_names_are_bounded(make_resolver):
    resolver = make_resolver([])
    loop = asyncio.get_running_loop()
    for name in names(MAX_CACHED + 5):
        resolver._lookups[name] = mdns._Lookup(loop.create_future())
        resolver._learn([Record(name, "192.0.2.1", 120)])
    assert len(resolver._cache) == MAX_CACHED


async def test_without_multicast_there_is_no_waiting(make_resolver):
    resolver = make_resolver([LocalAddress("192.0.2.200", "nothing", is_loopback=False)])
    assert await resolver.resolve(NAME) == []
    assert resolver.dropped["no-multicast"] == 1
    assert is_candidate_name(resolver.publish("192.0.2.200"))  # all the same: nobody is told whether there is multicast


async def test_another_network(make_resolver, group, monkeypatch):
    resolver = make_resolver([LocalAddress("192.0.2.200", "gone", is_loopback=False), *LOOPBACK])
    lost, kept = resolver.publish("192.0.2.200"), resolver.publish(HOST)
    resolver.rejoin(LOOPBACK)
    assert resolver._published == {kept: HOST}
    assert lost not in resolver._announcing
    records = (await group.hear(responses=True)).records
    assert records == [Record(kept, HOST, 120)]
    assert len(resolver._ports) == 1
    resolver.close()
    resolver.rejoin(LOOPBACK)
    assert not resolver._ports


async def test_closing_ends_lookups_and_refuses_new_ones(make_resolver):
    resolver = make_resolver()
    task = asyncio.create_task(resolver.resolve(NAME))
    await asyncio.sleep(0)
    resolver.close()
    assert await task == []
    assert await resolver.resolve(NAME) == []
    assert resolver.dropped == {"closed": 1}
    with pytest.raises(LocalError):
        resolver.publish(HOST)


async def test_taking_back_what_was_never_published_is_harmless(make_resolver):
    resolver = make_resolver()
    resolver.unpublish(NAME)
    assert not resolver._ports

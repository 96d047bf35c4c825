import io
import shutil
import struct
import subprocess

import pytest

from stack import dtls
from stack.core import LocalError
from stack.testing import Link, PcapWriter
from tests.dtls.support import pair, started


def packets_of(data):
    """(time, IP packet) of a capture."""
    assert struct.unpack_from("!LHHlLLL", data) == (0xA1B2C3D4, 2, 4, 0, 0, 0xFFFF, 101)
    offset, found = 24, []
    while offset < len(data):
        seconds, micros, size, original = struct.unpack_from("!LLLL", data, offset)
        assert size == original
        found.append((seconds + micros / 1e6, data[offset + 16 : offset + 16 + size]))
        offset += 16 + size
    return found


def ones_complement_sum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    return (total & 0xFFFF) + (total >> 16)


def test_both_sides_by_side():
    file = io.BytesIO()
    writer = PcapWriter(file, ports=(1111, 2222))
    writer.ciphertext(12.25, 0, b"sealed")
    writer.cleartext(12.25, 0, b"open")
    writer.ciphertext(13.999999, 1, b"")
    packets = packets_of(file.getvalue())
    assert [time for time, _ in packets] == [12.25, 12.25, 13.999999]
    hosts = [(packet[12:16], packet[16:20]) for _, packet in packets]
    one, two = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))
    assert hosts == [(one, two), (bytes((198, 51, 100, 1)), bytes((198, 51, 100, 2))), (two, one)]
    ports = [struct.unpack_from("!HH", packet, 20) for _, packet in packets]
    assert ports == [(1111, 2222), (5000, 5001), (2222, 1111)]
    assert [packet[28:] for _, packet in packets] == [b"sealed", b"open", b""]
    for _, packet in packets:
        assert struct.unpack_from("!H", packet, 2)[0] == len(packet) == 28 + len(packet[28:])
        assert struct.unpack_from("!H", packet, 24)[0] == len(packet) - 20
        assert ones_complement_sum(packet[:20]) == 0xFFFF


def test_what_does_not_fit_is_refused():
    file = io.BytesIO()
    writer = PcapWriter(file)
    writer.ciphertext(0, 0, bytes(65507))
    size = len(file.getvalue())
    with pytest.raises(LocalError, match="65507"):
        writer.cleartext(0, 0, bytes(65508))
    assert len(file.getvalue()) == size


def captured(folder, config):
    """A handshake and two datagrams of data as files: the capture and the key log."""
    lines = []
    client, server = pair(config=config, client={"keylog": lines.append})
    link = started(Link(client, server, keep_trace=True))
    assert link.run(lambda: client.handshake_complete and server.handshake_complete)
    client.send(b"from the client", link.now)
    server.send(b"from the server", link.now)
    link.run(seconds=1)
    capture, keys = folder / "handshake.pcap", folder / "keys.log"
    with capture.open("wb") as file:
        writer = PcapWriter(file)
        writer.write_trace(link.trace)
        writer.cleartext(link.now, 0, b"from the client")  # the other text is nowhere in the clear
    keys.write_text("\n".join(lines) + "\n")
    return capture, keys


def test_a_trace_is_written_in_full(tmp_path):
    capture, keys = captured(tmp_path, dtls.Config())
    packets = packets_of(capture.read_bytes())
    assert len(packets) == 7  # four flights, two datagrams of data, one of cleartext
    assert packets[0][1][28] == 22
    assert keys.read_text().startswith("CLIENT_RANDOM ")


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("tshark") is None, reason="apt-get install tshark")
@pytest.mark.parametrize("suite", [0xC02B, 0xC02C])  # Wireshark 4.0 has ChaCha20-Poly1305 in TLS, but not in DTLS
def test_wireshark_decrypts_it(tmp_path, suite):
    capture, keys = captured(tmp_path, dtls.Config(cipher_suites=(suite,)))
    command = ["tshark", "-o", f"tls.keylog_file:{keys}", "-r", capture, "-V"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Handshake Protocol: Finished" in shown.stdout
    assert "from the server" in shown.stdout

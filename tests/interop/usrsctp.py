"""usrsctp, the SCTP of FreeBSD and of old browsers, as a machine: AF_CONN sockets without threads, in virtual time."""

import ctypes
import ctypes.util
import struct
from collections import deque

from stack.core import Machine

AF_CONN, SOCK_STREAM, IPPROTO_SCTP, SOL_SOCKET, SO_SNDBUF, SO_RCVBUF = 123, 1, 132, 1, 7, 8
INITMSG, NODELAY, FRAGMENT_INTERLEAVE, PARTIAL_DELIVERY_POINT, EVENT, RECVRCVINFO = 3, 4, 0x10, 0x11, 0x1E, 0x1F
ENABLE_STREAM_RESET, RESET_STREAMS, RESET_ASSOCIATION, ADD_STREAMS = 0x900, 0x901, 0x902, 0x903
INTERLEAVING_SUPPORTED = 0x1206  # not in the public header
SENDV_SPA, UNORDERED, EOR, PR_TTL, PR_RTX, RESET_OUTGOING = 4, 0x400, 0x2000, 1, 3, 2
MSG_NOTIFICATION, MSG_EOR = 0x2000, 0x80
ASSOC_CHANGE, STREAM_RESET, STREAM_CHANGE = 1, 9, 0xD
STATES = {1: "up", 2: "lost", 3: "restarted", 4: "closed", 5: "refused"}
PORT = 5000
GRANULARITY = 0.01  # seconds between looks at its timers

_instances = {}
_library = []
_clock = [0.0]
_OUTPUT = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint8, ctypes.c_uint8
)


@_OUTPUT
def _output(address, buffer, length, _tos, _df):
    if address in _instances:
        _instances[address].out.append(ctypes.string_at(buffer, length))
    return 0


def library():
    """Load and start it once."""
    if not _library:
        path = ctypes.util.find_library("usrsctp") or "libusrsctp.so.2"
        lib = ctypes.CDLL(path, use_errno=True)
        for name in ("usrsctp_socket", "usrsctp_accept"):
            getattr(lib, name).restype = ctypes.c_void_p
        lib.usrsctp_recvv.restype = lib.usrsctp_sendv.restype = ctypes.c_ssize_t
        lib.usrsctp_init_nothreads(0, _output, None)
        _library.append(lib)
    return _library[0]


def _sockaddr(address):
    return struct.pack("=H", AF_CONN) + struct.pack("!H", PORT) + bytes(4) + struct.pack("=Q", address)


class Usrsctp(Machine):
    """One end of one association; `events` of a `Link` are tuples.

    Args:
        listen: Whether it waits for us.
        interleaving: Whether it offers I-DATA.
        buffer: Bytes of its socket buffers, and so its receive window.
    """

    def __init__(self, *, listen, interleaving=False, buffer=4 << 20, streams=2048):
        super().__init__()
        self.lib = library()
        self.out = deque()
        self._parts = {}
        self._unsent = deque()
        self._address = max(_instances, default=0x1000) + 1
        _instances[self._address] = self
        self.lib.usrsctp_register_address(ctypes.c_void_p(self._address))
        none = ctypes.c_void_p(None)
        self._socket = self.lib.usrsctp_socket(AF_CONN, SOCK_STREAM, IPPROTO_SCTP, none, none, 0, none)
        assert self._socket
        self._listening = self._socket if listen else None
        self._recv = ctypes.create_string_buffer(1 << 17)
        self._configure(interleaving, buffer, streams)
        name = _sockaddr(self._address)
        self._call("bind", name, len(name))
        if listen:
            self._call("listen", 1)

    def _call(self, name, *args):
        result = getattr(self.lib, f"usrsctp_{name}")(ctypes.c_void_p(self._socket), *args)
        assert result >= 0, (name, ctypes.get_errno())
        return result

    def _option(self, name, value, level=IPPROTO_SCTP):
        self._call("setsockopt", level, name, value, len(value))

    def _configure(self, interleaving, buffer, streams):
        self._call("set_non_blocking", 1)
        for name in (SO_SNDBUF, SO_RCVBUF):
            self._option(name, struct.pack("=i", buffer), SOL_SOCKET)
        self._option(INITMSG, struct.pack("=HHHH", streams, streams, 0, 0))
        for name in (NODELAY, RECVRCVINFO):
            self._option(name, struct.pack("=i", 1))
        self._option(ENABLE_STREAM_RESET, struct.pack("=II", 0, 7))
        for event in (ASSOC_CHANGE, STREAM_RESET, STREAM_CHANGE):
            self._option(EVENT, struct.pack("=IHB", 0, event, 1) + b"\0")
        if interleaving:
            self._option(FRAGMENT_INTERLEAVE, struct.pack("=i", 2))
            self._option(INTERLEAVING_SUPPORTED, struct.pack("=II", 0, 1))

    # Commands

    def associate(self, now):
        """Connect; without blocking it is under way afterwards."""
        name = _sockaddr(self._address)
        self.lib.usrsctp_connect(ctypes.c_void_p(self._socket), name, len(name))

    def send(self, stream, ppid, data, now, *, ordered=True, max_retransmits=None, lifetime=None):
        """Queue a message."""
        policy, value = (PR_RTX, max_retransmits) if max_retransmits is not None else (0, 0)
        if lifetime is not None:
            policy, value = PR_TTL, int(lifetime * 1000)
        flags = EOR | (0 if ordered else UNORDERED)
        network = struct.unpack("=I", struct.pack("!I", ppid))[0]
        info = struct.pack("=I HHIII HxxI Hxx", 3 if policy else 1, stream, flags, network, 0, 0, policy, value, 0)
        self._unsent.append((data, info))

    def reset_streams(self, ids):
        """Reset outgoing streams."""
        value = struct.pack(f"=IHH{len(ids)}H", 0, RESET_OUTGOING, len(ids), *ids)
        self._option(RESET_STREAMS, value)

    def add_streams(self, *, outgoing=0, incoming=0):
        """Ask for more streams."""
        self._option(ADD_STREAMS, struct.pack("=IHH", 0, incoming, outgoing))

    def reset_association(self):
        """Ask for an SSN/TSN reset."""
        self._option(RESET_ASSOCIATION, struct.pack("=I", 0))

    def shutdown(self):
        """End in an orderly way."""
        self._call("shutdown", 2)

    def forget(self):
        """Be gone without a word."""
        _instances.pop(self._address, None)
        self.lib.usrsctp_deregister_address(ctypes.c_void_p(self._address))
        for socket in {self._socket, self._listening} - {None}:
            linger = struct.pack("=ii", 1, 0)
            self.lib.usrsctp_setsockopt(ctypes.c_void_p(socket), SOL_SOCKET, 13, linger, len(linger))
            self.lib.usrsctp_close(ctypes.c_void_p(socket))

    def close(self, now):
        self.forget()

    # The machine

    def receive_datagram(self, datagram, now):
        self._pass_time(now)
        self.lib.usrsctp_conninput(ctypes.c_void_p(self._address), datagram, ctypes.c_size_t(len(datagram)), 0)

    def _pass_time(self, now):
        elapsed = int((now - _clock[0]) * 1000)
        if not 0 <= elapsed < 100_000:  # another test with another clock
            _clock[0], elapsed = now, 0
        if elapsed:
            self.lib.usrsctp_handle_timers(elapsed)
            _clock[0] += elapsed / 1000
        self._now = now

    def handle_timer(self, now):
        self._pass_time(now)

    def next_timer(self):
        return max(self._now, _clock[0]) + GRANULARITY if self._now > 0 else None

    def datagrams_to_send(self, now):
        self._now = max(self._now, now)
        self._accept()
        while self._unsent and self._socket != self._listening:
            data, info = self._unsent[0]
            sent = self.lib.usrsctp_sendv(
                ctypes.c_void_p(self._socket), data, ctypes.c_size_t(len(data)), None, 0, info, len(info), SENDV_SPA, 0
            )
            if sent < 0:
                break
            self._unsent.popleft()
        out = list(self.out)
        self.out.clear()
        return out

    def _accept(self):
        if self._listening == self._socket:
            accepted = self.lib.usrsctp_accept(ctypes.c_void_p(self._socket), None, None)
            if accepted:
                self._socket = accepted
                self._call("set_non_blocking", 1)

    def next_event(self):
        self._accept()
        if self._socket == self._listening:
            return None
        info = ctypes.create_string_buffer(64)
        length, kind, flags = ctypes.c_uint32(64), ctypes.c_uint(0), ctypes.c_int(0)
        while True:
            length.value = 64
            flags.value = 0
            size = self.lib.usrsctp_recvv(
                ctypes.c_void_p(self._socket), self._recv, ctypes.c_size_t(len(self._recv)), None, None,
                info, ctypes.byref(length), ctypes.byref(kind), ctypes.byref(flags),
            )  # fmt: skip
            if size <= 0:
                return None
            data = self._recv.raw[:size]
            if flags.value & MSG_NOTIFICATION:
                event = self._notification(data)
                if event:
                    return event
                continue
            sid, _ssn, rcv_flags, ppid = struct.unpack_from("=HHHxxI", info.raw)
            key = sid, rcv_flags & UNORDERED
            parts = self._parts.setdefault(key, [])
            parts.append(data)
            if flags.value & MSG_EOR:
                del self._parts[key]
                return "message", sid, struct.unpack("!I", struct.pack("=I", ppid))[0], b"".join(parts)

    @staticmethod
    def _notification(data):
        (kind,) = struct.unpack_from("=H", data)
        if kind == ASSOC_CHANGE:
            return (STATES[struct.unpack_from("=H", data, 8)[0]],)
        if kind == STREAM_RESET:
            flags, length = struct.unpack_from("=HI", data, 2)
            ids = struct.unpack_from(f"={(length - 12) // 2}H", data, 12)
            return "reset", flags, ids
        if kind == STREAM_CHANGE:
            return "streams", *struct.unpack_from("=HH", data, 12)
        return None

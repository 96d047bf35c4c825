"""A peer connection and a video track that only remember what was asked of them."""

from types import SimpleNamespace


class FakePeer:
    def __init__(self):
        self.connectionState = "new"
        self.localDescription = None
        self.listeners = {}
        self.candidates = []
        self.tracks = []
        self.closed = False

    def on(self, event, listener):
        self.listeners[event] = listener

    def fire(self, event, *args):
        self.listeners[event](*args)

    def become(self, state):
        self.connectionState = state
        self.fire("connectionstatechange")

    async def setRemoteDescription(self, description):
        if not description.sdp.startswith("v=0"):
            raise ValueError("no version line")

    def addTrack(self, track):
        self.tracks.append(track)

    async def createAnswer(self):
        return SimpleNamespace(type="answer", sdp="v=0 the answer")

    async def setLocalDescription(self, description):
        self.localDescription = description
        self.fire("icecandidate", SimpleNamespace(candidate="candidate:1", sdpMid="0", sdpMLineIndex=0))
        self.fire("icecandidate", None)

    async def addIceCandidate(self, candidate):
        if candidate is not None and "bad" in candidate.candidate:
            raise ValueError("that is no candidate")
        self.candidates.append(candidate)

    async def close(self):
        self.closed = True


class FakeTrack:
    def __init__(self):
        self.stopped = False

    def wants_picture(self):
        return False

    def show(self, view, capture_time):
        raise AssertionError("not wanted")

    def stop(self):
        self.stopped = True


class FakeChannel:
    def __init__(self, label):
        self.label = label
        self.readyState = "open"
        self.bufferedAmount = 0
        self.sent = []
        self.listeners = {}

    def on(self, event, listener):
        self.listeners[event] = listener

    def send(self, data):
        self.sent.append(data)

"""SDP alone: Chromium's offer of audio, video and data, read and written, through this stack and through aiortc."""

import json
import statistics
import time
from pathlib import Path

import aiortc.sdp

from stack.sdp import SessionDescription

from .registry import Metric, benchmark

VECTORS = Path(__file__).parents[2] / "vectors" / "sdp" / "browsers.json"
VARIANTS = 64


def offers():
    """Texts that differ in what differs between offers of one browser, so that no cache knows them whole."""
    descriptions = json.loads(VECTORS.read_text())["descriptions"]
    lines = next(item["sdp"] for item in descriptions if item["name"] == "chromium-offer-avd")
    text = "\r\n".join(lines) + "\r\n"
    values = {line.partition(":")[2].split(" ")[0] for line in lines if line.startswith(("a=ssrc:", "a=candidate:"))}
    ports = {line.split(" ")[1] for line in lines if line.startswith("m=")}
    ufrag = next(line for line in lines if line.startswith("a=ice-ufrag:")).partition(":")[2]
    fingerprint = next(line for line in lines if line.startswith("a=fingerprint:")).partition(" ")[2]
    for number in range(VARIANTS):
        varied = text.replace(ufrag, f"u{number:03}").replace(fingerprint, f"{number:02X}{fingerprint[2:]}")
        for value in sorted(values):
            varied = varied.replace(value, str(int(value) - number))
        for port in sorted(ports):
            varied = varied.replace(port, str(int(port) - number))
        yield varied


def ours(text):
    return SessionDescription.parse(text).serialize()


def theirs(text):
    return str(aiortc.sdp.SessionDescription.parse(text))


@benchmark(Metric("sdp-roundtrip", "descriptions/s", "higher"), peer="aiortc")
def roundtrip(side, quick):
    """Chromium's offer, 177 lines, parsed and written again; each one with other ports, sources and keys."""
    one = ours if side == "ours" else theirs
    texts = list(offers())
    if len(set(texts)) != VARIANTS or one(texts[0]).count("a=rtpmap:") != texts[0].count("a=rtpmap:"):
        raise RuntimeError("not what was meant to be measured")
    rounds = []
    for _ in range(2 if quick else 40):
        begin = time.perf_counter()
        for text in texts:
            one(text)
        rounds.append(time.perf_counter() - begin)
    return {"sdp-roundtrip": VARIANTS / statistics.median(rounds)}

"""What the tests of media over bad links measured when they last ran, as a page.

python -m tests.interop.media_table > docs/interop-media.md
"""

import json
import textwrap
import time

from .media_call import RESULTS

INTRODUCTION = """# Media over bad links

Video and sound with browsers, both ways at once in every call, over a path that the test holds in its hands: a relay of
UDP in user space between the peers, with 20 ms each way, a rate, a queue of 50 kB and losses that change during the
call. `make test ARGS="-k media_links"` runs the tests, `python -m tests.interop.media_table > docs/interop-media.md`
writes this page; these numbers are of {date}, on two cores shared by both browsers' and our encoders.
"""
ASSERTED = {
    "rate up": "Each side finds a path of 3 Mbit/s within 30 s, in its statistics and in packets: we up to 0.9 Mbit/s, "
    "Chromium up to 0.33 (`maxBitrate` is 1.5 on both sides).",
    "step down": "3 Mbit/s become 0.6 (0.3 for what browsers send): what is sent fits "
    "within 3 s, and from then on no picture comes 0.5 s later than the quickest did (Firefox may take 8 s, and be 2 s "
    "late).",
    "step up": "3 Mbit/s again: the rate is back within 30 s, for a browser above that of the narrow path.",
    "5 % loss": "For 4 s each way, at 0.5 Mbit/s: at least 85 % of the pictures come out within 2 s more, by NACK and "
    "RTX, which both sides count; a loaded machine has four tries.",
    "burst": "4 packets of video are lost, and then all retransmissions: the receiver has a key frame within 1 s of "
    "its PLI. We send one before that when packets are asked for that we no longer have, or the rate falls far.",
}
STATISTICS = """## Statistics of both ends

After a call with Chromium without loss (`getStats` of both, exactly the same unless said otherwise):

| what | ours and Chromium's |
| --- | --- |
| `outbound-rtp` and `inbound-rtp` | packets, bytes, bytes of headers, NACK, PLI; pictures sent = received + dropped |
| `remote-inbound-rtp`, `remote-outbound-rtp` | loss, jitter, round trip, time and counts of the last report |
| `data-channel` | messages and bytes, label, protocol, id, state |
| `transport` | `dtlsState`, `iceState`, `tlsVersion`, `dtlsCipher`, `srtpCipher`; bytes and packets within 2 % |
| `candidate-pair` | state, round trip of the path (40 ms) |
| `certificate` | fingerprints |
| names | every member of ours is in Chromium's dictionaries of the same type too |

Two things are counted differently: Chromium counts padding among `retransmittedPacketsReceived` (we among
`packetsSent` only, as it was never sent before), and where we hand out encoded frames there is no `framesDecoded`.
"""


def _item(asserted):
    name, text = asserted
    return textwrap.fill(f"- **{name}**: {text}", 120, subsequent_indent="  ")


def markdown(found):
    """The page."""
    found = dict(sorted(found.items()))
    lines = [INTRODUCTION.format(date=time.strftime("%Y-%m-%d", time.gmtime()))]
    lines += ["What is asserted:", "", *map(_item, ASSERTED.items()), ""]
    lines += ["What was measured:", "", f"| | {' | '.join(found)} |", "| --- " * (len(found) + 1) + "|"]
    for name in ASSERTED:
        for side in ("from us", "from the browser"):
            row = f"{name}, {side}"
            lines.append(f"| {row} | {' | '.join(call.get(row, '-') for call in found.values())} |")
    return "\n".join([*lines, "", STATISTICS])


if __name__ == "__main__":
    print(markdown(json.loads(RESULTS.read_text())), end="")  # noqa: T201  a command

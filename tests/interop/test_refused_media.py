"""Media with partners that have none: they refuse it, and data goes on without."""

import pytest

from .matrix_link import link
from .partner import VP8, partners
from .stacks import inbox
from .video import encoded_track

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module"), partners(lambda kind: not kind.video)]


async def test_media_that_is_refused_leaves_the_data(partner):
    """The section refused is the first, whose transport the bundle was to have."""
    async with link(partner, we_offer=True) as one:
        one.pc.addTrack(encoded_track("ours", VP8))
        channel = await one.start()
        assert "m=video 0 " in one.pc.remoteDescription.sdp
        assert one.pc.getTransceivers() == []  # stopped
        echoes = inbox(channel)
        channel.send("still here")
        assert await echoes.get() == "still here"

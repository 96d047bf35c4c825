"""What WHIP does to descriptions: the offer as it is posted, and the answer after an ICE restart."""

from ..core import ParseError
from ..sdp import Fragment, Msid, SessionDescription


def posted_description(text: str) -> str:
    """Return an offer as WHIP wants it: one stream, and RTCP on no port of its own (draft-ietf-wish-whip section 4.4).

    Args:
        text: The offer; what it promises is unchanged, for the peer connection multiplexes RTCP always.
    """
    session = SessionDescription.parse(text)
    stream = next((msid.stream for media in session.media for msid in media.msids), "-")
    for media in session.media:
        media.msids = [Msid(stream, msid.track) for msid in media.msids]
        media.rtcp_mux_only = media.rtcp_mux
    return session.serialize()


def restarted_description(text: str, fragment: Fragment) -> str:
    """Return a description with the ICE parameters and candidates of a fragment instead of its own.

    Args:
        text: The description that was agreed upon.
        fragment: What an ICE restart brought.

    Raises:
        ParseError: One of them is malformed, or the fragment has no ICE parameters: `no-ice-parameters`.
    """
    session = SessionDescription.parse(text)
    section = fragment.media[0] if fragment.media else None
    ufrag, password = fragment.ice_parameters_of(section) if section else (fragment.ice_ufrag, fragment.ice_pwd)
    if ufrag is None or password is None:
        raise ParseError("no-ice-parameters", "a restart without a=ice-ufrag and a=ice-pwd")
    session.origin.session_version += 1
    session.ice_ufrag = session.ice_pwd = None
    session.end_of_candidates = False
    for media in session.media:
        media.ice_ufrag, media.ice_pwd = ufrag, password
        media.candidates = []
        media.end_of_candidates = False
    if section is not None:
        own = next((media for media in session.media if media.mid == section.mid), session.media[0])
        own.candidates = list(section.candidates)
        own.end_of_candidates = section.end_of_candidates or fragment.end_of_candidates
    return session.serialize()

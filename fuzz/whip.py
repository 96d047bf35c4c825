"""Link header fields as a WHIP server may send them, and what a restart makes of an answer.

Invariants: parsing raises nothing and returns at most `MAX_LINKS` links; what is taken for an ICE server has a URL of
one and no line breaks. A description after a restart can be read again and has the parameters of the fragment; nothing
but `ParseError` is raised.
"""

from stack.aio.links import MAX_LINKS, ice_servers, parse_links
from stack.aio.whip_descriptions import restarted_description
from stack.core import LocalError, ParseError
from stack.sdp import Fragment, SessionDescription


def _text(data):
    return data.decode("utf-8", "surrogateescape")


def check_links(data: bytes) -> None:
    """Reading Link fields, one a line."""
    fields = _text(data).split("\n")
    links = parse_links(fields)
    if len(links) > MAX_LINKS:
        raise ValueError("too many links")
    for link in links:
        if "<" in link.target or ">" in link.target or any(name != name.lower() for name in link.parameters):
            raise ValueError(f"{link} was cut at the wrong place")
    for server in ice_servers(fields):
        if not server.urls.lower().startswith(("stun", "turn")) or not server.urls.isprintable():
            raise ValueError(f"{server.urls!r} is no server")


def check_restart(data: bytes) -> None:
    """An answer and a fragment, with an empty line between them."""
    answer, _, rest = _text(data).partition("\r\n\r\n")
    try:
        fragment = Fragment.parse(rest)
        session = SessionDescription.parse(restarted_description(answer, fragment))
    except (ParseError, LocalError):
        return
    wanted = fragment.ice_parameters_of(fragment.media[0]) if fragment.media else (fragment.ice_ufrag, fragment.ice_pwd)
    if any(session.ice_parameters_of(media) != wanted for media in session.media):
        raise ValueError("not the parameters of the fragment")


TARGETS = {"whip-links": check_links, "whip-restart": check_restart}

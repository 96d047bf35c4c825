"""Header extensions in descriptions, plain (RFC 8285) or encrypted (RFC 6904 section 4).

A `Form` is an extension and whether it is encrypted: what an id stands for.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from .. import sdp

ENCRYPT: Final = "urn:ietf:params:rtp-hdrext:encrypt"


class Form(NamedTuple):
    """What an id stands for.

    Args:
        uri: Of the extension.
        encrypted: Whether its data is.
    """

    uri: str
    encrypted: bool = False


def form_of(ext: sdp.ExtMap) -> Form:
    """Return what a line of a description offers; encrypting what is encrypted is none that anybody wants."""
    return Form(ext.attributes.partition(" ")[0], encrypted=True) if ext.uri == ENCRYPT else Form(ext.uri)


def describe_extensions(forms: Mapping[Form, int]) -> list[sdp.ExtMap]:
    """Turn forms and their ids into lines of a description."""
    return [
        sdp.ExtMap(number, ENCRYPT, attributes=form.uri) if form.encrypted else sdp.ExtMap(number, form.uri)
        for form, number in forms.items()
    ]


def forms_of(uris: Iterable[str], *, encrypt: bool) -> list[Form]:
    """Return what we are willing to use: plain, and encrypted too, which not every peer knows."""
    return [Form(uri, encrypted) for uri in uris for encrypted in ((True, False) if encrypt else (False,))]


def usable(extmaps: Iterable[sdp.ExtMap], wanted: Collection[Form]) -> dict[Form, int]:
    """Return the header extensions that can be used, with their ids; of two forms the encrypted one.

    # Deviates: RFC 6904 section 4.1 would have an answer say `inactive` of the other form. It says nothing of it, which
    means the same (RFC 8285 section 7).

    RFC 8285 section 4.2 reserves 15 in the one-byte form; section 7 offers ids from 4096 on for the answerer to choose
    others. Not implemented: choosing. Those, and whoever comes second with an id, go without.
    """
    found: dict[Form, int] = {}
    for ext in extmaps:
        form = form_of(ext)
        if form in wanted and 1 <= ext.id <= 255 and ext.id != 15 and ext.id not in found.values():
            found[form] = ext.id
    return {
        form: number for form, number in found.items() if form.encrypted or Form(form.uri, encrypted=True) not in found
    }

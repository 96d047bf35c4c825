"""Local errors of the peer connection, under the names that W3C gives them (WebIDL DOMException names)."""

from ..core import LocalError


class InvalidStateError(LocalError):
    """The object is in a state in which this is not possible."""


class InvalidAccessError(LocalError):
    """The description or argument does not fit this connection."""


class InvalidModificationError(LocalError):
    """The description was changed in a way that is not allowed."""


class ArgumentError(LocalError, TypeError):
    """An argument is malformed: W3C's `TypeError`."""


class OperationError(LocalError):
    """The operation failed for a reason of its own."""


class NotSupportedError(LocalError):
    """This is not implemented."""


class SdpSyntaxError(OperationError):
    """A description or candidate does not follow its grammar; the message names the line (W3C `sdp-syntax-error`)."""

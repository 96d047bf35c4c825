"""Why a peer connection is not connected, in plain words: layer by layer, what is done and what it waits for."""

from typing import TYPE_CHECKING, Final

from .. import ice, sctp

if TYPE_CHECKING:
    from .connection import PeerConnection

STEPS: Final = ("signaling", "path", "security", "data", "media")


def explain(connection: "PeerConnection", *, colour: bool = False) -> str:
    """Return a report for people: one line per layer, then all that ICE knows.

    Args:
        connection: Of which.
        colour: Whether to use the escape sequences of terminals.
    """
    lines = [f"peer connection: {connection.connection_state}{_because(connection)}"]
    texts = (_signaling(connection), _path(connection), _security(connection), _data(connection), _media(connection))
    lines += [f"  {step}: {text}" for step, text in zip(STEPS, texts, strict=True) if text]
    dropped = connection.dropped
    if dropped:
        lines.append("  dropped: " + ", ".join(f"{reason} {count}" for reason, count in dropped.most_common(12)))
    return "\n".join([*lines, ice.explain(connection.transport.ice, colour=colour)])


def _because(connection: "PeerConnection") -> str:
    error = connection.error
    return "" if error is None else f", because of {error.layer}: {error}"


def _signaling(connection: "PeerConnection") -> str:
    session = connection.session
    state = connection.signaling_state
    if state == "closed":
        return "closed"
    if state == "have-local-offer":
        return "our offer is set and no answer: send it to the peer, and give its answer to setRemoteDescription"
    if state == "have-remote-offer":
        return "the peer's offer is set, and no answer of ours: call setLocalDescription and send what it sets"
    if state.endswith("pranswer"):
        return "there is a provisional answer; the final one is missing"
    if session.current_local is None:
        if not session.transceivers and not session.wants_data:
            return "nothing to negotiate: add a track or create a data channel first, or take an offer of the peer's"
        return "no offer was made: call setLocalDescription and send the offer"
    live = [section for section in session.sections if not section.rejected]
    kinds = ", ".join(section.kind for section in live) or "nothing"
    refused = len(session.sections) - len(live)
    text = f"agreed on {kinds}" + (f"; {refused} rejected" if refused else "")
    return text + ("; something is to be negotiated again" if connection.needs_negotiation else "")


def _path(connection: "PeerConnection") -> str:
    agent = connection.transport.ice
    if connection.ice_gathering_state == "new":
        return "nothing was gathered: setLocalDescription begins it"
    pair = agent.selected_pair
    if pair is not None:
        rtt = "" if pair.rtt is None else f", round trip {pair.rtt * 1000:.0f} ms"
        return f"{pair.local_candidate.type} {pair.local} to {pair.remote_candidate.type} {pair.remote}{rtt}"
    if agent.remote_parameters is None:
        return "the peer's description has not come"
    found = ice.hints(agent.statistics())
    if found:
        return f"none: {found[0].text}: {found[0].advice}"
    return f"none yet, ICE is {agent.state}"


def _security(connection: "PeerConnection") -> str:
    transport = connection.transport
    match transport.dtls_state:
        case "new" if transport.ice.selected_pair is None:
            return "DTLS waits for a path"
        case "new" | "connecting":
            role = connection.session.dtls_role or "unknown"
            return f"DTLS handshake under way, we are the {role}: if this lasts, the path loses packets of full size"
        case "connected":
            return "DTLS is connected, the peer has the certificate that its description names"
        case "failed":
            return f"DTLS failed{_because(connection)}"
        case state:
            return f"DTLS is {state}"


def _data(connection: "PeerConnection") -> str:
    association = connection.transport.sctp
    if not connection.session.wants_data and association is None:
        return ""
    if association is None:
        return "no data section was agreed on" if connection.session.current_local else "not negotiated yet"
    if association.state is not sctp.State.ESTABLISHED:
        return f"SCTP is {association.state.name.lower().replace('_', '-')}"
    states = [channel.state for channel in connection.transport.channels.channels]
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "none"
    return (
        f"SCTP is established, round trip {association.srtt * 1000:.0f} ms; channels: {counted}"
        if (association.srtt is not None)
        else f"SCTP is established; channels: {counted}"
    )


def _media(connection: "PeerConnection") -> str:
    parts = []
    for transceiver in connection.transceivers:
        text = (
            f"{transceiver.kind} {transceiver.mid or 'not negotiated'} {transceiver.current_direction or ''}".rstrip()
        )
        if transceiver.sender is not None:
            text += f", {transceiver.sender.stats.packets_sent} packets sent"
            if not transceiver.sender.stats.packets_sent:
                text += " (no frame was given to it)"
        if transceiver.receiver is not None:
            text += f", {transceiver.receiver.stats.packets_received} received"
            if not transceiver.receiver.stats.packets_received:
                text += " (the peer sends nothing, or it does not arrive)"
        parts.append(text)
    target = connection.media.sending.target_bitrate
    if target is not None:
        parts.append(f"the path carries {target / 1e6:.1f} Mbit/s")
    return "; ".join(parts)

"""The machines of stack.bwe under the laws."""

from stack.bwe import Closed, Estimator, Kind, PacedPacket, Pacer, ProbeCluster, RemoteEstimator
from tests.bwe import limits
from tests.bwe.wired import RESULT, Partner, WiredEstimator, WiredPacer, WiredRemote, fill
from tests.contract.subject import NullMachine, Rig, Subject


def build_estimator(seed):
    made = WiredEstimator(start_bitrate=300_000 + seed)
    partner = Partner(made)
    return Rig(made, partner, partner.start, lambda now: made.remb(200_000, now))


def build_pacer(seed):
    made = WiredPacer(pacing_rate=400_000 + seed)
    return Rig(made, NullMachine(), lambda now: fill(made, now), lambda now: fill(made, now))


def build_remote(seed):
    made, partner = WiredRemote(start_bitrate=300_000 + seed), Partner()
    return Rig(made, partner, partner.start)


SUBJECTS = [
    Subject(
        name="bwe-estimator",
        build=build_estimator,
        terminal=Closed,
        limits=limits.ESTIMATOR,
        garbage=[b"", b"\x00", RESULT.pack(40_000, 1.0), RESULT.pack(50_000, 0.0)],
        misuse=[
            lambda rig, now: rig.a.packet_sent(1, 0, now),
            lambda rig, now: rig.a.set_bounds(3, 2, 1),
            lambda rig, now: Estimator(min_bitrate=0),
        ],
    ),
    Subject(
        name="bwe-pacer",
        build=build_pacer,
        terminal=Closed,
        limits=limits.PACER,
        garbage=[b"", b"\x00", b"\xff" * 40],
        misuse=[
            lambda rig, now: rig.a.send(PacedPacket(b"", 0, Kind.VIDEO), now),
            lambda rig, now: rig.a.set_pacing_rate(-1, now),
            lambda rig, now: rig.a.probe(ProbeCluster(1, 0, 1, 1), now),
            lambda rig, now: Pacer(burst=0),
        ],
    ),
    Subject(
        name="bwe-remote",
        build=build_remote,
        terminal=Closed,
        limits=limits.REMOTE,
        garbage=[b"", b"\x00"],
        misuse=[
            lambda rig, now: rig.a.packet_received(1, 0, now),
            lambda rig, now: RemoteEstimator(interval=-1),
        ],
    ),
]

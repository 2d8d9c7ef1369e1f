"""The score of one network, as `subnets.evaluate` keeps and compares it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from supernet.data.annotations.records import Skipped
from supernet.errors import InputError
from supernet.pose.diagnosis import JOINT_TYPES, Diagnosis

from ..families.descriptions import AnyArch, macs_of, params_of

SCHEMA = 1


@dataclass(frozen=True)
class NetScore:
    """One row of the comparison.

    Attributes:
        name: the network's.
        stats: the protocol's figures in 0..1.
        macs: exact MACs at the square input.
        macs_litepose: by the paper's counting.
        params: trainable parameters.
        images: scored.
        milliseconds: of network and grouping per image (mean over the run; preparation left out).
        diagnosis: what is wrong with the poses (`supernet.pose.diagnosis.Diagnosis.to_dict`).
        conditions: runtime, threads, protocol.
        skipped: records of the split that were left out (`data.on_error=skip`): source, record, reason.
    """

    name: str
    stats: dict[str, float]
    macs: int
    macs_litepose: int
    params: int
    images: int
    milliseconds: float
    diagnosis: dict[str, Any]
    conditions: dict[str, Any]
    skipped: list[dict[str, str]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], where: str) -> NetScore:
        """What `to_dict` gave.

        Raises:
            InputError: another schema or a missing key.
        """
        fields = dict(value)
        if fields.pop("schema", None) != SCHEMA:
            raise InputError(f"{where}: its schema is not known here ({SCHEMA} is)")
        try:
            return cls(**fields)
        except TypeError as error:
            raise InputError(f"{where} is no score of a network ({error})") from None

    def kind_shares(self) -> dict[str, float]:
        """The share of each kind of error over all joints of matched people."""
        joints = self.diagnosis["joints"].values()
        counts = {kind: sum(joint[kind] for joint in joints) for kind in JOINT_TYPES}
        total = max(1, sum(counts.values()))
        return {kind: count / total for kind, count in counts.items()}

    def placed(self, joint: str) -> float:
        """The share of one joint that is in place or near."""
        counts = self.diagnosis["joints"][joint]
        return float((counts["good"] + counts["jitter"]) / max(1, sum(counts[kind] for kind in JOINT_TYPES)))


def net_score(
    name: str,
    arch: AnyArch,
    stats: Mapping[str, float],
    diagnosis: Diagnosis,
    images: int,
    seconds: float,
    conditions: Mapping[str, Any],
    skipped: Sequence[Skipped] = (),
) -> NetScore:
    """Put together a row."""
    num_joints = len(diagnosis.joints)
    return NetScore(
        name=name,
        stats=dict(stats),
        macs=macs_of(arch, num_joints),
        macs_litepose=macs_of(arch, num_joints, "litepose"),
        params=params_of(arch, num_joints),
        images=images,
        milliseconds=1000 * seconds / images,
        diagnosis=diagnosis.to_dict(),
        conditions=dict(conditions),
        skipped=[asdict(fault) for fault in skipped],
    )


def csv_text(scores: Sequence[NetScore]) -> str:
    """All rows as CSV with one column per figure."""
    figures = list(scores[0].stats)
    costs = ("macs", "macs_litepose", "params", "images", "milliseconds")
    people = ("people", "matched", "background", "misordered")
    lines = [",".join(["name", *figures, *costs, *people, *JOINT_TYPES, "skipped"])]
    for score in scores:
        values = [f"{score.stats[key]:.6f}" for key in figures]
        values += [str(getattr(score, key)) for key in costs]
        values += [str(score.diagnosis[key]) for key in people]
        values += [f"{share:.6f}" for share in score.kind_shares().values()]
        values.append(str(len(score.skipped)))
        lines.append(",".join([_quoted(score.name), *values]))
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\n') else text

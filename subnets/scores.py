"""The score of one network, as `subnets.evaluate` keeps and compares it."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

from supernet.arch import Arch
from supernet.cost import count_macs
from supernet.cost import count_params
from supernet.errors import InputError
from supernet.pose.skeletons import Skeleton

from .error_analysis import KINDS
from .error_analysis import ErrorAnalysis

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
        people, found, unmatched: see `ErrorAnalysis`.
        joints: per joint its name, number of labelled joints of found people, and the share of each kind
            of error.
        conditions: runtime, threads, protocol.
    """

    name: str
    stats: dict[str, float]
    macs: int
    macs_litepose: int
    params: int
    images: int
    milliseconds: float
    people: int
    found: int
    unmatched: int
    joints: list[dict[str, Any]]
    conditions: dict[str, Any]

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


def net_score(
    name: str,
    arch: Arch,
    skeleton: Skeleton,
    stats: Mapping[str, float],
    errors: ErrorAnalysis,
    images: int,
    seconds: float,
    conditions: Mapping[str, Any],
) -> NetScore:
    """Put together a row."""
    totals, shares = errors.counts.sum(axis=1).tolist(), errors.shares().tolist()
    joints = [
        {"joint": joint, "labelled": total, **dict(zip(KINDS, row, strict=True))}
        for joint, total, row in zip(skeleton.joints, totals, shares, strict=True)
    ]
    return NetScore(
        name=name,
        stats=dict(stats),
        macs=count_macs(arch, skeleton.num_joints),
        macs_litepose=count_macs(arch, skeleton.num_joints, "litepose"),
        params=count_params(arch, skeleton.num_joints),
        images=images,
        milliseconds=1000 * seconds / images,
        people=errors.people,
        found=errors.found,
        unmatched=errors.unmatched,
        joints=joints,
        conditions=dict(conditions),
    )


def csv_text(scores: Sequence[NetScore]) -> str:
    """All rows as CSV with one column per figure."""
    figures = list(scores[0].stats)
    costs = ("macs", "macs_litepose", "params", "images", "milliseconds", "people", "found", "unmatched")
    lines = [",".join(["name", *figures, *costs])]
    for score in scores:
        values = [
            *(f"{score.stats[key]:.6f}" for key in figures),
            *(f"{getattr(score, key)}" for key in costs),
        ]
        lines.append(",".join([_quoted(score.name), *values]))
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\n') else text

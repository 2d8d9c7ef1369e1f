"""What a network's folder says beside its architecture and weights; read without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supernet.errors import InputError, check_keys, check_schema, positive_int
from supernet.pose.skeletons import Skeleton
from supernet.runs.files import read_json, write_json

SCHEMA = 1
META_FILE = "meta.json"


@dataclass(frozen=True)
class Meta:
    """Facts of a network's folder.

    Attributes:
        num_joints: J.
        fused: whether the batch norms are folded into the convolutions.
        skeleton: the joint layout of the J heatmaps, if known.
        about: free facts (source, scores, the command that made it).
    """

    num_joints: int
    fused: bool = False
    skeleton: Skeleton | None = None
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.skeleton is not None and self.skeleton.num_joints != self.num_joints:
            raise InputError(
                f"the network has {self.num_joints} joints, "
                f"skeleton {self.skeleton.name!r} has {self.skeleton.num_joints}"
            )


def default_skeleton(num_joints: int) -> Skeleton | None:
    """The built-in layout with that many joints: CrowdPose for 14, COCO for 17, else None."""
    known = [Skeleton.load(name) for name in ("crowdpose", "coco")]
    return next((skeleton for skeleton in known if skeleton.num_joints == num_joints), None)


def write_meta(folder: str | os.PathLike[str], meta: Meta) -> None:
    """Write `meta.json` into `folder`.

    Raises:
        InputError: `about` holds something that JSON cannot.
    """
    value = {
        "schema": SCHEMA,
        "num_joints": meta.num_joints,
        "fused": meta.fused,
        "skeleton": None if meta.skeleton is None else meta.skeleton.to_dict(),
        "about": meta.about,
    }
    try:
        write_json(Path(folder) / META_FILE, value)
    except (TypeError, ValueError) as error:
        raise InputError(f"about: {error}; use texts, numbers, lists and mappings") from None


def read_meta(folder: str | os.PathLike[str]) -> Meta:
    """Read `meta.json` of `folder`.

    Raises:
        InputError: the file is missing or says something else.
    """
    path = Path(folder) / META_FILE
    value = read_json(path, "network description")
    try:
        return _from_dict(value)
    except InputError as error:
        raise InputError(f"network description {path}: {error}") from None


def _from_dict(value: Any) -> Meta:
    if not isinstance(value, Mapping):
        raise InputError(f"expected a mapping, found {type(value).__name__}")
    check_keys(value, required=("schema", "num_joints", "fused", "skeleton", "about"))
    check_schema(value, SCHEMA)
    if not isinstance(value["fused"], bool):
        raise InputError("fused: expected true or false")
    if not isinstance(value["about"], Mapping):
        raise InputError("about: expected a mapping of facts")
    skeleton = value["skeleton"]
    return Meta(
        num_joints=positive_int(value["num_joints"], "num_joints"),
        fused=value["fused"],
        skeleton=None if skeleton is None else Skeleton.from_dict(skeleton),
        about=dict(value["about"]),
    )

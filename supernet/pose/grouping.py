"""Heatmaps and tags to people: associative-embedding grouping at heatmap resolution."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from .peaks import RULES, Ints, Peaks, find_missing, find_peaks, match, refine_position, sample_tags
from .people import Floats, People, suppress
from .skeletons import Skeleton

# The rule that matches peaks to people where nothing names another: best for networks that are trained here
# (experiments/deploy).
MATCHING = "greedy"
# That of the reference implementation, for released weights and files that name none.
REFERENCE_MATCHING = "hungarian"


@dataclass(frozen=True)
class DecodeOptions:
    """How `decode` finds and groups joints; the defaults suit 1/2-scale heatmaps.

    Attributes:
        max_people: peaks considered per joint, people that take part in matching, and people returned (>= 1).
        threshold: heatmap value above which a peak is a joint (> 0).
        tag_threshold: largest tag distance at which a joint joins a person (> 0).
        nms_window: side of the suppression window in pixels (odd); 3 at 1/2 scale, 5 at the network's
            input scale.
        refine: look for joints that grouping missed where the person's tag says they should be.
        oks_nms: drop people whose OKS with a better one exceeds this (0..1); None keeps all.
        matching: the rule by which peaks join people: `hungarian`, `greedy`, `first` (`supernet.pose.peaks`).
    """

    max_people: int = 30
    threshold: float = 0.1
    tag_threshold: float = 1.0
    nms_window: int = 3
    refine: bool = True
    oks_nms: float | None = None
    matching: str = MATCHING

    def __post_init__(self) -> None:
        if self.max_people < 1:
            raise InputError(f"max_people must be at least 1, got {self.max_people}")
        if not self.threshold > 0 or not self.tag_threshold > 0:
            raise InputError(
                f"threshold and tag_threshold must be positive, got {self.threshold}, {self.tag_threshold}"
            )
        if self.nms_window < 1 or self.nms_window % 2 == 0:
            raise InputError(f"nms_window must be odd and positive, got {self.nms_window}")
        if self.oks_nms is not None and not 0 <= self.oks_nms <= 1:
            raise InputError(f"oks_nms must lie between 0 and 1, got {self.oks_nms}")
        RULES.get(self.matching)


def decode(
    heatmaps: Any,
    tags: Any,
    skeleton: Skeleton | str | os.PathLike[str] = "crowdpose",
    options: DecodeOptions | None = None,
) -> list[People]:
    """Group the peaks of joint heatmaps into people by their tags.

    Peaks above the threshold are visited joint by joint in the skeleton's grouping order and matched to the
    people so far by `options.matching`: those closer than the tag threshold may join, the rest found new
    people (Newell et al., "Associative Embedding", NeurIPS 2017; Cheng et al., "HigherHRNet", CVPR 2020).
    Joints that stay missing are then taken from the pixel with the highest `heat - round(tag distance)`.

    Args:
        heatmaps: (B, J, H, W) array or tensor; what is not a number counts as 0.
        tags: (B, J, h, w, T) array or tensor, at the heatmaps' resolution or a lower one of the same field
            of view (1/4-scale tags beside 1/2-scale heatmaps need no resizing); T >= 1 (2 with a flip
            test).
        skeleton: a layout, its name, or a YAML file.
        options: thresholds and limits.

    Returns:
        One `People` per image, x and y in heatmap pixels (pixel i spans [i, i+1)); the same input always
        gives the same people.

    Raises:
        InputError: shapes that do not fit each other or the skeleton.
    """
    layout = Skeleton.load(skeleton)
    heat_bjhw, tags_bjhwt = np.ascontiguousarray(to_array(heatmaps)), to_array(tags)
    _check_shapes(heat_bjhw, tags_bjhwt, layout)
    options = options or DecodeOptions()
    if np.isnan(heat_bjhw.min(initial=0)):
        heat_bjhw = np.where(np.isnan(heat_bjhw), np.float32(0), heat_bjhw)
    return [_decode_one(heat, tag, layout, options) for heat, tag in zip(heat_bjhw, tags_bjhwt, strict=True)]


def to_array(value: Any) -> Floats:
    """`value` (array, or tensor of any device and type) as a float32 array, without importing torch."""
    if hasattr(value, "detach"):
        value = value.detach().float().cpu().numpy()
    return np.asarray(value, np.float32)


def _check_shapes(heat: Floats, tags: Floats, skeleton: Skeleton) -> None:
    if heat.ndim != 4 or tags.ndim != 5:
        raise InputError(
            f"decode takes heatmaps (B, J, H, W) and tags (B, J, h, w, T), got {heat.shape} and {tags.shape}"
        )
    if heat.shape[:2] != tags.shape[:2]:
        raise InputError(f"heatmaps {heat.shape} and tags {tags.shape} differ in images or joints")
    if heat.shape[1] != skeleton.num_joints:
        raise InputError(
            f"heatmaps have {heat.shape[1]} joints, skeleton {skeleton.name!r} has {skeleton.num_joints}"
        )
    if 0 in heat.shape[2:] or 0 in tags.shape[2:]:
        raise InputError(f"heatmaps {heat.shape} or tags {tags.shape} are empty")


def decode_peaks(
    scores: Any,
    positions: Any,
    tags: Any,
    skeleton: Skeleton | str | os.PathLike[str] = "crowdpose",
    options: DecodeOptions | None = None,
) -> list[People]:
    """Group peaks that were extracted elsewhere, as by a network with peak extraction in its graph.

    Args:
        scores: (B, J, K) heatmap values, best first.
        positions: (B, J, K, 2) continuous x, y.
        tags: (B, J, K) or (B, J, K, T).
        skeleton, options: as for `decode`; joints cannot be refined without maps.

    Raises:
        InputError: shapes that do not fit each other or the skeleton.
    """
    layout, options = Skeleton.load(skeleton), options or DecodeOptions()
    score_bjk, position_bjk2, tags_bjkt = to_array(scores), to_array(positions), to_array(tags)
    tags_bjkt = tags_bjkt[..., None] if tags_bjkt.ndim == 3 else tags_bjkt
    shapes = (score_bjk.shape, position_bjk2.shape[:3], tags_bjkt.shape[:3])
    if score_bjk.ndim != 3 or len(set(shapes)) > 1 or position_bjk2.shape[3:] != (2,) or tags_bjkt.ndim != 4:
        raise InputError(f"scores, positions and tags have shapes {shapes} that do not fit (B, J, K)")
    if score_bjk.shape[1] != layout.num_joints:
        raise InputError(
            f"peaks of {score_bjk.shape[1]} joints; skeleton {layout.name!r} has {layout.num_joints}"
        )
    found = []
    for score_jk, position_jk2, tags_jkt in zip(score_bjk, position_bjk2, tags_bjkt, strict=True):
        joint, rank = np.nonzero(score_jk > options.threshold)
        people = _group(
            joint, position_jk2[joint, rank], score_jk[joint, rank], tags_jkt[joint, rank], layout, options
        )
        found.append(_suppressed(people, layout, options))
    return found


def _decode_one(heat_jhw: Floats, tags_jhwt: Floats, skeleton: Skeleton, options: DecodeOptions) -> People:
    peaks = find_peaks(heat_jhw, options.threshold, options.max_people, options.nms_window)
    tags_nt = sample_tags(tags_jhwt, peaks.joint, peaks.row, peaks.column, heat_jhw.shape[1:])
    position_n2 = refine_position(heat_jhw, peaks)
    people = _group(peaks.joint, position_n2, peaks.score, tags_nt, skeleton, options)
    if options.refine and len(people):
        missing_pj = people.keypoints[..., 2] == 0
        person, joint, row, column = find_missing(heat_jhw, tags_jhwt, missing_pj, people.tags)
        found = Peaks(joint, column, row, heat_jhw[joint, row, column])
        people.keypoints[person, joint, :2] = refine_position(heat_jhw, found)
        people.keypoints[person, joint, 2] = found.score
    return _suppressed(people, skeleton, options)


def _group(
    joint_n: Ints,
    position_n2: Floats,
    score_n: Floats,
    tags_nt: Floats,
    skeleton: Skeleton,
    options: DecodeOptions,
) -> People:
    """The best `max_people` persons that matching makes of N peaks, best score first."""
    rule = RULES.get(options.matching)
    person_n = match(
        joint_n, score_n, tags_nt, skeleton.order, options.max_people, options.tag_threshold, rule
    )
    count = int(person_n.max()) + 1 if len(person_n) else 0
    keypoints = np.zeros((count, skeleton.num_joints, 3), np.float32)
    keypoints[person_n, joint_n, :2] = position_n2
    keypoints[person_n, joint_n, 2] = score_n
    tags = np.zeros((count, tags_nt.shape[1]))
    np.add.at(tags, person_n, tags_nt)
    tags /= np.bincount(person_n, minlength=count)[:, None]
    # In double precision the order of summing is of no account.
    scores = keypoints[..., 2].mean(axis=1, dtype=np.float64).astype(np.float32)
    best = np.argsort(-scores, kind="stable")[: options.max_people]
    return People(keypoints[best], tags[best].astype(np.float32), scores[best])


def _suppressed(people: People, skeleton: Skeleton, options: DecodeOptions) -> People:
    if options.oks_nms is None:
        return people
    return people.select(suppress(people.keypoints, people.scores, skeleton.sigmas, options.oks_nms))

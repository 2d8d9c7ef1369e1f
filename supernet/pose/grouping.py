"""Heatmaps and tags to people: associative-embedding grouping at heatmap resolution."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..errors import InputError
from .oks import suppress
from .peaks import Peaks
from .peaks import find_peaks
from .peaks import refine_position
from .people import Floats
from .people import People
from .refinement import find_missing
from .refinement import sample_tags
from .skeletons import Skeleton


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
    """

    max_people: int = 30
    threshold: float = 0.1
    tag_threshold: float = 1.0
    nms_window: int = 3
    refine: bool = True
    oks_nms: float | None = None

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


def decode(
    heatmaps: Any,
    tags: Any,
    skeleton: Skeleton | str | os.PathLike[str] = "crowdpose",
    options: DecodeOptions | None = None,
) -> list[People]:
    """Group the peaks of joint heatmaps into people by their tags.

    Peaks above the threshold are visited joint by joint in the skeleton's grouping order and matched to
    the people so far by the Hungarian method on `round(tag distance) * 100 - score`; pairs closer than the
    tag threshold join, the rest found new people (Newell et al., "Associative Embedding", NeurIPS 2017;
    Cheng et al., "HigherHRNet", CVPR 2020). Joints that stay missing are then taken from the pixel with
    the highest `heat - round(tag distance)`.

    Args:
        heatmaps: (B, J, H, W) array or tensor.
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
    heat_bjhw, tags_bjhwt = to_array(heatmaps), to_array(tags)
    _check_shapes(heat_bjhw, tags_bjhwt, layout)
    options = options or DecodeOptions()
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


def _decode_one(heat_jhw: Floats, tags_jhwt: Floats, skeleton: Skeleton, options: DecodeOptions) -> People:
    size = heat_jhw.shape[1:]
    peaks = find_peaks(heat_jhw, options.threshold, options.max_people, options.nms_window)
    tags_nt = sample_tags(tags_jhwt, peaks.joint, peaks.row, peaks.column, size)
    member_n = match(peaks.joint, peaks.score, tags_nt, skeleton, options)
    people = _assemble(heat_jhw, peaks, tags_nt, member_n, options.max_people)
    if options.refine and len(people):
        missing_pj = people.keypoints[..., 2] == 0
        person, joint, row, column = find_missing(
            heat_jhw, tags_jhwt, missing_pj, people.tags, options.threshold
        )
        found = Peaks(joint, column, row, heat_jhw[joint, row, column])
        people.keypoints[person, joint] = _positions(heat_jhw, found)
    if options.oks_nms is not None:
        people = people.select(suppress(people.keypoints, people.scores, skeleton.sigmas, options.oks_nms))
    return people


def match(joint_n: Any, score_n: Floats, tags_nt: Floats, skeleton: Skeleton, options: DecodeOptions) -> Any:
    """(N,) the person each peak belongs to, numbered in the order in which they were founded."""
    person_n = np.zeros(len(joint_n), np.intp)
    tag_sum = np.zeros(tags_nt.shape, np.float32)  # at most one person per peak
    members = np.zeros((len(joint_n), 1), np.float32)
    founded = 0
    bounds = np.searchsorted(joint_n, np.arange(skeleton.num_joints + 1))
    for joint in skeleton.order:
        start, stop = bounds[joint], bounds[joint + 1]
        if start == stop:
            continue
        chosen = np.full(stop - start, -1, np.intp)
        if founded:
            count = min(founded, options.max_people)
            mean_tags = tag_sum[:count] / members[:count]
            gap = tags_nt[start:stop, None] - mean_tags[None]
            distance = np.sqrt((gap * gap).sum(axis=2))
            # In double precision, so that equal rounded distances stay equal and go by rank.
            cost = np.round(distance.astype(float)) * 100 - score_n[start:stop, None] * (stop - start > count)
            row, column = linear_sum_assignment(np.nan_to_num(cost, nan=1e10, posinf=1e10))
            close = distance[row, column] < options.tag_threshold
            chosen[row[close]] = column[close]
        alone = chosen < 0
        new = int(alone.sum())
        chosen[alone] = np.arange(founded, founded + new)
        founded += new
        person_n[start:stop] = chosen
        tag_sum[chosen] += tags_nt[start:stop]
        members[chosen] += 1
    return person_n


def _assemble(heat_jhw: Floats, peaks: Peaks, tags_nt: Floats, person_n: Any, most: int) -> People:
    """Peaks and their persons to `People`, the best `most`, best score first."""
    num_joints = len(heat_jhw)
    count = int(person_n.max()) + 1 if len(person_n) else 0
    keypoints = np.zeros((count, num_joints, 3), np.float32)
    keypoints[person_n, peaks.joint] = _positions(heat_jhw, peaks)
    tags = np.zeros((count, tags_nt.shape[1]), np.float32)
    np.add.at(tags, person_n, tags_nt)
    tags /= np.bincount(person_n, minlength=count)[:, None]
    scores = keypoints[..., 2].mean(axis=1)
    best = np.argsort(-scores, kind="stable")[:most]
    return People(keypoints[best], tags[best], scores[best])


def _positions(heat_jhw: Floats, peaks: Peaks) -> Floats:
    return np.stack([*refine_position(heat_jhw, peaks), peaks.score], axis=-1)

"""Noisy network outputs rendered from real poses: what the decoding benchmark reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from supernet.pose import Skeleton

SHORT_SIDE = 512
MOST_PEOPLE = 14


@dataclass(frozen=True)
class Noise:
    """What is wrong with the rendered maps; chosen so that their AP lies between 0.4 and 0.8.

    Attributes:
        jitter: joint displacement, as a share of sigma * sqrt(area), the scale on which OKS measures errors.
        missed: share of joints whose peak is only `faint` high.
        background: standard deviation of smooth clutter.  grain: of white noise.
        ghosts: false peaks per image and joint type.
        tag_spread: standard deviation of a joint's tag about its person's.
    """

    jitter: float = 1.0
    missed: float = 0.15
    faint: float = 0.06
    background: float = 0.02
    grain: float = 0.005
    ghosts: float = 0.15
    tag_spread: float = 0.15


@dataclass(frozen=True)
class Scene:
    """Input size (W, H) in pixels and the poses of its people in input coordinates (P, J, 3)."""

    size: tuple[int, int]
    poses: np.ndarray
    boxes: np.ndarray


def scenes(annotations: dict[str, Any], people: int, count: int, seed: int) -> list[Scene]:
    """`count` scenes with exactly `people` people; images are overlaid where none has that many."""
    rng = np.random.default_rng([seed, people])
    by_image: dict[int, list[dict[str, Any]]] = {}
    for record in annotations["annotations"]:
        by_image.setdefault(record["image_id"], []).append(record)
    images = {image["id"]: image for image in annotations["images"]}
    if people <= MOST_PEOPLE:
        pools = [(people,)]
    else:
        pools = [(8, people - 8), (9, people - 9), (10, people - 10)]
    found = []
    for index in range(count):
        parts = pools[index % len(pools)]
        chosen = []
        for part in parts:
            ids = sorted(i for i, group in by_image.items() if len(group) == part)
            chosen.append(ids[int(rng.integers(len(ids)))])
        found.append(_overlay([images[i] for i in chosen], [by_image[i] for i in chosen]))
    return found


def _overlay(images: list[dict[str, Any]], groups: list[list[dict[str, Any]]]) -> Scene:
    width, height = images[0]["width"], images[0]["height"]
    short = min(width, height)
    scale = SHORT_SIDE / short
    size = tuple(SHORT_SIDE if side == short else -(-side * scale // 64) * 64 for side in (width, height))
    poses, boxes = [], []
    for image, group in zip(images, groups, strict=True):
        stretch = min(size[0] / image["width"], size[1] / image["height"])
        for record in group:
            pose = np.array(record["keypoints"], float).reshape(-1, 3)
            pose[:, :2] *= stretch
            poses.append(pose)
            boxes.append(np.array(record["bbox"], float) * stretch)
    return Scene((int(size[0]), int(size[1])), np.stack(poses), np.stack(boxes))


def render(scene: Scene, noise: Noise, rng: np.random.Generator) -> list[list[np.ndarray]]:
    """Raw outputs [(2J, H/4, W/4), (J, H/2, W/2)] of the plain and of the flipped pass."""
    skeleton = Skeleton.load("crowdpose")
    count, joints = scene.poses.shape[:2]
    labelled = scene.poses[..., 2] > 0
    areas = 0.53 * scene.boxes[:, 2] * scene.boxes[:, 3]
    spread = np.sqrt(areas)[:, None] * np.asarray(skeleton.sigmas)[None]
    places = scene.poses[..., :2] + noise.jitter * spread[..., None] * rng.standard_normal((count, joints, 2))
    faint = rng.random((count, joints)) < noise.missed
    height = labelled * np.where(faint, noise.faint, rng.uniform(0.3, 1, (count, joints)))
    person_tags = rng.permutation(count)[:, None] * 1.0 + 0.2 * rng.standard_normal((count, 1))
    tags = person_tags + noise.tag_spread * rng.standard_normal((count, joints))
    ghosts = [rng.uniform(0, scene.size, (rng.poisson(noise.ghosts), 2)) for _ in range(joints)]
    passes = []
    for mirrored in (False, True):
        drift = rng.normal(0, 0.7, places.shape)
        drawn = []
        for stride in (4, 2):
            swayed = height * rng.uniform(0.9, 1.1, height.shape)
            drawn.append(_heatmaps(scene.size, stride, places + drift, swayed, ghosts, noise, rng))
        swayed = tags + 0.05 * rng.standard_normal(tags.shape)
        tag_map = _tag_maps(scene.size, places, swayed, labelled, rng)
        if mirrored:
            flip = list(skeleton.flip)
            drawn = [heat[flip, :, ::-1] for heat in drawn]
            tag_map = tag_map[flip, :, ::-1]
        passes.append([np.concatenate([drawn[0], tag_map]), np.ascontiguousarray(drawn[1])])
    return passes


def _heatmaps(size, stride, places, height, ghosts, noise, rng):  # type: ignore[no-untyped-def]
    width, rows = size[0] // stride, size[1] // stride
    x, y = np.arange(width) + 0.5, np.arange(rows) + 0.5
    maps = []
    for joint in range(places.shape[1]):
        points = np.concatenate([places[:, joint], ghosts[joint]]) / stride
        peaks = np.concatenate([height[:, joint], rng.uniform(0.1, 0.5, len(ghosts[joint]))])
        gx = np.exp(-((x[None] - points[:, :1]) ** 2) / 8)
        gy = np.exp(-((y[None] - points[:, 1:]) ** 2) / 8) * peaks[:, None]
        heat = (gy[:, :, None] * gx[:, None]).max(axis=0)
        clutter = cv2.GaussianBlur(rng.standard_normal((rows, width)), (0, 0), 3)
        heat += noise.background * clutter / clutter.std() + noise.grain * rng.standard_normal((rows, width))
        maps.append(heat)
    return np.stack(maps).astype(np.float32)


def _tag_maps(size, places, tags, labelled, rng):  # type: ignore[no-untyped-def]
    """Every pixel has the tag of the nearest joint of its type, blended and noisy, as trained nets give."""
    width, rows = size[0] // 4, size[1] // 4
    y, x = np.mgrid[:rows, :width] + 0.5
    maps = []
    for joint in range(places.shape[1]):
        tag_map = np.zeros((rows, width))
        who = np.flatnonzero(labelled[:, joint])
        if len(who):
            points = places[who, joint] / 4
            square = (x[None] - points[:, 0, None, None]) ** 2 + (y[None] - points[:, 1, None, None]) ** 2
            tag_map = tags[who, joint][square.argmin(axis=0)]
        tag_map = cv2.GaussianBlur(tag_map, (0, 0), 1) + 0.03 * rng.standard_normal((rows, width))
        maps.append(tag_map)
    return np.stack(maps).astype(np.float32)


def ground_truth(scene_list: list[Scene]) -> dict[str, Any]:
    """The scenes as CrowdPose annotations, in input coordinates."""
    images, records = [], []
    for index, scene in enumerate(scene_list, start=1):
        images.append({"id": index, "width": scene.size[0], "height": scene.size[1], "crowdIndex": 0.5})
        for pose, box in zip(scene.poses, scene.boxes, strict=True):
            records.append(
                {
                    "id": len(records) + 1,
                    "image_id": index,
                    "category_id": 1,
                    "iscrowd": 0,
                    "keypoints": pose.ravel().tolist(),
                    "num_keypoints": int((pose[:12, 2] > 0).sum()),
                    "bbox": box.tolist(),
                }
            )
    return {"images": images, "annotations": records, "categories": [{"id": 1, "name": "person"}]}

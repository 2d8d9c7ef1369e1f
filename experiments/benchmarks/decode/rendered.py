"""Noisy network outputs rendered from real poses: what the decoding benchmark reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from supernet.pose import Skeleton
from supernet.pose.preprocess import View, preprocess

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
        tag_spread: standard deviation of a joint's tag about its person's; people are 1 +- 0.2 apart.
    """

    jitter: float = 0.9
    missed: float = 0.15
    faint: float = 0.06
    background: float = 0.02
    grain: float = 0.005
    ghosts: float = 0.15
    tag_spread: float = 0.15


@dataclass(frozen=True, eq=False)
class Scene:
    """One image: the way to its network input, and its people in image coordinates.

    Attributes:
        view: as test-time preprocessing makes it.
        poses: (P, J, 3) keypoints.  boxes: (P, 4) x, y, width, height.
    """

    view: View
    poses: np.ndarray
    boxes: np.ndarray


def scenes(annotations: dict[str, Any], people: int, count: int, seed: int) -> list[Scene]:
    """`count` scenes with exactly `people` people; two images are overlaid where none has that many."""
    rng = np.random.default_rng([seed, people])
    by_image: dict[int, list[dict[str, Any]]] = {}
    for record in annotations["annotations"]:
        by_image.setdefault(record["image_id"], []).append(record)
    images = {image["id"]: image for image in annotations["images"]}
    splits = [(people,)] if people <= MOST_PEOPLE else [(part, people - part) for part in (8, 9, 10)]
    pools = [
        [sorted(i for i, group in by_image.items() if len(group) == part) for part in split]
        for split in splits
    ]
    found = []
    for index in range(count):
        chosen = [ids[int(rng.integers(len(ids)))] for ids in pools[index % len(pools)]]
        found.append(_overlay([images[i] for i in chosen], [by_image[i] for i in chosen]))
    return found


def _overlay(images: list[dict[str, Any]], groups: list[list[dict[str, Any]]]) -> Scene:
    """The people of all images in the first one, the others scaled to fit into it."""
    width, height = images[0]["width"], images[0]["height"]
    poses, boxes = [], []
    for image, group in zip(images, groups, strict=True):
        fit = min(width / image["width"], height / image["height"])
        for record in group:
            poses.append(np.array(record["keypoints"], float).reshape(-1, 3) * (fit, fit, 1))
            boxes.append(np.array(record["bbox"], float) * fit)
    view = preprocess(np.zeros((height, width, 3), np.uint8), SHORT_SIDE)
    return Scene(view, np.stack(poses), np.stack(boxes))


def render(scene: Scene, noise: Noise, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Raw outputs (quarter (2J, H/4, W/4), half (J, H/2, W/2)) of the plain and of the mirrored pass."""
    skeleton = Skeleton.load("crowdpose")
    size = scene.view.size
    shape = scene.poses.shape[:2]
    labelled = scene.poses[..., 2] > 0
    error = noise.jitter * np.sqrt(0.53 * scene.boxes[:, 2] * scene.boxes[:, 3])[:, None] * skeleton.sigmas
    places = scene.poses[..., :2] + error[..., None] * rng.standard_normal((*shape, 2))
    places = places * scene.view.scale + scene.view.offset
    faint = rng.random(shape) < noise.missed
    height = labelled * np.where(faint, noise.faint, rng.uniform(0.3, 1, shape))
    tags = rng.permutation(shape[0])[:, None] + 0.2 * rng.standard_normal((shape[0], 1))
    tags = tags + noise.tag_spread * rng.standard_normal(shape)
    ghosts = [rng.uniform(0, size[::-1], (rng.poisson(noise.ghosts), 2)) for _ in range(shape[1])]
    passes = []
    for mirrored in (False, True):
        drift = rng.normal(0, 0.7, places.shape)
        maps = []
        for stride in (4, 2):
            swayed = height * rng.uniform(0.9, 1.1, shape)
            maps.append(_heatmaps(size, stride, places + drift, swayed, ghosts, noise, rng))
        swayed = tags + 0.05 * rng.standard_normal(shape)
        maps.append(_tag_maps(size, places, swayed, labelled, rng))
        if mirrored:
            maps = [plane[list(skeleton.flip), :, ::-1] for plane in maps]
        passes.append((np.concatenate([maps[0], maps[2]]), np.ascontiguousarray(maps[1])))
    return passes


def _heatmaps(
    size: tuple[int, int],
    stride: int,
    places: np.ndarray,
    height: np.ndarray,
    ghosts: list[np.ndarray],
    noise: Noise,
    rng: np.random.Generator,
) -> np.ndarray:
    """(J, H / stride, W / stride) Gaussians of sigma 2 pixels on clutter and grain."""
    rows, columns = size[0] // stride, size[1] // stride
    x, y = np.arange(columns) + 0.5, np.arange(rows) + 0.5
    maps = []
    for joint, false in enumerate(ghosts):
        points = np.concatenate([places[:, joint], false]) / stride
        peaks = np.concatenate([height[:, joint], rng.uniform(0.1, 0.5, len(false))])
        gx = np.exp(-((x[None] - points[:, :1]) ** 2) / 8)
        gy = np.exp(-((y[None] - points[:, 1:]) ** 2) / 8) * peaks[:, None]
        heat = (gy[:, :, None] * gx[:, None]).max(axis=0)
        clutter = cv2.GaussianBlur(rng.standard_normal((rows, columns)), (0, 0), 3)
        heat += noise.background * clutter / clutter.std() + noise.grain * rng.standard_normal(
            (rows, columns)
        )
        maps.append(heat)
    return np.stack(maps).astype(np.float32)


def _tag_maps(
    size: tuple[int, int],
    places: np.ndarray,
    tags: np.ndarray,
    labelled: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """(J, H/4, W/4): every pixel has the tag of the nearest joint of its type, blended and noisy."""
    y, x = np.mgrid[: size[0] // 4, : size[1] // 4] + 0.5
    maps = []
    for joint in range(places.shape[1]):
        tag_map = np.zeros(x.shape)
        who = np.flatnonzero(labelled[:, joint])
        if len(who):
            points = places[who, joint] / 4
            square = (x[None] - points[:, 0, None, None]) ** 2 + (y[None] - points[:, 1, None, None]) ** 2
            tag_map = tags[who, joint][square.argmin(axis=0)]
        maps.append(cv2.GaussianBlur(tag_map, (0, 0), 1) + 0.03 * rng.standard_normal(x.shape))
    return np.stack(maps).astype(np.float32)


def ground_truth(scene_list: list[Scene]) -> dict[str, Any]:
    """The scenes as CrowdPose annotations, image ids 1, 2, ..."""
    images, records = [], []
    for index, scene in enumerate(scene_list, start=1):
        images.append({"id": index, "crowdIndex": 0.5})
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

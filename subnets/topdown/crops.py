"""Crops of people for a top-down network: training on those of labelled people, finding people in those of
boxes, which are scored as usual.

Training batches derive from (seed, step).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from supernet.data.annotations.records import FloatArray
from supernet.data.batch import Batch
from supernet.data.dataset import PoseDataset
from supernet.data.images.decode import UInt8Image
from supernet.data.targets import Targets
from supernet.data.transforms import warp_pixels, warp_points
from supernet.errors import InputError
from supernet.heads.contract import Head, head_of
from supernet.heads.losses import PoseLoss
from supernet.pose.people import Floats, People
from supernet.pose.preprocess import normalise
from supernet.pose.protocols import score
from supernet.pose.results import read_detections, to_coco_results
from supernet.runs.files import read_json
from supernet.runs.progress import ProgressBar, StopRequest
from supernet.training.checkpoint import FOLDER, CheckpointFolder
from supernet.training.options import OptimizerOptions
from supernet.training.state import TrainingState, learning_rate

from ..export.formats import Run
from ..network import Network
from .options import TRUTH, CropOptions

MARGIN = 1.25
# Of a box, in image pixels: one joint has none.
SMALLEST_SIDE = 1.0
# Of the Gaussians that are learned, in pixels of each map.
SIGMA = 2.0
# Every this many steps a checkpoint.
SAVE_EVERY = 100


@dataclass(frozen=True, eq=False)
class Crop:
    """Where a crop comes from.

    Attributes:
        matrix: 2x3 float64, image coordinates to input coordinates; a mirror image is part of it.
        mirrored: whether it is one.
    """

    matrix: FloatArray
    mirrored: bool = False


def crop_of_box(
    box: FloatArray, shape: tuple[int, int], angle: float = 0.0, zoom: float = 1.0, mirrored: bool = False
) -> Crop:
    """The crop that shows `box` upright in the middle of the input.

    Args:
        box: x, y, width, height in the image.
        shape: (height, width) of the input.
        angle: rotation in degrees.
        zoom: size of the crop relative to the box with its margin.
        mirrored: left and right exchanged.
    """
    x, y, box_width, box_height = np.maximum(box, (-np.inf, -np.inf, SMALLEST_SIDE, SMALLEST_SIDE))
    height, width = shape
    factor = min(width / box_width, height / box_height) / (MARGIN * zoom)
    cos, sin = factor * math.cos(math.radians(angle)), factor * math.sin(math.radians(angle))
    linear = np.array([[cos, -sin], [sin, cos]])
    if mirrored:
        linear[0] = -linear[0]
    centre = np.array([x + box_width / 2, y + box_height / 2])
    return Crop(np.column_stack([linear, np.array([width, height]) / 2 - linear @ centre]), mirrored)


def random_crop(
    rng: np.random.Generator, box: FloatArray, shape: tuple[int, int], options: CropOptions
) -> Crop:
    """An augmented crop; always three draws from `rng`. A `flip` of None mirrors nothing."""
    turn, grow, coin = rng.random(3)
    zoom = 1 + (2 * grow - 1) * options.scale
    return crop_of_box(
        box, shape, (2 * turn - 1) * options.rotation, zoom, bool(coin < (options.flip or 0.0))
    )


def warp_crop(image: UInt8Image, crop: Crop, shape: tuple[int, int]) -> UInt8Image:
    """The (height, width, 3) uint8 crop of `image`, black outside it, in one affine warp."""
    return warp_pixels(image, crop.matrix, (shape[1], shape[0]))


def joints_in_crop(
    keypoints: FloatArray, crop: Crop, shape: tuple[int, int], mirror: tuple[int, ...]
) -> Floats:
    """(J, 3) float32 x, y in the crop and 1 for the labelled joints that are in it, else 0, of one person.

    Args:
        keypoints: (J, 3) x, y, v in the image.
        crop: as the image was warped.
        shape: (height, width) of the input.
        mirror: for every joint the index of its mirror image (`Skeleton.flip`).
    """
    if crop.mirrored:
        keypoints = keypoints[list(mirror)]
    xy = warp_points(keypoints[:, :2], crop.matrix).astype(np.float32)
    inside = ((xy >= 0) & (xy < shape[::-1])).all(axis=1) & (keypoints[:, 2] > 0)
    return np.column_stack([xy, inside]).astype(np.float32)


def crop_targets(head: Head, crops: Sequence[UInt8Image], joints_bj3: Floats, step: int = 0) -> Targets:
    """What `head` is to give for crops (H, W, 3) of one person each, whose joints are `joints_in_crop`."""
    count, num_joints, _ = joints_bj3.shape
    joints, images = torch.from_numpy(joints_bj3), torch.from_numpy(np.stack(crops))
    sides = {
        output.scale: [side // output.scale for side in images.shape[1:3]]
        for output in head.outputs(num_joints)
    }
    batch = Batch(
        images=images,
        joints=joints[:, None],
        tagged=torch.ones(count, 1, dtype=torch.bool),
        masks={scale: torch.ones(count, *side, dtype=torch.uint8) for scale, side in sides.items()},
        image_ids=torch.zeros(count, dtype=torch.int64),
        step=step,
        labelled=joints[..., 2] > 0,
    )
    return head.targets(batch, SIGMA)


def in_image(pose_j3: Floats, crop: Crop) -> Floats:
    """(J, 3) float32 x, y in the image and score of a person found in `crop`, x and y in its pixels."""
    back = (pose_j3[:, :2] - crop.matrix[:, 2]) @ np.linalg.inv(crop.matrix[:, :2]).T
    return np.concatenate([back, pose_j3[:, 2:]], axis=1).astype(np.float32)


class PersonBatches:
    """Random crops of the labelled people of a data set.

    Args:
        head: what is learned.
        dataset: the training split.
        shape: (height, width) of the crops.
        batch_size: people per step.
        seed: of the draws.
        augment: of the crops.

    Raises:
        InputError: nobody is labelled.
    """

    def __init__(
        self,
        head: Head,
        dataset: PoseDataset,
        shape: tuple[int, int],
        batch_size: int,
        seed: int,
        augment: CropOptions,
    ) -> None:
        self._head = head
        self._dataset, self._shape, self._size, self._seed = dataset, shape, batch_size, seed
        self._augment = augment if dataset.skeleton.mirrors else replace(augment, flip=None)
        self.people: Sequence[tuple[int, int]] = [
            (index, person)
            for index, record in enumerate(dataset.records)
            for person in range(record.num_people)
            if not record.crowd[person] and (record.keypoints[person, :, 2] > 0).any()
        ]
        if not self.people:
            raise InputError(f"{dataset.name} labels nobody to train on")

    def __call__(self, step: int) -> tuple[Tensor, Targets]:
        """Crops (B, 3, H, W) of `step`, and what the head is to give for them."""
        rng = np.random.default_rng([self._seed, step])
        crops, joints = [], []
        for place in rng.integers(len(self.people), size=self._size):
            index, person = self.people[place]
            record = self._dataset.records[index]
            crop = random_crop(rng, record.boxes[person], self._shape, self._augment)
            crops.append(warp_crop(self._dataset.read_image(index), crop, self._shape))
            mirror = self._dataset.skeleton.flip
            joints.append(joints_in_crop(record.keypoints[person], crop, self._shape, mirror))
        images = torch.from_numpy(normalise(crops))
        return images, crop_targets(self._head, crops, np.stack(joints), step)


def train_crops(
    net: Network, batches: PersonBatches, options: OptimizerOptions, steps: int, folder: Path
) -> int:
    """Train `net` in place to `steps` steps, from the last checkpoint in `folder` if there is one.

    Returns:
        the number of the signal that stopped it after saving, or 0.
    """
    about = {"arch": net.arch.to_dict(), "num_joints": net.num_joints}
    state, loss = TrainingState(net, options, about), PoseLoss(head_of(net.arch))
    checkpoints = CheckpointFolder(folder / FOLDER, keep=1)
    last = checkpoints.last()
    if last is not None:
        state.restore(last)
    with StopRequest() as stop, ProgressBar("training", steps, state.step) as bar:
        while state.step < steps:
            images, targets = batches(state.step)
            state.gradient.zero()
            error, _ = loss(net(images.contiguous(memory_format=torch.channels_last)), targets)
            error.backward()  # type: ignore[no-untyped-call]
            state.gradient.clip(options.clip)
            for group in state.optimizer.param_groups:
                group["lr"] = learning_rate(options, state.step, steps)
            state.optimizer.step()
            state.step += 1
            bar.update(state.step, f"loss {error.item():.5f}")
            if state.step == steps or state.step % SAVE_EVERY == 0 or stop.signal:
                checkpoints.save(state.step, state.snapshot({}))
            if stop.signal and state.step < steps:
                return stop.signal
    return 0


# Per image its boxes (P, 4) x, y, width, height and their scores (P,).
Boxes = list[tuple[FloatArray, FloatArray]]


def open_boxes(source: str, dataset: PoseDataset) -> Boxes:
    """`truth`, or those of a file of COCO keypoint results; one entry per image of the whole `dataset`.

    Raises:
        InputError: see `predicted_boxes`.
    """
    return true_boxes(dataset) if source == TRUTH else predicted_boxes(source, dataset)


def boxes_digest(boxes: Boxes) -> str:
    """SHA-256 over the boxes and scores of all images."""
    digest = hashlib.sha256()
    for values, scores in boxes:
        for array in (values, scores):
            digest.update(f"{array.shape}".encode())
            digest.update(np.ascontiguousarray(array, np.float64).tobytes())
    return digest.hexdigest()


def true_boxes(dataset: PoseDataset) -> Boxes:
    """The ground truth's boxes of people, crowds left out, all of score 1."""
    found = []
    for record in dataset.records:
        boxes = record.boxes[~record.crowd.astype(bool)]
        found.append((boxes, np.ones(len(boxes))))
    return found


def predicted_boxes(path: str | Path, dataset: PoseDataset) -> Boxes:
    """Boxes around the joints that another network found, from its COCO keypoint results.

    Raises:
        InputError: the file is missing, or is no list of results for these images.
    """
    found = read_json(path, "detections")
    try:
        detections = read_detections(found, dataset.ground_truth(), dataset.skeleton)
    except InputError as error:
        raise InputError(f"topdown.boxes={path}: {error}") from None
    by_image: dict[int, list[tuple[FloatArray, float]]] = {}
    for item in detections:
        joints = np.asarray(item["keypoints"]).reshape(-1, 3)
        placed = joints[joints[:, 2] > 0, :2]
        if len(placed):
            low, high = placed.min(axis=0), placed.max(axis=0)
            entry = (np.concatenate([low, high - low]), float(item["score"]))
            by_image.setdefault(item["image_id"], []).append(entry)
    boxes = []
    for record in dataset.records:
        here = by_image.get(record.image_id, [])
        stacked = np.array([box for box, _ in here]).reshape(-1, 4)
        boxes.append((stacked, np.array([value for _, value in here])))
    return boxes


def find_people(
    run: Run,
    head: Head,
    dataset: PoseDataset,
    boxes: Boxes,
    shape: tuple[int, int],
    flip: bool,
    batch_size: int = 16,
) -> list[People]:
    """One `People` per image, in the order of `boxes`; a person's score is its box's times its joints' mean.

    Args:
        run: (B, 3, H, W) normalised crops to the outputs of `head`.
        head: of the network.
        dataset: the images.
        boxes: per image.
        shape: (height, width) of the crops.
        flip: average with the mirrored crop.
        batch_size: crops that run together.
    """
    found = []
    with ProgressBar("images", len(dataset)) as bar:
        for index, (image_boxes, scores) in enumerate(boxes):
            image = dataset.read_image(index)
            crops = [crop_of_box(box, shape) for box in image_boxes]
            poses: list[Floats] = []
            for start in range(0, len(crops), batch_size):
                part = crops[start : start + batch_size]
                pixels = normalise([warp_crop(image, crop, shape) for crop in part])
                passes = [run(pixels)]
                if flip:
                    passes.append(run(np.ascontiguousarray(pixels[..., ::-1])))
                found_bj3 = head.person(passes, dataset.skeleton)
                poses += [in_image(pose, crop) for pose, crop in zip(found_bj3, part, strict=True)]
            found.append(_people(poses, scores, dataset.skeleton.num_joints))
            bar.update(index + 1)
    return found


def _people(poses: Sequence[Floats], box_scores: FloatArray, joints: int) -> People:
    keypoints = np.array(poses, np.float32).reshape(-1, joints, 3)
    scores = (box_scores * keypoints[..., 2].mean(axis=1)).astype(np.float32)
    return People(keypoints, np.zeros((len(scores), 1), np.float32), scores)


def score_people(dataset: PoseDataset, people: Sequence[People]) -> tuple[Mapping[str, float], list[Any]]:
    """The protocol's metrics and the detections as COCO keypoint results."""
    detections = to_coco_results(people, [record.image_id for record in dataset.records])
    truth = dataset.ground_truth()
    return score(truth, detections, dataset.protocol, skeleton=dataset.skeleton), detections

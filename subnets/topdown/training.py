"""Training a top-down network on crops of labelled people; batches derive from (seed, step)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from supernet.data.dataset import PoseDataset
from supernet.data.targets import Targets
from supernet.errors import InputError
from supernet.heads.contract import head_of
from supernet.heads.losses import PoseLoss
from supernet.pose.preprocess import normalise
from supernet.runs.progress import ProgressBar, StopRequest
from supernet.training.checkpoint import FOLDER, CheckpointFolder
from supernet.training.options import OptimizerOptions
from supernet.training.state import TrainingState, learning_rate

from ..network import Network
from .crops import crop_targets, random_crop, warp_crop
from .options import CropOptions

# Every this many steps a checkpoint.
SAVE_EVERY = 100
Person = tuple[int, int]


class PersonBatches:
    """Random crops of the labelled people of a data set.

    Args:
        dataset: the training split.
        shape: (height, width) of the crops.
        batch_size: people per step.
        seed: of the draws.
        augment: of the crops.

    Raises:
        InputError: nobody is labelled.
    """

    def __init__(
        self, dataset: PoseDataset, shape: tuple[int, int], batch_size: int, seed: int, augment: CropOptions
    ) -> None:
        self._dataset, self._shape, self._size, self._seed = dataset, shape, batch_size, seed
        self._augment = augment if dataset.skeleton.mirrors else replace(augment, flip=None)
        self.people: Sequence[Person] = [
            (index, person)
            for index, record in enumerate(dataset.records)
            for person in range(record.num_people)
            if not record.crowd[person] and (record.keypoints[person, :, 2] > 0).any()
        ]
        if not self.people:
            raise InputError(f"{dataset.name} labels nobody to train on")

    def __call__(self, step: int) -> tuple[Tensor, Targets]:
        """Crops (B, 3, H, W) of `step`, and heatmaps (B, J, H/4, W/4) with those that count (B, J)."""
        rng = np.random.default_rng([self._seed, step])
        crops, heats, counted = [], [], []
        for place in rng.integers(len(self.people), size=self._size):
            index, person = self.people[place]
            record = self._dataset.records[index]
            crop = random_crop(rng, record.boxes[person], self._shape, self._augment)
            crops.append(warp_crop(self._dataset.read_image(index), crop, self._shape))
            mirror = self._dataset.skeleton.flip
            target, counts = crop_targets(record.keypoints[person], crop, self._shape, mirror)
            heats.append(target)
            counted.append(counts)
        arrays = (normalise(crops), np.stack(heats), np.stack(counted))
        images, heats_bjhw, counted_bj = (torch.from_numpy(array) for array in arrays)
        mask_bhw = torch.ones_like(heats_bjhw[:, 0])
        nobody = torch.zeros(len(crops), 0, heats_bjhw.shape[1], 3, dtype=torch.int64)
        return images, Targets((heats_bjhw,), (mask_bhw,), nobody, counted_bj)


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

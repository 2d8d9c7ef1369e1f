"""Batch norms calibrated, and networks scored on a data set: images prepared once, nothing rebuilt."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .cost import Passes
from .data.annotations.records import Faults, Skipped
from .data.batch import normalise
from .data.dataset import PoseDataset
from .data.options import AugmentOptions
from .data.plan import evenly
from .data.reading import stream_images
from .data.transforms import sample, warp_image
from .errors import InputError
from .family import Architecture
from .heads.contract import Head, head_of
from .layers.elastic import ElasticBatchNorm2d
from .network import Supernet
from .options import EvaluationOptions
from .pose.grouping import DecodeOptions
from .pose.inference import InferenceOptions, Prepared, Run, infer_prepared, prepare
from .pose.people import Floats
from .pose.preprocess import check_shape
from .pose.protocols import score
from .pose.results import to_coco_results

_LOG = logging.getLogger(__name__)


Norm = ElasticBatchNorm2d | nn.BatchNorm2d


@contextmanager
def _collecting(net: nn.Module) -> Iterator[list[Norm]]:
    """Norms in training mode and everything else as it was; modes and momenta are restored at the end."""
    norms: list[Norm] = [m for m in net.modules() if isinstance(m, ElasticBatchNorm2d | nn.BatchNorm2d)]
    before = [(norm.training, norm.momentum) for norm in norms]
    try:
        for norm in norms:
            norm.train()
        yield norms
    finally:
        for norm, (training, momentum) in zip(norms, before, strict=True):
            norm.train(training)
            norm.momentum = momentum


def calibrate_by(net: nn.Module, forward: Callable[[Tensor], object], batches: Iterable[Tensor]) -> int:
    """Set the running statistics of `net`'s batch norms to the averages over `batches`.

    Every batch weighs the same; the statistics do not depend on what they were before.

    Args:
        net: the module whose norms are set.
        forward: runs `net` on images (B, 3, H, W).
        batches: normalised images without augmentation, from the training split.

    Returns:
        the number of batches seen.

    Raises:
        ValueError: there is no batch.
    """
    count = 0
    with torch.no_grad(), _collecting(net) as norms:
        for images in batches:
            if not count:
                # Momentum 1 alone would keep a NaN of before.
                for norm in norms:
                    norm.reset_running_stats()
            count += 1
            for norm in norms:
                norm.momentum = 1.0 / count
            forward(images)
    if not count:
        raise ValueError("calibration needs at least one batch of images")
    return count


def calibrate(net: Supernet, arch: Architecture, batches: Iterable[Tensor]) -> int:
    """Calibrate the subnet `arch` of a supernet; see `calibrate_by`."""
    return calibrate_by(net, lambda images: net(images, arch), batches)


@dataclass(frozen=True)
class Evaluation:
    """What one network scored.

    Attributes:
        stats: the protocol's metrics by name (`AP`, `AP50`, ...), in 0..1.
        detections: COCO keypoint results.
        seconds: of inference and decoding, preparation and scoring left out.
        decoding: seconds of them in which people were made of the network's outputs.
    """

    stats: dict[str, float]
    detections: list[dict[str, Any]]
    seconds: float
    decoding: float


class Evaluator:
    """Scores anything that runs on one split.

    Args:
        dataset: the split; prepared images are kept per resolution, as far as `options.memory` reaches.
        options: of the test: flip, scales, batches, what is kept.
        scorer: as for `supernet.pose.score`.
        decode: thresholds, limits and rule of grouping, where `options.matching` names no other.

    Attributes:
        dataset: what is scored; its `skipped` lists what was left out, on opening or now.

    Raises:
        InputError: the split is empty, or holds an image that cannot be scored (`on_error="raise"`).
    """

    def __init__(
        self,
        dataset: PoseDataset,
        options: EvaluationOptions,
        scorer: str = "auto",
        decode: DecodeOptions | None = None,
    ) -> None:
        if options.flip and not dataset.skeleton.mirrors:
            raise InputError(
                "evaluation.flip needs to know which joints mirror which; "
                f"give skeleton {dataset.skeleton.name!r} its flip"
            )
        self.dataset = scored_part(dataset, options.images)
        self.options = options
        self.ground_truth = self.dataset.ground_truth()
        self._scorer = scorer
        self._decode = decode or DecodeOptions()
        if options.matching is not None:
            self._decode = replace(self._decode, matching=options.matching)
        self.image_ids = [record.image_id for record in self.dataset.records]
        # By resolution: the prepared images by their place, and their bytes.
        self._prepared: dict[int, dict[int, Prepared]] = {}
        self._held: dict[int, int] = {}
        self._preparing = 0.0

    def __call__(self, run: Run, resolution: int, head: Head) -> Evaluation:
        """Run, decode and score.

        Args:
            run: (B, 3, H, W) normalised images to the network's outputs.
            resolution: short side of the network's input in pixels.
            head: of the network.
        """
        prepared = self.prepared(resolution)
        running = 0.0

        def timed(images: Floats) -> Sequence[Any]:
            nonlocal running
            began = time.perf_counter()
            outputs = run(images)
            running += time.perf_counter() - began
            return outputs

        start, prepared_before = time.perf_counter(), self._preparing
        people = infer_prepared(timed, prepared, head, self.dataset.skeleton, self._inference(resolution))
        seconds = time.perf_counter() - start - (self._preparing - prepared_before)
        detections = to_coco_results(people, self.image_ids)
        stats = score(
            self.ground_truth, detections, self.dataset.protocol, self._scorer, self.dataset.skeleton
        )
        return Evaluation(stats, detections, seconds, seconds - running)

    def first(self, images: int) -> Evaluator:
        """The same for the first `images` images alone; what either prepares, both have."""
        part = copy.copy(self)
        part.dataset = self.dataset.subset(range(images))
        part.dataset.require_people()
        part.ground_truth = part.dataset.ground_truth()
        part.image_ids = self.image_ids[:images]
        return part

    @property
    def passes(self) -> Passes:
        """What is run for an image."""
        return Passes.of(self.options, ((one.height, one.width) for one in self.dataset.records))

    @property
    def described(self) -> str:
        """The split, how many of its images are scored, and how many records were left out."""
        left_out = len(self.dataset.skipped)
        note = f" ({left_out} records left out)" if left_out else ""
        return f"{self.dataset.name}, {len(self.dataset)} images{note}"

    def prepared(self, resolution: int) -> Iterator[Prepared]:
        """The split's images, resized for `resolution`."""
        kept = self._prepared.setdefault(resolution, {})
        for index in range(len(self.dataset)):
            item = kept.get(index)
            if item is None:
                start = time.perf_counter()
                (item,) = prepare([self.dataset.read_image(index)], self._inference(resolution))
                self._preparing += time.perf_counter() - start
                self._keep(resolution, index, item)
            yield item

    def _keep(self, resolution: int, index: int, item: Prepared) -> None:
        """Keep a prepared image if there is room; a resolution that has more than its share gives some."""
        size = _bytes(item)
        while sum(self._held.values()) + size > 1e9 * self.options.memory:
            most = max(self._held, key=self._held.__getitem__, default=resolution)
            if self._held.get(most, 0) <= self._held.get(resolution, 0) + size:
                return
            self._held[most] -= _bytes(self._prepared[most].popitem()[1])
        self._prepared[resolution][index] = item
        self._held[resolution] = self._held.get(resolution, 0) + size

    def _inference(self, resolution: int) -> InferenceOptions:
        return InferenceOptions(
            resolution=resolution,
            flip=self.options.flip,
            scales=tuple(self.options.scales),
            square=self.options.square,
            batch_size=self.options.batch_size,
            decode=self._decode,
        )


def _bytes(item: Prepared) -> int:
    return sum(view.pixels.nbytes for view in item.views)


class SupernetEvaluator:
    """Scores subnets of one supernet: calibrate batch norm on training images, infer, decode, score.

    Args:
        net: the supernet, on the device to use.
        train_set: where the calibration images come from.
        evaluator: the split, and how to score on it.
    """

    def __init__(self, net: Supernet, train_set: PoseDataset, evaluator: Evaluator) -> None:
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.evaluator = evaluator
        self._train_set = train_set
        self._calibration: dict[int, list[Tensor]] = {}

    def __call__(self, arch: Architecture) -> Evaluation:
        """Calibrate and score the subnet `arch`; its statistics stay in the supernet until the next call."""
        self.calibrate(arch)
        return self.evaluator(supernet_run(self.net, arch), arch.resolution, head_of(arch))

    def on(self, evaluator: Evaluator) -> SupernetEvaluator:
        """The same supernet, calibrated on the same images, scored by another evaluator."""
        other = copy.copy(self)
        other.evaluator = evaluator
        return other

    def calibrate(self, arch: Architecture) -> None:
        """Set the supernet's batch-norm statistics to those of `arch`."""
        calibrate(self.net, arch, self.calibration_batches(arch.resolution))
        self.net.eval()

    def calibration_batches(self, resolution: int) -> list[Tensor]:
        """Normalised training images (B, 3, R, R) at `resolution`, the same ones every time."""
        if resolution not in self._calibration:
            device = next(self.net.parameters()).device
            options = self.evaluator.options
            batches = calibration_batches(
                self._train_set, resolution, options.calibration_images, options.batch_size
            )
            self._calibration[resolution] = [batch.to(device) for batch in batches]
        return self._calibration[resolution]


def scores_by_source(
    dataset: PoseDataset, detections: Sequence[dict[str, Any]], scorer: str = "auto"
) -> dict[str, dict[str, float]]:
    """The metrics on the images of each source alone; nothing where there is one, or nobody to find.

    Args:
        dataset: what was scored.
        detections: COCO keypoint results on it.
        scorer: as for `supernet.pose.score`.
    """
    sources = dataset.by_source()
    found: dict[str, dict[str, float]] = {}
    for source, indices in sources.items() if len(sources) > 1 else ():
        part = dataset.subset(indices)
        if part.num_scored():
            ids = {record.image_id for record in part.records}
            own = [one for one in detections if one["image_id"] in ids]
            truth = part.ground_truth()
            found[source] = score(truth, own, part.protocol, scorer=scorer, skeleton=part.skeleton)
    return found


def scored_part(dataset: PoseDataset, images: int | None) -> PoseDataset:
    """The `readable` ones of the first `images` images of `dataset` (None for all): what `Evaluator` scores.

    Raises:
        InputError: there is none, or one that cannot be scored (`on_error="raise"`).
    """
    count = len(dataset) if images is None else min(images, len(dataset))
    if not count:
        raise InputError(f"{dataset.name} has no images to evaluate on")
    return readable(dataset.subset(range(count)))


def readable(dataset: PoseDataset) -> PoseDataset:
    """`dataset`, with `on_error="skip"` without the images that cannot be scored: those that cannot be
    decoded or are too long for a network. They are logged, and listed in the `skipped` of what is left.

    Raises:
        InputError: an image is too long (`on_error="raise"`), or none is left.
    """
    faults = Faults(dataset.on_error)
    fitting = []
    for index, record in enumerate(dataset.records):
        try:
            check_shape(record.width, record.height)
            fitting.append(index)
        except InputError as error:
            faults.add(dataset.name, f"image {record.image_id}", str(error))
    _log(faults.skipped)
    left = dataset.subset(fitting)
    left.skipped = [*dataset.skipped, *faults.skipped]
    return _decodable(left)


def _decodable(dataset: PoseDataset) -> PoseDataset:
    """`dataset`, with `on_error="skip"` without the images that cannot be decoded."""
    if dataset.on_error != "skip":
        return dataset
    before = len(dataset.skipped)
    left = dataset.subset([index for index, _ in stream_images(dataset)])
    _log(left.skipped[before:])
    # Nothing is left to skip: whoever filters it again need not decode it all once more.
    left.on_error = "raise"
    if not len(left):
        raise InputError(f"{dataset.name}: none of its {len(dataset)} images can be read")
    return left


def _log(faults: Iterable[Skipped]) -> None:
    for fault in faults:
        _LOG.warning("%s; left out", fault)


def calibration_part(dataset: PoseDataset, images: int) -> PoseDataset:
    """`images` images spread evenly over `dataset`, or all where it has fewer."""
    return dataset.subset(evenly(len(dataset), images))


def calibration_batches(
    dataset: PoseDataset, resolution: int, images: int, batch_size: int
) -> Iterator[Tensor]:
    """Normalised (B, 3, R, R) batches of the centred square crops of images spread evenly over `dataset`.

    Nothing is augmented (design, section 5); a last batch that would be smaller is left out unless it is the
    only one.
    """
    chosen = _decodable(calibration_part(dataset, images))
    batch_size = min(batch_size, len(chosen))
    rng = np.random.default_rng(0)
    for start in range(0, len(chosen) - batch_size + 1, batch_size):
        crops = []
        for index in range(start, start + batch_size):
            image = chosen.read_image(index)
            height, width = image.shape[:2]
            crops.append(warp_image(image, sample(rng, width, height, resolution, AugmentOptions.none())))
        yield normalise(torch.from_numpy(np.stack(crops)))


def supernet_run(net: Supernet, arch: Architecture) -> Run:
    """The subnet `arch` of `net` as a function of numpy images, in `net`'s mode and on its device."""
    device = next(net.parameters()).device

    def run(images: np.ndarray[Any, np.dtype[np.float32]]) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
        with torch.inference_mode():
            tensor = torch.from_numpy(images).to(device).contiguous(memory_format=torch.channels_last)
            return [output.float().cpu().contiguous().numpy() for output in net(tensor, arch)]

    return run

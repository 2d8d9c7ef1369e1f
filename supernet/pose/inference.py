"""Test-time inference: images in, passes merged, people in image coordinates out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from ..errors import InputError
from ..heads.contract import HEADS, Head
from .grouping import DecodeOptions, to_array
from .people import Floats, People
from .preprocess import View, normalise, preprocess
from .skeletons import Skeleton


def merge_heatmaps(passes: Sequence[Sequence[Floats]], flip: Sequence[int]) -> Floats:
    """Average the heatmaps of all outputs and both passes, at the finest output's size.

    Args:
        passes: one or two times the outputs (J or more channels, h, w), the second of the mirrored image.
        flip: the mirror image of every joint (`Skeleton.flip`).

    Returns:
        (J, H, W) heatmaps in the plain pass's coordinates.
    """
    height, width = max(output.shape[1:] for output in passes[0])
    heat_jhw = np.empty((len(flip), height, width), np.float32)
    share = 1 / (len(passes) * len(passes[0]))
    for joint, mirror in enumerate(flip):
        heat_hw = heat_jhw[joint]
        for place, outputs in enumerate(zip(*passes, strict=True)):
            plane = outputs[0][joint]
            for mirrored in outputs[1:]:
                plane = plane + cv2.flip(mirrored[mirror], 1)
            if place == 0:
                cv2.resize(plane, (width, height), dst=heat_hw)
            elif plane.shape == heat_hw.shape:
                heat_hw += plane
            else:
                heat_hw += cv2.resize(plane, (width, height))
        heat_hw *= share
    return heat_jhw


def align(heat_jhw: Floats, scale: float, offset: tuple[float, float], size: tuple[int, int]) -> Floats:
    """Heatmaps (J, H, W) on a map of `size` (H, W), whose place x is `x * scale + offset` on them."""
    matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    matrix[:, 2] += 0.5 * scale - 0.5  # OpenCV counts the centre of pixel i as i
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    aligned = [
        cv2.warpAffine(heat_hw, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for heat_hw in heat_jhw
    ]
    return np.stack(aligned)


def average_views(heats: Sequence[Floats], views: Sequence[View]) -> Floats:
    """Heatmaps (J, H, W) of an image at several scales, averaged on the map of the first."""
    if len(heats) == 1:
        return heats[0]
    base, size = views[0], heats[0].shape[1:]
    total = heats[0].copy()
    stride = base.size[1] / size[1]
    for heat_jhw, view in zip(heats[1:], views[1:], strict=True):
        # place on the base map -> base input -> image -> this input -> place on this map
        own = view.size[1] / heat_jhw.shape[2]
        scale = stride / base.scale * view.scale / own
        x, y = (
            (to - start / base.scale * view.scale) / own
            for start, to in zip(base.offset, view.offset, strict=True)
        )
        total += align(heat_jhw, scale, (x, y), (size[0], size[1]))
    return total / np.float32(len(heats))


# (B, 3, H, W) float32 normalised images -> the outputs of the network's head
Run = Callable[[Floats], Sequence[Any]]


@dataclass(frozen=True)
class InferenceOptions:
    """How images are run and decoded.

    Attributes:
        resolution: short side of the input in pixels; rounded up to a multiple of 32.
        flip: also run the mirrored image: heatmaps are averaged, tags stacked.
        scales: multi-scale test; heatmaps are averaged, tags come from the scale nearest to 1.
        square: letterbox into resolution x resolution, for networks with a fixed input shape.
        batch_size: images of equal shape that run together.
        decode: thresholds and limits of grouping.
    """

    resolution: int = 512
    flip: bool = True
    scales: tuple[float, ...] = (1.0,)
    square: bool = False
    batch_size: int = 8
    decode: DecodeOptions = field(default_factory=DecodeOptions)

    def __post_init__(self) -> None:
        if self.resolution < 1 or self.batch_size < 1:
            raise InputError(
                f"resolution and batch_size must be at least 1, got {self.resolution}, {self.batch_size}"
            )
        if not self.scales or not all(scale > 0 for scale in self.scales):
            raise InputError(f"scales must be one or more positive numbers, got {list(self.scales)}")


@dataclass(frozen=True, eq=False)
class Prepared:
    """One image at every scale of the test, the one that tags come from first."""

    views: tuple[View, ...]


def prepare(images: Iterable[Any], options: InferenceOptions | None = None) -> list[Prepared]:
    """Preprocess (H, W, 3) uint8 RGB images once, to be inferred many times.

    Raises:
        InputError: something that is no image, named by its place in `images`.
    """
    return list(_prepare(images, options or InferenceOptions()))


def _prepare(images: Iterable[Any], options: InferenceOptions) -> Iterator[Prepared]:
    scales = sorted(options.scales, key=lambda scale: abs(np.log(scale)))
    for index, image in enumerate(images):
        try:
            views = [preprocess(image, options.resolution, scale, options.square) for scale in scales]
        except InputError as error:
            raise InputError(f"image {index}: {error}") from None
        yield Prepared(tuple(views))


def infer(
    run: Run,
    images: Iterable[Any],
    skeleton: Skeleton | str | os.PathLike[str] = "crowdpose",
    options: InferenceOptions | None = None,
    head: str = "embedding",
) -> list[People]:
    """The people in each image, in its own pixel coordinates.

    `images` may be a generator: at most `batch_size` images per input shape are held at a time.

    Args:
        run: the network (see `Run`).
        images: (H, W, 3) uint8 RGB arrays, of any sizes.
        skeleton: the joints of the heatmaps.
        options: resolution, flip and multi-scale test, batching, decoding.
        head: the name of the network's.

    Returns:
        One `People` per image, in order. The result does not depend on how images fall into batches, as far
        as the network's own output does not.

    Raises:
        InputError: something that is no image, or outputs that do not fit the skeleton.
    """
    options = options or InferenceOptions()
    return infer_prepared(run, _prepare(images, options), HEADS.get(head), skeleton, options)


def infer_prepared(
    run: Run,
    prepared: Iterable[Prepared],
    head: Head,
    skeleton: Skeleton | str | os.PathLike[str] = "crowdpose",
    options: InferenceOptions | None = None,
) -> list[People]:
    """`infer` on images that `prepare` made ready."""
    layout, options = Skeleton.load(skeleton), options or InferenceOptions()
    found: dict[int, People] = {}
    waiting: dict[tuple[tuple[int, int], ...], list[tuple[int, Prepared]]] = {}
    for index, item in enumerate(prepared):
        batch = waiting.setdefault(tuple(view.size for view in item.views), [])
        batch.append((index, item))
        if len(batch) == options.batch_size:
            found.update(_infer_batch(run, batch, layout, options, head))
            batch.clear()
    for batch in waiting.values():
        if batch:
            found.update(_infer_batch(run, batch, layout, options, head))
    return [found[index] for index in range(len(found))]


def _infer_batch(
    run: Run, batch: list[tuple[int, Prepared]], skeleton: Skeleton, options: InferenceOptions, head: Head
) -> dict[int, People]:
    passes = []
    for place in range(len(batch[0][1].views)):
        images = normalise([item.views[place].pixels for _, item in batch])
        passes.append(run_passes(run, images, head, skeleton, options.flip))
    return {
        index: head.people([view[number] for view in passes], item.views, skeleton, options.decode)
        for number, (index, item) in enumerate(batch)
    }


def run_passes(
    run: Run, images: Floats, head: Head, skeleton: Skeleton, flip: bool = True
) -> list[list[list[Floats]]]:
    """For every image the outputs (channels, h, w) of one pass, or with `flip` of a second, mirrored one too.

    Raises:
        InputError: the network's outputs do not fit the skeleton, or it does not know its mirror pairs.
    """
    if flip and not skeleton.mirrors:
        raise InputError(f"flip needs the mirror pairs of skeleton {skeleton.name!r}; give it its flip")
    passes = []
    for inputs in (images, np.ascontiguousarray(images[..., ::-1]))[: 1 + flip]:
        outputs = [to_array(output) for output in run(inputs)]
        head.check_outputs(outputs, images.shape, skeleton)
        passes.append(outputs)
    return [[[output[i] for output in outputs] for outputs in passes] for i in range(len(images))]

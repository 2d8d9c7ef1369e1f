"""Test-time inference: images in, people in image coordinates out, whatever runs the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from ..errors import InputError
from .grouping import DecodeOptions, decode, to_array
from .people import Floats, People
from .preprocess import View, normalise, preprocess
from .skeletons import Skeleton


def merge_passes(passes: Sequence[tuple[Floats, Floats]], flip: Sequence[int]) -> tuple[Floats, Floats]:
    """Average the heatmaps of both scales and of the plain and the mirrored pass; stack the tags.

    Args:
        passes: one or two (quarter (2J, h, w), half (J, H, W)) raw outputs, the second of the mirrored image.
        flip: the mirror image of every joint (`Skeleton.flip`).

    Returns:
        heatmaps (J, H, W) and tags (J, h, w, T), T the number of passes, in the plain pass's coordinates.
    """
    joints = len(flip)
    size = passes[0][1].shape[:0:-1]
    heat_jhw = np.empty((joints, size[1], size[0]), np.float32)
    tags_tjhw = np.empty((len(passes), joints, *passes[0][0].shape[1:]), np.float32)
    share = 0.5 / len(passes)
    for joint, mirror in enumerate(flip):
        quarter, half = (plane[joint] for plane in passes[0])
        tags_tjhw[0, joint] = passes[0][0][joints + joint]
        if len(passes) == 2:
            mirrored_quarter, mirrored_half = passes[1]
            quarter = quarter + cv2.flip(mirrored_quarter[mirror], 1)
            half = half + cv2.flip(mirrored_half[mirror], 1)
            cv2.flip(mirrored_quarter[joints + mirror], 1, dst=tags_tjhw[1, joint])
        heat_hw = heat_jhw[joint]
        cv2.resize(quarter, size, dst=heat_hw)
        heat_hw += half
        heat_hw *= share
    # A view with the tag axis last: nothing is copied for it.
    return heat_jhw, np.moveaxis(tags_tjhw, 0, -1)


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


# (B, 3, H, W) float32 normalised images -> [(B, 2J, H/4, W/4) heatmaps then tags, (B, J, H/2, W/2) heatmaps]
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
) -> list[People]:
    """The people in each image, in its own pixel coordinates.

    `images` may be a generator: at most `batch_size` images per input shape are held at a time.

    Args:
        run: the network (see `Run`).
        images: (H, W, 3) uint8 RGB arrays, of any sizes.
        skeleton: the joints of the heatmaps.
        options: resolution, flip and multi-scale test, batching, decoding.

    Returns:
        One `People` per image, in order. The result does not depend on how images fall into batches, as far
        as the network's own output does not.

    Raises:
        InputError: something that is no image, or outputs that do not fit the skeleton.
    """
    options = options or InferenceOptions()
    return infer_prepared(run, _prepare(images, options), skeleton, options)


def infer_prepared(
    run: Run,
    prepared: Iterable[Prepared],
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
            found.update(_infer_batch(run, batch, layout, options))
            batch.clear()
    for batch in waiting.values():
        if batch:
            found.update(_infer_batch(run, batch, layout, options))
    return [found[index] for index in range(len(found))]


def _infer_batch(
    run: Run, batch: list[tuple[int, Prepared]], skeleton: Skeleton, options: InferenceOptions
) -> dict[int, People]:
    passes = []
    for place in range(len(batch[0][1].views)):
        views = [item.views[place] for _, item in batch]
        passes.append(run_passes(run, normalise([view.pixels for view in views]), skeleton, options.flip))
    return {
        index: group_passes([scale[number] for scale in passes], item, skeleton, options)
        for number, (index, item) in enumerate(batch)
    }


def group_passes(
    passes: Sequence[Sequence[tuple[Floats, Floats]]],
    prepared: Prepared,
    skeleton: Skeleton,
    options: InferenceOptions,
) -> People:
    """The people of one image from its raw outputs; the second half of `infer`.

    Args:
        passes: per view of `prepared` what `run_passes` gave for it.
        prepared: the image.
        skeleton, options: as for `infer`.
    """
    merged = [merge_passes(each, skeleton.flip) for each in passes]
    heats = [heat_jhw for heat_jhw, _ in merged]
    heat_jhw = _average_scales(heats, prepared.views) if len(heats) > 1 else heats[0]
    people = decode(heat_jhw[None], merged[0][1][None], skeleton, options.decode)[0]
    return to_image(people, prepared.views[0], heat_jhw.shape[1:])


def run_passes(
    run: Run, images: Floats, skeleton: Skeleton, flip: bool = True
) -> list[list[tuple[Floats, Floats]]]:
    """For every image its raw (quarter, half) outputs: one pass, or with `flip` a second one, mirrored.

    Raises:
        InputError: the network's outputs do not fit the skeleton.
    """
    passes = [_checked(run(images), images, skeleton)]
    if flip:
        passes.append(_checked(run(np.ascontiguousarray(images[..., ::-1])), images, skeleton))
    return [[(quarter[i], half[i]) for quarter, half in passes] for i in range(len(images))]


def _checked(outputs: Sequence[Any], images: Floats, skeleton: Skeleton) -> tuple[Floats, Floats]:
    heads = [to_array(output) for output in outputs]
    joints = skeleton.num_joints
    shapes = [head.shape for head in heads]
    if (
        [len(shape) for shape in shapes] != [4, 4]
        or [shape[:2] for shape in shapes] != [(len(images), 2 * joints), (len(images), joints)]
        or shapes[1][2:] != (2 * shapes[0][2], 2 * shapes[0][3])
    ):
        raise InputError(
            f"the network gives outputs {shapes} for input {images.shape}; skeleton {skeleton.name!r} needs"
            f" {2 * joints} channels at 1/4 and {joints} at 1/2 scale"
        )
    return heads[0], heads[1]


def _average_scales(heats: list[Floats], views: Sequence[View]) -> Floats:
    """Heatmaps of all scales averaged on the map of the first."""
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


def to_image(people: People, view: View, size: tuple[int, ...]) -> People:
    """`people` on a heatmap of `size` (H, W) in the coordinates of the image that `view` shows."""
    stride_y, stride_x = view.size[0] / size[0], view.size[1] / size[1]
    scale = (stride_x / view.scale, stride_y / view.scale)
    return people.moved(scale, (-view.offset[0] / view.scale, -view.offset[1] / view.scale))

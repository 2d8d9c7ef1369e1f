"""From an image to its people in three steps that can run in three threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from supernet.errors import InputError
from supernet.heads.contract import HEADS, graph_head
from supernet.pose.grouping import DecodeOptions
from supernet.pose.inference import Prepared, run_passes
from supernet.pose.people import People
from supernet.pose.preprocess import View, check_image, normalise, place, preprocess
from supernet.pose.skeletons import Skeleton

from .manifest import Manifest


def letterbox(image: Any, shape: tuple[int, int]) -> View:
    """`image` (H, W, 3) uint8 RGB as large as it fits into (height, width) = `shape`, centred on black.

    Raises:
        InputError: it is no such image.
    """
    pixels = check_image(image)
    height, width = shape
    factor = min(height / pixels.shape[0], width / pixels.shape[1])
    offset = ((width - pixels.shape[1] * factor) / 2, (height - pixels.shape[0] * factor) / 2)
    return View(place(pixels, factor, offset, (width, height)), factor, offset)


Run = Callable[[Any], Sequence[Any]]


@dataclass(frozen=True)
class PredictorOptions:
    """How a network is used on images.

    Attributes:
        resolution: short side of its input in pixels.
        input_shape: (height, width) of a network that takes only that; None for any.
        peaks: whether its graph ends in peaks or people instead of maps.
        head_kind: the name of its head.
        flip: also run the mirrored image.
        scales: multi-scale test, multiples of the resolution.
        min_score: people below this score are left out.
        decode: thresholds of grouping.
    """

    resolution: int
    input_shape: tuple[int, int] | None = None
    peaks: bool = False
    head_kind: str = "embedding"
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    min_score: float = 0.0
    decode: DecodeOptions = field(default_factory=DecodeOptions)

    def __post_init__(self) -> None:
        several = self.flip or tuple(self.scales) != (1.0,)
        if several and self.peaks:
            raise InputError("flip and multi-scale tests need heatmaps; this network gives peaks")
        if tuple(self.scales) != (1.0,) and self.input_shape is not None:
            raise InputError("a multi-scale test needs a network that takes any input shape")


class Predictor:
    """Finds people in images; `predictor(image)` does all three steps.

    Args:
        run: the network, (B, 3, H, W) float32 to its outputs.
        skeleton: its joints.
        options: its input and how to use it.
    """

    def __init__(self, run: Run, skeleton: Skeleton, options: PredictorOptions) -> None:
        self.skeleton = skeleton
        self.options = options
        self._run = run
        self._head = graph_head(HEADS.get(options.head_kind), options.peaks)

    @classmethod
    def of(
        cls, run: Run, manifest: Manifest, decode: DecodeOptions | None = None, **options: Any
    ) -> Predictor:
        """One that does what `manifest` says, by its rule of matching where `decode` is None; `options` are
        further ones of `PredictorOptions`.
        """
        decode = decode or DecodeOptions(matching=manifest.matching)
        shape, peaks = manifest.input_shape, bool(manifest.peaks)
        settings = PredictorOptions(
            manifest.resolution, shape, peaks, manifest.head_kind, decode=decode, **options
        )
        return cls(run, manifest.skeleton, settings)

    def __call__(self, image: Any) -> People:
        """The people in `image` (H, W, 3) uint8 RGB, in its pixel coordinates.

        Raises:
            InputError: it is no such image, or the network's outputs do not fit the skeleton.
        """
        return self.group(self.network(self.prepare(image)))

    def prepare(self, image: Any) -> Any:
        """First step: resize, pad, normalise."""
        options = self.options
        views = [self._view(image, scale) for scale in sorted(options.scales, key=lambda s: abs(np.log(s)))]
        return Prepared(tuple(views)), [normalise([view.pixels]) for view in views]

    def _view(self, image: Any, scale: float) -> Any:
        if self.options.input_shape is not None:
            return letterbox(image, self.options.input_shape)
        return preprocess(image, self.options.resolution, scale)

    def network(self, prepared: Any) -> Any:
        """Second step: the network, on each scale and its mirror image."""
        item, inputs = prepared
        known = self._head, self.skeleton, self.options.flip
        return item, [run_passes(self._run, images, *known)[0] for images in inputs]

    def group(self, computed: Any) -> People:
        """Third step: outputs to people."""
        item, outputs = computed
        people = self._head.people(outputs, item.views, self.skeleton, self.options.decode)
        return people.select(people.scores >= self.options.min_score)

"""Options of the data pipeline: plain dataclasses that import neither torch nor OpenCV."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import InputError
from .layouts import LAYOUTS

ON_ERROR = ("raise", "skip")
CACHES = ("none", "memory")
VERIFY = ("headers", "pixels", "none")


@dataclass
class AugmentOptions:
    """Training augmentation; one affine warp draws all four (design, section 6).

    Attributes:
        rotation: largest rotation in degrees, drawn uniformly from [-rotation, rotation]; 0..180.
        scale: the crop's side in multiples of the image's short side, drawn uniformly from this range; > 0.
        translation: largest shift of the crop's centre in multiples of its side, per axis; 0..1.
        flip: probability of a horizontal flip; 0..1.
    """

    rotation: float = 30.0
    scale: tuple[float, float] = (0.75, 1.5)
    translation: float = 0.2
    flip: float = 0.5

    def __post_init__(self) -> None:
        _in_range("data.augment.rotation", self.rotation, 0.0, 180.0)
        if len(self.scale) != 2 or not 0.0 < self.scale[0] <= self.scale[1] < math.inf:
            raise InputError(f"data.augment.scale={list(self.scale)} must be two numbers, 0 < low <= high")
        _in_range("data.augment.translation", self.translation, 0.0, 1.0)
        _in_range("data.augment.flip", self.flip, 0.0, 1.0)

    @classmethod
    def none(cls) -> AugmentOptions:
        """The centred square crop of the image's short side, without any randomness."""
        return cls(rotation=0.0, scale=(1.0, 1.0), translation=0.0, flip=0.0)


@dataclass
class DataOptions:
    """Where the images and annotations are and how to read them.

    Attributes:
        root: the data set's folder or .zip; zip files that lie in the folder are looked into as well.
        layout: where the files lie: "crowdpose" (`images/`, `json/crowdpose_{split}.json`), "coco"
            (`{split}/`, `annotations/person_keypoints_{split}.json`) or one that a plugin registers.
        protocol: how it is scored: "crowdpose", "coco" or one that a plugin registers; null takes that of
            the data set whose joints these are, for other joints the layout's.
        train_split, val_split, test_split: split names; "trainval" joins both; a path ending in .json is
            read as that one annotation file.
        skeleton: a joint layout's name or YAML file.
        on_error: "raise" stops at the first bad record; "skip" leaves it out, counts it and lists it.
        verify: what opening checks of the images. "headers" compares each file's header with its
            annotation (finds missing files and swapped sizes before training starts); "pixels" also
            decodes every image, to find damage that a decoder glosses over (a few milliseconds each);
            "none" opens without touching an image.
        cache: "memory" keeps decoded images in main memory; "none" decodes them anew each time.
        workers: loader processes; 0 loads in the main process.
        augment: the training augmentation.
    """

    root: str = "data/crowdpose"
    layout: str = "crowdpose"
    protocol: str | None = None
    train_split: str = "train"
    val_split: str = "val"
    test_split: str = "test"
    skeleton: str = "crowdpose"
    on_error: str = "raise"
    verify: str = "headers"
    cache: str = "none"
    workers: int = 2
    augment: AugmentOptions = field(default_factory=AugmentOptions)

    def __post_init__(self) -> None:
        _one_of("data.layout", self.layout, LAYOUTS.names())
        if self.protocol is not None:
            from ..pose.protocols import PROTOCOLS

            _one_of("data.protocol", self.protocol, PROTOCOLS.names())
        _one_of("data.on_error", self.on_error, ON_ERROR)
        _one_of("data.verify", self.verify, VERIFY)
        _one_of("data.cache", self.cache, CACHES)
        if self.workers < 0:
            raise InputError(f"data.workers={self.workers} must be 0 or more")


@dataclass
class LoaderOptions:
    """How training batches are made.

    Attributes:
        batch_size: images per step over all ranks together.
        seed: everything random in the batches derives from it; >= 0.
        sigma: standard deviation of the heatmap Gaussians, in pixels of each map.
        max_people: length of the people axis of `Batch.joints`; grows by multiples when an image needs more.
        prefetch: batches that each worker prepares ahead.
        keep_empty: train on images without any person too (two in five of COCO's).
    """

    batch_size: int = 16
    seed: int = 0
    sigma: float = 2.0
    max_people: int = 30
    prefetch: int = 2
    keep_empty: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_people", "prefetch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} must be 1 or more")
        if self.seed < 0:
            raise InputError(f"seed={self.seed} must be 0 or more")
        if not 0.0 < self.sigma < math.inf:
            raise InputError(f"sigma={self.sigma} must be a positive number of pixels")


def _one_of(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(f"{name}={value!r} is not one of {', '.join(known)}")


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{name}={value} is not between {low:g} and {high:g}")

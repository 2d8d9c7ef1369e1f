"""Options of the data pipeline: plain dataclasses that import neither torch nor OpenCV."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, cast

from ..errors import InputError
from ..options import Options, option
from .layouts import LAYOUTS

if TYPE_CHECKING:
    from ..pose.skeletons import Skeleton

VIEWS = ("auto", "upright", "stored")
ON_ERROR = ("raise", "skip")
CACHES = ("none", "memory")
VERIFY = ("headers", "pixels", "none")


def protocol_names() -> list[str]:
    """The protocols that `data.protocol` chooses from."""
    from ..pose.protocols import PROTOCOLS

    return PROTOCOLS.names()


@dataclass
class AugmentOptions(Options, group="data.augment"):
    """Training augmentation: one affine warp (design, section 6), and for photographs what is off as it is.

    Attributes:
        rotation: largest rotation in degrees, drawn uniformly from [-rotation, rotation]; 0..180.
        scale: the crop's side in multiples of the image's short side, drawn uniformly from this range; > 0.
        translation: largest shift of the crop's centre in multiples of its side, per axis; 0..1.
        flip: probability of a horizontal flip; 0..1.
        mosaic: probability that two or four images of one source share a crop, each warped into its part, so
            that pictures of one person teach grouping too; 0..1.
        brightness: largest change of all values, as a share of white; 0..1.
        contrast: largest change of the contrast, as a share of it; 0..1.
        saturation: largest change of the saturation, as a share of it; 0..1.
        hue: largest turn of the colours in degrees; 0..180.
        grey: probability of a picture without colour; 0..1.
        blur: largest standard deviation of a Gaussian blur, in pixels of the crop.
        jpeg: probability of a JPEG compression, of a quality of 30 to 95; 0..1.
    """

    rotation: float = option(30.0, least=0, most=180)
    scale: tuple[float, float] = option((0.75, 1.5), above=0, size=2)
    translation: float = option(0.2, least=0, most=1)
    flip: float = option(0.5, least=0, most=1)
    mosaic: float = option(0.0, least=0, most=1)
    brightness: float = option(0.0, least=0, most=1)
    contrast: float = option(0.0, least=0, most=1)
    saturation: float = option(0.0, least=0, most=1)
    hue: float = option(0.0, least=0, most=180)
    grey: float = option(0.0, least=0, most=1)
    blur: float = option(0.0, least=0)
    jpeg: float = option(0.0, least=0, most=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale[0] > self.scale[1]:
            raise InputError(f"data.augment.scale={list(self.scale)} must be two numbers, 0 < low <= high")

    @classmethod
    def none(cls) -> AugmentOptions:
        """The centred square crop of the image's short side, without any randomness."""
        return cls(rotation=0.0, scale=(1.0, 1.0), translation=0.0, flip=0.0)


@dataclass
class DataOptions(Options, group="data"):
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
        category: name of the annotated category to take, where several have keypoints.
        exif: which view of images with an EXIF orientation the labels were made on: "upright", "stored", or
            "auto", which tells it picture by picture where labels fit one view alone and refuses the others.
        patience: seconds without a word from the workers after which they are given up.
        keep_empty: train on images without any labelled person too (two in five of COCO's).
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
    layout: str = option("crowdpose", among=LAYOUTS.names)
    protocol: str | None = option(None, among=protocol_names)
    train_split: str = "train"
    val_split: str = "val"
    test_split: str = "test"
    skeleton: str = "crowdpose"
    category: str | None = None
    exif: str = option("auto", among=VIEWS)
    keep_empty: bool = False
    on_error: str = option("raise", among=ON_ERROR)
    verify: str = option("headers", among=VERIFY)
    cache: str = option("none", among=CACHES)
    workers: int = option(2, least=0)
    augment: AugmentOptions = field(default_factory=AugmentOptions)

    def of_joints(self, skeleton: Skeleton | str | os.PathLike[str] | None) -> Self:
        """The same data with a layout of joints that need not lie in a file; None leaves what is named."""
        changed = copy.copy(self)
        changed.skeleton = cast(str, self.skeleton if skeleton is None else skeleton)
        return changed


@dataclass
class LoaderOptions(Options):
    """How training batches are made.

    Attributes:
        batch_size: images per step over all ranks together.
        seed: everything random in the batches derives from it; >= 0.
        sigma: standard deviation of the heatmap Gaussians, in pixels of each map.
        prefetch: batches that each worker prepares ahead.
        patience: seconds without a word from the workers after which they are given up.
        keep_empty: train on images without any person too (two in five of COCO's).
    """

    batch_size: int = option(16, least=1)
    seed: int = option(0, least=0)
    sigma: float = option(2.0, above=0)
    prefetch: int = option(2, least=1)
    patience: float = option(600.0, above=0)
    keep_empty: bool = False

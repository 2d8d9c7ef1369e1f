"""Options of the data pipeline: plain dataclasses that import neither torch nor OpenCV."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from ..errors import InputError
from ..options import BATCH, COUNTED, STARTED, Options, option, seed_option
from .layouts import LAYOUTS
from .synthetic.options import SPLITS, SyntheticOptions

if TYPE_CHECKING:
    from ..pose.skeletons import Skeleton

VIEWS = ("auto", "upright", "stored")
ON_ERROR = ("raise", "skip")
CACHES = ("none", "memory")
# The skeleton of a mix that has all joints of its sources.
UNION = "union"
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
    blur: float = option(0.0, least=0, most=100)
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
class SourceOptions(Options, group="data"):
    """Where images and annotations are.

    Attributes:
        root: the data set's folder or .zip; zip files that lie in the folder are looked into as well.
        layout: where the files lie: "crowdpose" (`images/`, `json/crowdpose_{split}.json`), "coco"
            (`{split}/`, `annotations/person_keypoints_{split}.json`), "yolo", "empty" (a folder of pictures
            in which there is nobody) or one that a plugin registers.
        train_split, val_split, test_split: split names; "trainval" joins both; a path ending in .json is
            read as that one annotation file. In a mix a source may have null for one.
        skeleton: a joint layout's name or YAML file; of a mix also "union", all joints of its sources.
        category: name of the annotated category to take, where several have keypoints.
        exif: which view of images with an EXIF orientation the labels were made on: "upright", "stored", or
            "auto", which tells it picture by picture where labels fit one view alone and refuses the others.
        keep_empty: train on images without any labelled person too (two in five of COCO's).
        cache: "memory" keeps decoded images in main memory; "none" decodes them anew each time.
        render: options of the data set that the layout "synthetic" renders into `root`; others read what is
            there.
        poses: CrowdPose or COCO annotation file whose groups of people the renderer draws; None draws its
            own.
    """

    root: str = "data/crowdpose"
    layout: str = option("crowdpose", among=LAYOUTS.names)
    train_split: str | None = "train"
    val_split: str | None = "val"
    test_split: str | None = "test"
    skeleton: str = "crowdpose"
    category: str | None = None
    exif: str = option("auto", among=VIEWS)
    keep_empty: bool = False
    cache: str = option("none", among=CACHES)
    render: SyntheticOptions | None = None
    poses: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.poses is not None and self.render is None:
            raise InputError("data.poses is for rendered data; use data=synthetic")

    def split_name(self, role: str) -> str:
        """The data set's own name of the split that plays `role` (train, val or test)."""
        if role not in SPLITS:
            raise InputError(f"split {role!r} is not one of {', '.join(SPLITS)}")
        name = getattr(self, f"{role}_split")
        if name is None:
            raise InputError(f"{self._group}{role}_split is null: there is no such split")
        return str(name)


@dataclass
class MixSource(SourceOptions, group="data.sources.*"):
    """One of the data sets of a mix.

    Attributes:
        weight: how often an image is seen in the time in which one of weight 1 is seen once.
        joints: from the source's own names of joints to the mix's, where they do not tell; null leaves a
            joint out.
        augment: the training augmentation of its images; None takes the mix's.
    """

    weight: float = option(1.0, above=0)
    joints: dict[str, str | None] = field(default_factory=dict)
    augment: AugmentOptions | None = None


@dataclass
class DataOptions(SourceOptions, group="data"):
    """Which data, and how to read them.

    Attributes:
        protocol: how it is scored: "crowdpose", "coco" or one that a plugin registers; null takes that of
            the data set whose joints these are, for other joints the layout's.
        on_error: "raise" stops at the first bad record; "skip" leaves it out, counts it and lists it.
        verify: what opening checks of the images. "headers" compares each file's header with its
            annotation (finds missing files and swapped sizes before training starts); "pixels" also
            decodes every image, to find damage that a decoder glosses over (a few milliseconds each);
            "none" opens without touching an image.
        workers: loader processes; 0 loads in the main process.
        augment: the training augmentation.
        sources: data sets that make one together, by a name of one's own; with any, the settings that are
            theirs (root, layout and splits) do not count for the mix.
    """

    protocol: str | None = option(None, among=protocol_names)
    on_error: str = option("raise", among=ON_ERROR)
    verify: str = option("headers", among=VERIFY)
    workers: int = option(2, least=0, most=STARTED)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    sources: dict[str, MixSource] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.sources:
            if not re.fullmatch(r"[\w-]+", name):
                raise InputError(f"data.sources: {name!r} is no name; use letters, digits, - and _")
        if self.sources and self.root != SourceOptions.root:
            raise InputError(
                f"data.root={self.root} says nothing of a mix: give {', '.join(self.root_settings())}"
            )

    def parts(self) -> Sequence[SourceOptions]:
        """The data sets to read: this one, or the sources of a mix."""
        return [*self.sources.values()] or [self]

    def roots(self) -> list[Path]:
        """The folders or zips of `parts`."""
        return [Path(part.root) for part in self.parts()]

    def described(self) -> str:
        """Where they are, for messages."""
        return ", ".join(map(str, self.roots()))

    def root_settings(self) -> list[str]:
        """What the settings are called that say where `parts` are."""
        return [f"data.sources.{name}.root" for name in self.sources] or ["data.root"]

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

    batch_size: int = option(16, least=1, most=BATCH)
    seed: int = seed_option()
    sigma: float = option(2.0, above=0, most=64)
    prefetch: int = option(2, least=1, most=STARTED)
    patience: float = option(600.0, above=0, most=COUNTED)
    keep_empty: bool = False

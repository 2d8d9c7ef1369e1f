"""What a synthetic data set is made of."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import InputError
from ...options import STARTED, Options, option, seed_option

SPLITS = ("train", "val", "test")
# Of a split: their annotations are merged in memory.
IMAGES = 1_000_000


@dataclass
class SyntheticOptions(Options, group="data.render"):
    """Options of the rendered data set; equal options give equal files.

    Attributes:
        seed: everything random derives from it.
        train, val, test: images per split.
        size: square root of an image's area in pixels.
        aspect: smallest and largest width / height.
        people: weights of 1, 2, 3, ... people in an image.
        height: smallest and largest height of a person, as a share of the image's.
        crowding: share of the scenes with two or more people that stand in a tight group.
        occluders: probability of each of up to two objects in front of the people.
        clutter: amount of distracting objects behind the people (0 none, 1 a lot).
        two_tone: share of the people whose dress is dark on their left limbs and pale on the right ones, so
            that left and right can be told apart where the face is too small to see.
        noise: largest standard deviation of the sensor noise, in grey levels.
        poses: a CrowdPose or COCO keypoint annotation file to take whole groups of people from;
            None draws procedural poses (`people`, `height` and `crowding` then do not apply).
        quality: JPEG quality, 1 to 100.
        workers: processes that render; 0 takes all cores. Does not change the result.
    """

    seed: int = seed_option()
    train: int = option(4000, least=1, most=IMAGES)
    val: int = option(300, least=1, most=IMAGES)
    test: int = option(300, least=1, most=IMAGES)
    size: int = option(256, least=32, most=4096)
    aspect: tuple[float, float] = option((0.75, 1.5), least=0.25, most=4, size=2)
    people: tuple[float, ...] = option((0.18, 0.24, 0.26, 0.18, 0.14), least=0)
    height: tuple[float, float] = option((0.28, 0.93), least=0.05, most=1, size=2)
    crowding: float = option(0.7, least=0, most=1)
    occluders: float = option(0.15, least=0, most=1)
    clutter: float = option(0.5, least=0, most=4)
    two_tone: float = option(0.0, least=0, most=1)
    noise: float = option(6.0, least=0, most=64)
    poses: str | None = None
    quality: int = option(90, least=1, most=100)
    workers: int = option(0, least=0, most=STARTED)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.people) > 12 or not sum(self.people):
            raise InputError(f"data.render.people={list(self.people)} must be 1 to 12 weights, not all zero")
        for name in ("aspect", "height"):
            low, high = getattr(self, name)
            if low > high:
                raise InputError(f"data.render.{name}={[low, high]} must be two numbers, low <= high")

    def count(self, split: str) -> int:
        """Images in a split."""
        return int({"train": self.train, "val": self.val, "test": self.test}[split])

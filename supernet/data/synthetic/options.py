"""What a synthetic data set is made of."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import InputError

SPLITS = ("train", "val", "test")


@dataclass
class SyntheticOptions:
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

    seed: int = 0
    train: int = 4000
    val: int = 300
    test: int = 300
    size: int = 256
    aspect: tuple[float, float] = (0.75, 1.5)
    people: tuple[float, ...] = (0.18, 0.24, 0.26, 0.18, 0.14)
    height: tuple[float, float] = (0.28, 0.93)
    crowding: float = 0.7
    occluders: float = 0.15
    clutter: float = 0.5
    two_tone: float = 0.0
    noise: float = 6.0
    poses: str | None = None
    quality: int = 90
    workers: int = 0

    def check(self) -> None:
        """Raise InputError naming the first option that is out of range."""
        pair = "two numbers low <= high between"
        few = 1 <= len(self.people) <= 12 and min(self.people) >= 0
        rules = (
            ("seed", self.seed >= 0, "at least 0"),
            ("train", self.train >= 1, "at least 1"),
            ("val", self.val >= 1, "at least 1"),
            ("test", self.test >= 1, "at least 1"),
            ("size", 32 <= self.size <= 4096, "between 32 and 4096"),
            ("aspect", _is_range(self.aspect, 0.25, 4), f"{pair} 0.25 and 4"),
            (
                "people",
                few and sum(self.people) > 0,
                "1 to 12 weights, not all zero",
            ),
            ("height", _is_range(self.height, 0.05, 1), f"{pair} 0.05 and 1"),
            ("crowding", 0 <= self.crowding <= 1, "between 0 and 1"),
            ("occluders", 0 <= self.occluders <= 1, "between 0 and 1"),
            ("clutter", 0 <= self.clutter <= 4, "between 0 and 4"),
            ("two_tone", 0 <= self.two_tone <= 1, "between 0 and 1"),
            ("noise", 0 <= self.noise <= 64, "between 0 and 64"),
            ("quality", 1 <= self.quality <= 100, "between 1 and 100"),
            ("workers", self.workers >= 0, "at least 0 (0 takes all cores)"),
        )
        for name, good, rule in rules:
            if not good:
                raise InputError(f"synthetic data option {name}={getattr(self, name)} must be {rule}")

    def count(self, split: str) -> int:
        """Images in a split."""
        return int({"train": self.train, "val": self.val, "test": self.test}[split])


def _is_range(value: tuple[float, ...], low: float, high: float) -> bool:
    return len(value) == 2 and low <= value[0] <= value[1] <= high

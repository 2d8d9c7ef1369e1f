"""Real groups of people, from any CrowdPose or COCO keypoint file, redrawn as figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files import read_json
from . import render_body as body
from .render_body import Floats
from .render_options import SPLITS
from .render_options import SyntheticOptions
from .render_scene import Actor
from .render_scene import Scene
from .render_scene import render_actors


@dataclass(frozen=True)
class Person:
    """One annotated person: joints (14, 3) as x, y, v; box x, y, w, h."""

    joints: Floats
    box: tuple[float, float, float, float]
    iscrowd: int


@dataclass(frozen=True)
class Crowd:
    """All annotated people of one image, in the image's own pixels."""

    width: int
    height: int
    people: tuple[Person, ...]


def load_crowds(path: str) -> list[Crowd]:
    """Crowds from an annotation file with 14 (CrowdPose) or 17 (COCO) joints.

    Raises:
        InputError: the file cannot be read, or holds no usable people.
    """
    raise InputError(f"poses file {path} cannot be used yet")


def render_crowd(
    seed: Any, options: SyntheticOptions, crowds: list[Crowd], split: str, index: int
) -> Scene:
    """The `index`-th crowd scene of a split."""
    raise NotImplementedError

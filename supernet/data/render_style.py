"""Looks of a person: skin, hair, clothes; what is seen in front differs from what is seen behind."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]  # B, G, R

_SKIN = ((150, 190, 240), (130, 170, 225), (105, 150, 210), (85, 125, 190), (60, 95, 155), (45, 70, 120))
_HAIR = (
    (25, 25, 28),
    (30, 40, 60),
    (40, 65, 105),
    (60, 110, 170),
    (90, 150, 205),
    (150, 150, 150),
    (35, 50, 130),
)

_DULL = ((0.1, 0.5), (0.15, 0.6))  # saturation and value of jeans and the like


@dataclass(frozen=True)
class Style:
    """One person's colours (BGR) and dress.

    Attributes:
        panel: what the chest shows and the back does not: "open" jacket, "print", "tie", "bib" or "none".
        sleeve: share of the arm that is covered: 0 none, 1 to the elbow, 2 to the wrist.
        leg: "trousers", "shorts" or "skirt".
        pattern: torso texture: "plain", "stripes" or "blocks".
        backpack: worn on the back, so its bag is seen from behind and its straps from the front.
        two_tone: sleeves, trouser legs and shoes are dark on the person's left and pale on the right.
    """

    skin: Colour
    hair: Colour
    shirt: Colour
    sleeves: Colour
    accent: Colour
    legs: Colour
    shoes: Colour
    panel: str
    sleeve: int
    leg: str
    pattern: str
    long_hair: bool
    hat: bool
    backpack: bool
    two_tone: bool = False

    def garment(self, colour: Colour, joint: int) -> Colour:
        """`colour` of the garment at `joint`: in a two-tone dress dark on the left, pale on the right."""
        if not self.two_tone:
            return colour
        return shade(colour, 0.4) if joint % 2 == 0 else mix(colour, 0.6)


def random_colour(
    rng: np.random.Generator,
    saturation: tuple[float, float] = (0.15, 0.9),
    value: tuple[float, float] = (0.2, 0.95),
) -> Colour:
    """A BGR colour of random hue within the given ranges."""
    hue, s, v = rng.random(), rng.uniform(*saturation), rng.uniform(*value)
    red, green, blue = colorsys.hsv_to_rgb(hue, s, v)
    return int(blue * 255), int(green * 255), int(red * 255)


@lru_cache(maxsize=4096)
def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (< 1) or lighter (> 1)."""
    b, g, r = (int(min(255, max(0, c * factor))) for c in colour)
    return b, g, r


def shade_all(
    colours: Sequence[Colour], which: NDArray[np.uint8], light: NDArray[np.floating[Any]]
) -> NDArray[np.uint8]:
    """(H, W, 3): colour number `which` (H, W) under `light` (H, W; cut to 0 to 1.25), in steps of 1/64."""
    levels = np.arange(81, dtype=np.float32)[:, None] / 64
    ramps = [np.minimum(np.array(colour, np.float32) * levels, 255) for colour in colours]
    table = np.concatenate(ramps).astype(np.uint8)
    return np.asarray(table[which * np.intp(81) + np.clip(light * 64, 0, 80).astype(np.intp)])


def mix(colour: Colour, white: float) -> Colour:
    """The colour mixed with a share of white."""
    b, g, r = (int(c + (255 - c) * white) for c in colour)
    return b, g, r


def two_tone(style: Style) -> Style:
    """The same looks in a two-tone dress, which covers all limbs."""
    return replace(style, two_tone=True, sleeve=2, leg="trousers")


def luminance(colour: Colour) -> float:
    """Perceived brightness, 0 to 255."""
    return 0.114 * colour[0] + 0.587 * colour[1] + 0.299 * colour[2]


def contrasting(rng: np.random.Generator, other: Colour, gap: float = 60.0) -> Colour:
    """A random colour whose brightness differs from `other` by at least `gap` (best of a few tries)."""
    tries = [random_colour(rng) for _ in range(6)]
    for colour in tries:
        if abs(luminance(colour) - luminance(other)) >= gap:
            return colour
    return max(tries, key=lambda c: abs(luminance(c) - luminance(other)))


def sample_style(rng: np.random.Generator) -> Style:
    """A random person's looks."""
    jitter = rng.uniform(0.92, 1.06)
    shirt = random_colour(rng)
    if rng.random() < 0.25:
        grey = int(rng.uniform(30, 245))
        shirt = (grey, grey, grey)
    panel = str(rng.choice(["open", "print", "tie", "bib", "none"], p=[0.38, 0.24, 0.12, 0.16, 0.1]))
    darker = luminance(shirt) > 90
    return Style(
        skin=shade(_SKIN[int(rng.integers(len(_SKIN)))], jitter),
        hair=shade(_HAIR[int(rng.integers(len(_HAIR)))], rng.uniform(0.8, 1.2)),
        shirt=shirt,
        sleeves=shade(shirt, rng.uniform(0.66, 0.85) if darker else rng.uniform(1.25, 1.6)),
        accent=contrasting(rng, shirt),
        legs=contrasting(rng, shirt, 30.0) if rng.random() < 0.6 else random_colour(rng, *_DULL),
        shoes=contrasting(rng, (90, 90, 90), 50.0),
        panel=panel,
        sleeve=int(rng.choice([0, 1, 2], p=[0.15, 0.45, 0.4])) if panel != "open" else 2,
        leg=str(rng.choice(["trousers", "shorts", "skirt"], p=[0.66, 0.22, 0.12])),
        pattern=str(rng.choice(["plain", "stripes", "blocks"], p=[0.66, 0.22, 0.12])),
        long_hair=bool(rng.random() < 0.35),
        hat=bool(rng.random() < 0.15),
        backpack=bool(rng.random() < 0.15),
    )

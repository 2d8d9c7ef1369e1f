"""Nonsense in fields of the right type: people of size 0, joints as fractions, joints elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .records import IntArray, Record

# The share of people, or of joints, from which on it is no slip of a hand.
MANY = 0.1


def nonsense(records: Sequence[Record]) -> list[str]:
    """One line for each kind of nonsense that much of the labelled people have."""
    counts = np.array([_counts(record) for record in records], np.int64).reshape(-1, 6).sum(axis=0)
    people, empty, fractions, joints, off_box, off_image = counts.tolist()
    kinds = (
        (empty, people, "people have a box of size 0; scoring takes them for nobody"),
        (fractions, people, "people have joints that look like fractions of the picture; pixels are needed"),
        (off_image, joints, "labelled joints lie outside of their picture"),
        (off_box, joints, "labelled joints lie outside of their person's box"),
    )
    return [f"{found} of {of} {what}" for found, of, what in kinds if found > MANY * of]


def _counts(record: Record) -> IntArray:
    """Labelled people, those of size 0 and with fractions; labelled joints, outside of box and picture."""
    seen = record.keypoints[..., 2] > 0
    several = seen.sum(axis=1) > 1  # one joint alone may well have a box without a size
    xy = record.keypoints[..., :2]
    low, size = record.boxes[:, None, :2], record.boxes[:, None, 2:]
    empty = several & ~(size.prod(axis=-1) > 0)[:, 0]
    small = several & (np.where(seen[..., None], xy, 0).max(axis=(1, 2), initial=0) <= 1)
    margin = 1 + 0.1 * size
    off_box = seen & ((xy < low - margin) | (xy > low + size + margin)).any(axis=-1)
    off_image = seen & ((xy < -1) | (xy > (record.width + 1, record.height + 1))).any(axis=-1)
    off_box &= ~empty[:, None]
    rows = (several, empty, small, seen, off_box, off_image)
    return np.array([row.sum() for row in rows], np.int64)

"""Which way up a picture is: the EXIF orientation, and on which view of it the labels were made.

Viewers and annotation tools show a photograph upright, as its tag says, while its pixels may be stored on the
side. Everything here works on the upright view, unless the labels can only fit the stored one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ..annotations.records import Record
from .decode import Header, upright_size


@dataclass(frozen=True)
class Looked:
    """What the header of a picture says about its record.

    Attributes:
        record: with the width and height of the view that the labels are on.
        swapped: whether the annotation had them the other way round.
    """

    record: Record
    swapped: bool


def settle(
    records: Sequence[Record], headers: Sequence[Header | InputError], names: Sequence[str], view: str
) -> list[Looked | InputError]:
    """Each record with the view that its labels are on, or what is wrong with it.

    A picture without a tag has one view. Else joints and boxes that lie outside of the one view and inside of
    the other tell; where they do not, the rest of the data set does, and failing that the sizes, if those of
    pictures without a tag are right. What remains open is refused: half of such labels would be wrong.

    Args:
        records, names: one for each picture, `names` for messages.
        headers: of the files, or why there is none.
        view: "upright" or "stored" if it is known, else "auto".
    """
    tagged = {i: h for i, h in enumerate(headers) if isinstance(h, Header) and h.orientation != 1}
    stored = {i: stored_by_labels(records[i], header) for i, header in tagged.items()}
    if view != "auto":
        stored = dict.fromkeys(tagged, view == "stored")
    voices = {told for told in stored.values() if told is not None}
    if not voices and _sizes_are_right(records, headers):
        stored = {i: stored_by_size(records[i], header) for i, header in tagged.items()}
        voices = {told for told in stored.values() if told is not None}
    found: list[Looked | InputError] = []
    for index, (record, header, name) in enumerate(zip(records, headers, names, strict=True)):
        try:
            if isinstance(header, InputError):
                raise header
            told = stored.get(index, False)
            if told is None and (len(voices) == 1 or not record.num_people):
                told = True in voices
            if told is None:
                raise undecided(name, header)
            found.append(looked(dataclasses.replace(record, stored=told), header, name))
        except InputError as error:
            found.append(error)
    return found


def stored_by_labels(record: Record, header: Header) -> bool | None:
    """Whether joints and boxes lie in the stored view alone; None where they do not tell."""
    labelled = record.keypoints[..., 2] > 0
    corners = record.boxes[:, :2] + record.boxes[:, 2:]
    points = np.concatenate([record.keypoints[labelled][:, :2], record.boxes[:, :2], corners])

    def outside(width: int, height: int) -> float:
        return float(np.maximum(points - (width, height), 0).sum() + np.maximum(-points, 0).sum())

    more = outside(header.width, header.height) - outside(*upright_size(header))
    return more < 0 if abs(more) > 1 else None  # a pixel of overhang is nobody's view


def stored_by_size(record: Record, header: Header) -> bool | None:
    """Whether the annotation has the size of the stored view alone; None if both have it, or neither."""
    size = (record.width, record.height)
    fits = (size == upright_size(header), size == (header.width, header.height))
    return fits[1] if fits[0] != fits[1] else None


def undecided(name: str, header: Header) -> InputError:
    """The refusal of a picture whose labels fit both views."""
    return InputError(
        f"{name} has EXIF orientation {header.orientation}, and its labels fit the picture as stored and "
        "turned upright alike; say which view they were made on: data.exif=upright (as viewers show it) or "
        "data.exif=stored"
    )


def looked(record: Record, header: Header, name: str) -> Looked:
    """`record` with the size of its view (width and height exchanged: the pixels count).

    Raises:
        InputError: the annotation has an altogether different size.
    """
    width, height = (header.width, header.height) if record.stored else upright_size(header)
    if (record.width, record.height) not in ((width, height), (height, width)):
        raise InputError(
            f"{name} has {width}x{height} pixels, its annotation says {record.width}x{record.height}; "
            "were the images resized? use the originals"
        )
    swapped = (record.width, record.height) != (width, height)
    return Looked(dataclasses.replace(record, width=width, height=height), swapped)


def _sizes_are_right(records: Sequence[Record], headers: Sequence[Header | InputError]) -> bool:
    """Whether pictures without a tag that tell width from height all have theirs in order."""
    plain = [
        (record.width, record.height) == (header.width, header.height)
        for record, header in zip(records, headers, strict=True)
        if isinstance(header, Header) and header.orientation == 1 and header.width != header.height
    ]
    return bool(plain) and all(plain)

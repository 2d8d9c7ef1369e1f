"""Which way up a picture is: the EXIF orientation, and on which view of it the labels were made.

Viewers and annotation tools show a photograph upright, as its tag says, while its pixels may be stored on the
side. Everything here works on the upright view, unless the labels can only fit the stored one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ..annotations.records import Record
from .decode import Header, upright_size

# Labels hang over the edge of their picture by so many pixels, or this share of its shorter side.
_SLACK, _SLACK_SHARE = 8.0, 0.05
# So many pictures whose own size says otherwise follow one whose labels tell.
_SPEAKS_FOR = 3


@dataclass(frozen=True)
class Looked:
    """What the header of a picture says about its record.

    Attributes:
        record: with the width and height of the view that the labels are on.
        swapped: whether the annotation had them the other way round.
        tagged: whether an EXIF orientation gives the picture two views.
    """

    record: Record
    swapped: bool
    tagged: bool


def settle(
    records: Sequence[Record], headers: Sequence[Header | InputError], names: Sequence[str], view: str
) -> list[Looked | InputError]:
    """Each record with the view that its labels are on, or what is wrong with it.

    Args:
        records, names: one for each picture, `names` for messages.
        headers: of the files, or why there is none.
        view: "upright" or "stored" if it is known, else "auto".
    """
    tagged = {i: h for i, h in enumerate(headers) if isinstance(h, Header) and h.orientation != 1}
    told = _told(records, headers, tagged) if view == "auto" else dict.fromkeys(tagged, view == "stored")
    found: list[Looked | InputError] = []
    for index, (record, header, name) in enumerate(zip(records, headers, names, strict=True)):
        try:
            if isinstance(header, InputError):
                raise header
            stored = told.get(index, False)
            if stored is None:
                raise _undecided(name, header)
            found.append(looked(dataclasses.replace(record, stored=stored), header, name))
        except InputError as error:
            found.append(error)
    return found


def _told(
    records: Sequence[Record], headers: Sequence[Header | InputError], tagged: Mapping[int, Header]
) -> dict[int, bool | None]:
    """For each picture with a tag whether its labels are on the stored view; None where nothing tells.

    Sure are pictures with somebody who cannot be in the other view, and those whose joints and size agree.
    The sizes of the others count if those of all known pictures are right. Else they follow the sure ones, if
    these agree and are not a few against the sizes of many. What contradicts itself stays open.
    """
    labels = {i: _by_labels(records[i], header) for i, header in tagged.items()}
    sizes = {i: _stored_by_size(records[i], header) for i, header in tagged.items()}
    sure = {
        i: view for i, (view, certain) in labels.items() if view is not None and (certain or view == sizes[i])
    }
    right = [
        (record.width, record.height) == (header.width, header.height)
        for record, header in zip(records, headers, strict=True)
        if isinstance(header, Header) and header.orientation == 1 and header.width != header.height
    ]
    right += [sizes[i] == view for i, view in sure.items() if sizes[i] is not None]
    rest = [i for i in tagged if i not in sure]
    found: dict[int, bool | None] = dict(sure)
    if right and all(right):
        found |= {i: sizes[i] for i in rest if sizes[i] is not None and labels[i][0] is None}
    voices = set(found.values())
    voice = voices.pop() if len(voices) == 1 else None
    against = sum(sizes[i] == (not voice) for i in rest if i not in found and records[i].num_people)
    if against > _SPEAKS_FOR * len(sure):
        voice = None
    for i in rest:
        if not records[i].num_people:
            found[i] = bool(voice)  # nobody there can be beside the labels
        elif i not in found:
            found[i] = voice if labels[i][0] in (None, voice) else None
    return found


def _by_labels(record: Record, header: Header) -> tuple[bool | None, bool]:
    """Whether the labels fit the stored view alone, as far as they tell; and whether that is certain.

    Labels hang over the edge of a picture here and there. So they have to lie in one view within a slack and
    in the other not; it is certain if most of somebody lies outside of the other.
    """
    sides = (upright_size(header), (header.width, header.height))
    slack = max(_SLACK, _SLACK_SHARE * min(header.width, header.height))
    fits, holds = [True, True], [True, True]
    for keypoints, box in zip(record.keypoints, record.boxes, strict=True):
        points = np.concatenate([keypoints[keypoints[:, 2] > 0, :2], [box[:2], box[:2] + box[2:]]])
        for view, size in enumerate(sides):
            outside = ((points < -slack) | (points > np.array(size) + slack)).any(axis=1)
            fits[view] &= not outside.any()
            holds[view] &= outside.mean() <= 0.5
    if fits[0] == fits[1]:
        return None, False
    return fits[1], not holds[not fits[1]]


def _stored_by_size(record: Record, header: Header) -> bool | None:
    """Whether the annotation has the size of the stored view alone; None if both have it, or neither."""
    views = (upright_size(header), (header.width, header.height))
    fits = [size == (record.width, record.height) for size in views]
    return fits[1] if fits[0] != fits[1] else None


def _undecided(name: str, header: Header) -> InputError:
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
    return Looked(dataclasses.replace(record, width=width, height=height), swapped, header.orientation != 1)

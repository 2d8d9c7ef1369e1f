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

# Labels hang over the edge of their picture by so many pixels, or this share of its shorter side.
_SLACK, _SLACK_SHARE = 8.0, 0.05


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

    Each picture is judged alone: sizes are written in either order, and in one set some pictures may have
    been labelled upright and some as stored, so what is true of the others says nothing for certain.

    Args:
        records, names: one for each picture, `names` for messages.
        headers: of the files, or why there is none.
        view: "upright" or "stored" where the user says it, else "auto".
    """
    sure = [
        _stored(record, header) if isinstance(header, Header) and header.orientation != 1 else None
        for record, header in zip(records, headers, strict=True)
    ]
    found: list[Looked | InputError] = []
    for record, header, name, stored in zip(records, headers, names, sure, strict=True):
        try:
            if isinstance(header, InputError):
                raise header
            if header.orientation == 1 or not _anybody(record):
                stored = False
            elif view != "auto" and stored == (view == "upright"):
                raise _contradicted(name, header, view)
            elif stored is None and view == "auto":
                known = f"{sure.count(False)} can only be upright, {sure.count(True)} only as stored"
                raise undecided(name, header, f" (of the other pictures {known})")
            elif stored is None:
                stored = view == "stored"
            found.append(looked(dataclasses.replace(record, stored=stored), header, name))
        except InputError as error:
            found.append(error)
    return found


def _anybody(record: Record) -> bool:
    """Whether there is anything in the picture that could lie beside the people."""
    return bool((record.keypoints[..., 2] > 0).any() or record.boxes[:, 2:].any())


def _stored(record: Record, header: Header) -> bool | None:
    """Whether the labels are on the stored view, where they can be on one alone; None where nothing tells.

    Labels hang over the edge of a picture here and there. So all have to lie within a slack in one view and
    not in the other; and either most of somebody lies outside of the other, or the annotation has the size of
    the one as well.
    """
    views = np.array([upright_size(header), (header.width, header.height)])
    slack = max(_SLACK, _SLACK_SHARE * min(header.width, header.height))
    fits, holds = [True, True], [True, True]
    for keypoints, box in zip(record.keypoints, record.boxes, strict=True):
        points = np.concatenate([keypoints[keypoints[:, 2] > 0, :2], [box[:2], box[:2] + box[2:]]])
        for view, size in enumerate(views):
            outside = ((points < -slack) | (points > size + slack)).any(axis=1)
            fits[view] &= not outside.any()
            holds[view] &= outside.mean() <= 0.5
    if fits[0] == fits[1]:
        return None
    stored = fits[1]
    sized = (record.width, record.height) == tuple(views[int(stored)])
    return stored if sized or not holds[not stored] else None


def undecided(name: str, header: Header, others: str = "") -> InputError:
    """The refusal of a picture whose labels are on either view; `others`: what is known of its set."""
    return InputError(
        f"{name} has EXIF orientation {header.orientation}, and its labels do not tell for certain whether "
        "they are on the picture as stored or turned upright; say which view they were made on: "
        f"data.exif=upright (as viewers show it) or data.exif=stored{others}"
    )


def _contradicted(name: str, header: Header, view: str) -> InputError:
    """The refusal of a picture whose labels can only be on the other view than the user's."""
    return InputError(
        f"{name} has EXIF orientation {header.orientation}, and its labels can only be on the "
        f"{'stored' if view == 'upright' else 'upright'} view, so data.exif={view} is wrong for it; "
        "take data.exif=auto, or leave such pictures out with data.on_error=skip"
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

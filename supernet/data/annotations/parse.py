"""COCO-form keypoint annotations (CrowdPose's files are of this form), checked record by record."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import InputError
from ...pose.skeletons import Skeleton, plain_name
from .entries import (
    AROUND_SHARE,
    BadEntry,
    ImageEntry,
    Joints,
    image_entry,
    is_integer,
    is_one_of,
    person_entry,
)
from .records import Faults, Record

_LOG = logging.getLogger(__name__)
_WHOLE = frozenset(("id", "image_id", "category_id", "width", "height", "num_keypoints", "iscrowd"))
_OPTIONAL_IMAGE_KEYS = ("crowdIndex",)
_OPTIONAL_PERSON_KEYS = ("keypoints", "iscrowd", "num_keypoints", "area")


def parse(
    document: Any,
    source: str,
    skeleton: Skeleton,
    counted: Sequence[int],
    faults: Faults,
    category: str | None = None,
) -> list[Record]:
    """The records of one annotation file, in the order of its images.

    An image is left out whole when one of its annotations is bad: a half-labelled picture would teach the
    network that a person in plain sight is background.

    Args:
        document: the decoded JSON.
        source: the file's name for messages.
        skeleton: the joints; the file's, if it names them, are put in its order.
        counted: those that `num_keypoints` counts (`Protocol.counted`).
        faults: what to do with a bad record.
        category: name of the category whose annotations count, where several have keypoints.

    Raises:
        InputError: the document as a whole is not of this form, or a record is bad and `faults` raises.
    """
    for key in ("images", "annotations", "categories"):
        if not isinstance(document, Mapping) or not isinstance(document.get(key), list):
            raise InputError(f"{source}: no list {key!r}; is this a COCO keypoint annotation file?")
    person, others, order = _categories(_plain(document["categories"]), source, skeleton, category)
    joints = Joints(skeleton, counted, order)
    images, dropped = _images(_plain(document["images"]), source, faults)
    seen: set[int] = set()
    entries = _plain(document["annotations"])
    usual = _usual(entries, _OPTIONAL_PERSON_KEYS)
    if category is None:
        _tell_others(entries, person, others, source)
    for position, entry in enumerate(entries):
        if isinstance(entry, dict) and is_one_of(entry.get("category_id"), others):
            continue
        name = _name("annotation", entry, position)
        image_id = entry.get("image_id") if isinstance(entry, dict) else None
        if is_one_of(image_id, dropped):
            continue  # its image is listed already
        try:
            people = person_entry(entry, person, joints, seen, images, usual)
        except BadEntry as error:
            faults.add(source, name, str(error))
            if isinstance(image_id, int) and is_one_of(image_id, images):
                del images[image_id]
                dropped.add(image_id)
                faults.add(source, f"image {image_id}", f"left out with its bad {name}")
            continue
        images[people.image_id].people.append(people)
    _tell_widened(images, source)
    return [_record(image, skeleton) for image in images.values()]


def _tell_widened(images: Mapping[int, ImageEntry], source: str) -> None:
    """Warn of people whose joints lie on one spot or line."""
    widened = sum(person.widened for image in images.values() for person in image.people)
    if widened:
        _LOG.warning(
            "%s: the joints of %d people lie on one spot or line; "
            "their boxes are widened to %g of the picture's shorter side",
            source,
            widened,
            AROUND_SHARE,
        )


def _categories(
    entries: list[Any], source: str, skeleton: Skeleton, wanted: str | None
) -> tuple[int, dict[int, str], list[int]]:
    """The people's category, the names of the others by their ids, and each joint's place in the file."""
    known = {e["id"]: e for e in entries if isinstance(e, Mapping) and is_integer(e.get("id"))}
    if len(known) != len(entries):
        raise InputError(f"{source}: categories must have unique ids")
    names = [str(e.get("name")) for e in known.values()]
    with_joints = [e for e in known.values() if e.get("keypoints")]
    joints = {plain_name(joint) for joint in skeleton.joints}
    if len(joints) > 1 and not with_joints and joints <= {plain_name(name) for name in names}:
        raise InputError(
            f"{source}: each joint is a category of its own, so nothing tells whose it is; "
            "label people as one category whose keypoints the joints are"
        )
    people = [e for e in known.values() if wanted in (e.get("name"), str(e["id"]))]
    if wanted is None:
        lone = [e for e in known.values() if e.get("name") == "person" or len(known) == 1]
        people = with_joints or lone
    if len(people) != 1:
        found = f"none is called {wanted!r}" if wanted else f"{len(people) or 'none'} have them"
        raise InputError(
            f"{source}: people need one category with keypoints, {found}; "
            f"choose it with data.category=... of: {', '.join(names) or 'none'}"
        )
    order = _order(people[0].get("keypoints") or [], source, skeleton)
    _check_mirrors(people[0].get("flip_idx"), order, source, skeleton)
    others = {key: str(e.get("name")) for key, e in known.items() if key != people[0]["id"]}
    return people[0]["id"], others, order


def _tell_others(entries: list[Any], person: int, others: Mapping[int, str], source: str) -> None:
    """Warn of labelled joints in categories that nobody chose to leave out.

    Raises:
        InputError: all are there.
    """
    told = [e for e in entries if isinstance(e, Mapping) and isinstance(e.get("keypoints"), list)]
    told = [e for e in told if any(value in (1, 2) for value in e["keypoints"][2::3])]
    left = [e["category_id"] for e in told if is_one_of(e.get("category_id"), others)]
    if not left:
        return
    names = ", ".join(dict.fromkeys(others[key] for key in left))
    mend = "data.category=... chooses the category that counts"
    if not any(entry.get("category_id") == person for entry in entries if isinstance(entry, Mapping)):
        raise InputError(f"{source}: all {len(left)} annotations with keypoints are of {names}; {mend}")
    _LOG.warning(
        "%s: %d annotations of %s have keypoints and are left out; %s", source, len(left), names, mend
    )


def _check_mirrors(flip: Any, order: list[int], source: str, skeleton: Skeleton) -> None:
    """Raise InputError if a file's mirror image of each joint (YOLO's `flip_idx`) is not the skeleton's."""
    if flip is None or not skeleton.mirrors:
        return
    wanted = [0] * len(order)
    for joint, place in enumerate(order):
        wanted[place] = order[skeleton.flip[joint]]
    if flip != wanted:
        raise InputError(
            f"{source}: flip_idx is {flip!r:.80}, but the mirror pairs of skeleton {skeleton.name!r} are "
            f"{wanted}; the joints are in another order, or one of the two is wrong"
        )


def _order(names: Any, source: str, skeleton: Skeleton) -> list[int]:
    """For each joint of the skeleton its place in a file that calls them `names` (none: as they come)."""
    if not isinstance(names, list) or (names and len(names) != skeleton.num_joints):
        count = len(names) if isinstance(names, list) else repr(names)
        raise InputError(
            f"{source}: {count} joints per person, {skeleton.num_joints} in skeleton {skeleton.name!r}; "
            "set data.skeleton to the layout of these annotations"
        )
    plain = [plain_name(str(name)) for name in names]
    wanted = [plain_name(joint) for joint in skeleton.joints]
    if len(set(wanted)) < len(wanted):  # joints that differ in marks or capitals alone
        plain, wanted = [str(name) for name in names], list(skeleton.joints)
    as_it_is = list(range(skeleton.num_joints))
    # Numbers, which some tools write for joints without a name, say nothing.
    if plain == wanted or all(name.isdecimal() for name in plain):
        return as_it_is
    if sorted(plain) != sorted(wanted) or len(set(plain)) != len(plain):
        raise InputError(
            f"{source} labels the joints {', '.join(map(str, names))}, which are not those of skeleton "
            f"{skeleton.name!r}: {', '.join(skeleton.joints)}; set data.skeleton to a layout of these joints"
        )
    _LOG.warning(
        "%s has its joints in another order than skeleton %r; they are put in order by their names",
        source,
        skeleton.name,
    )
    return [plain.index(name) for name in wanted]


def _images(entries: list[Any], source: str, faults: Faults) -> tuple[dict[int, ImageEntry], set[int]]:
    """The good images by id, and the ids of the bad ones."""
    images: dict[int, ImageEntry] = {}
    dropped: set[int] = set()
    usual = _usual(entries, _OPTIONAL_IMAGE_KEYS)
    for position, entry in enumerate(entries):
        try:
            image = image_entry(entry, usual)
            if image.image_id in images or image.image_id in dropped:
                raise BadEntry("its id occurs twice")
            images[image.image_id] = image
        except BadEntry as error:
            faults.add(source, _name("image", entry, position), str(error))
            if isinstance(entry, Mapping) and is_integer(entry.get("id")):
                dropped.add(entry["id"])
                if images.pop(entry["id"], None) is not None:  # of two with one id, neither can be trusted
                    faults.add(source, f"image {entry['id']}", "left out, for its id occurs twice")
    return images, dropped


def _record(image: ImageEntry, skeleton: Skeleton) -> Record:
    people = image.people
    return Record(
        image_id=image.image_id,
        file_name=image.file_name,
        width=image.width,
        height=image.height,
        crowd_index=image.crowd_index,
        keypoints=np.array([p.keypoints for p in people]).reshape(-1, skeleton.num_joints, 3),
        boxes=np.array([p.box for p in people], dtype=np.float64).reshape(-1, 4),
        num_keypoints=np.array([p.num_keypoints for p in people], dtype=np.int64),
        crowd=np.array([p.crowd for p in people], dtype=np.bool_),
        areas=np.array([p.area for p in people], dtype=np.float64),
        annotation_ids=np.array([p.annotation_id for p in people], dtype=np.int64),
        ignore=tuple(p.region for p in people if p.region is not None),
        source=image.source,
    )


def _plain(entries: Iterable[Any]) -> list[Any]:
    """Copies without nulls, which some tools write for what is not there, and with 96.0 as the integer 96."""
    return [
        {
            key: int(value) if key in _WHOLE and isinstance(value, float) and value.is_integer() else value
            for key, value in entry.items()
            if value is not None
        }
        if isinstance(entry, Mapping)
        else entry
        for entry in entries
    ]


def _name(kind: str, entry: Any, position: int) -> str:
    if isinstance(entry, Mapping) and isinstance(entry.get("where"), str):  # a file of its own
        return str(entry["where"])
    key = entry.get("id") if isinstance(entry, Mapping) else None
    return f"{kind} {key}" if is_integer(key) else f"{kind} at position {position}"


def _usual(entries: list[Any], keys: Iterable[str]) -> tuple[str, ...]:
    """The `keys` that more than half of the entries have: one that lacks them has lost them."""
    objects = [entry for entry in entries if isinstance(entry, Mapping)]
    return tuple(key for key in keys if 2 * sum(key in entry for entry in objects) > len(objects))

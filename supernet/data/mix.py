"""Several data sets as one: their joints joined by names, their images side by side, each with its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from ..errors import InputError
from ..pose.protocols import PROTOCOLS, Protocol, protocol_of
from ..pose.skeletons import Skeleton, plain_name, sides
from .annotations.records import BoolArray, Record, Region
from .dataset import PoseDataset, people_entries
from .images.decode import UInt8Image
from .images.store import Stores
from .layouts import LAYOUTS
from .opening import joined, open_dataset, shift_of
from .options import UNION, DataOptions, MixSource, SourceOptions

# Other names of the same joints.
_SYNONYMS = {"head_top": "head", "top_head": "head", "upper_neck": "neck"}


def open_mix(options: DataOptions, role: str) -> PoseDataset:
    """The split that plays `role` (train, val or test) of all sources that have one, as one data set.

    Image and annotation ids that an earlier source has are moved out of its way.

    Raises:
        InputError: a source is missing or broken, none has the split, or the joints cannot be joined.
    """
    skeleton, joints = join_joints(options)
    protocol = options.protocol or protocol_of(skeleton, "crowdpose")
    chosen = {name: one for name, one in options.sources.items() if getattr(one, f"{role}_split") is not None}
    if not chosen:
        raise InputError(f"no source of the mix ({', '.join(options.sources)}) has a {role} split")
    opened: dict[str, PoseDataset] = {}
    records: list[Record] = []
    labelled: dict[str, BoolArray] = {}
    images: dict[int, UInt8Image] = {}
    for name, source in chosen.items():
        try:
            alone = _alone(options, source, skeleton, protocol)
            part = opened[name] = open_dataset(alone, source.split_name(role))
        except InputError as error:
            raise InputError(f"source {name} of the mix: {error}") from None
        fresh = _records(name, part, joints[name], PROTOCOLS.get(protocol).counted(skeleton))
        shift = shift_of((r.image_id for r in records), [r.image_id for r in fresh])
        records = joined(records, [replace(r, image_id=r.image_id + shift) for r in fresh])
        images |= {image_id + shift: image for image_id, image in part.cached.items()}
        for inner, known in part.labelled.items():
            # Where nobody is labelled there is nobody, and no joint of others either.
            labelled[_source(name, inner)] = joints[name].taken(known[:, None])[:, 0] | (
                not part.num_labelled
            )
    mix = PoseDataset(
        f"{'+'.join(opened)}-{role}",
        skeleton,
        _with_crowd_indices(records, PROTOCOLS.get(protocol)),
        Stores({name: part.store for name, part in opened.items()}),
        [],
        protocol=protocol,
        on_error=options.on_error,
    ).with_cache(images)
    mix.labelled, mix.sources = labelled, options.sources
    mix.skipped = [fault for part in opened.values() for fault in part.skipped]
    return mix


@dataclass(frozen=True)
class Places:
    """Where the joints of a source are in a mix of `count` joints: `mine` there are its `theirs`."""

    count: int
    mine: Sequence[int]
    theirs: Sequence[int]

    def taken(self, values: np.ndarray) -> np.ndarray:
        """`values` (..., joints of the source, K) as (..., joints of the mix, K), zeros where it has none."""
        found = np.zeros((*values.shape[:-2], self.count, values.shape[-1]), values.dtype)
        found[..., list(self.mine), :] = values[..., list(self.theirs), :]
        return found


def join_joints(options: DataOptions) -> tuple[Skeleton, dict[str, Places]]:
    """The skeleton of a mix, and where the joints of each of its sources are in it.

    Joints are the same whose names are, whatever their spelling; of synonyms too, if that leaves one choice.

    Raises:
        InputError: a source has a joint that the mix has not, or two that are the same one there, or none
            that another source has.
    """
    own = {name: Skeleton.load(one.skeleton) for name, one in options.sources.items() if _has_people(one)}
    names = {name: _names(name, one, options.sources[name].joints) for name, one in own.items()}
    skeleton = _union(own, names) if options.skeleton == UNION else Skeleton.load(options.skeleton)
    everything = range(skeleton.num_joints)
    joints = {name: Places(len(everything), everything, everything) for name in options.sources}
    for name, called in names.items():
        found = _matches(called, skeleton.joints, name)
        if lost := [joint for joint, place in found.items() if place is None]:
            raise InputError(
                f"skeleton {skeleton.name!r} of the mix lacks the joints {', '.join(lost)} of source {name}; "
                f"rename or leave out (null) with data.sources.{name}.joints, or take data.skeleton={UNION} "
                f"(the source's: {', '.join(called)}; the mix's: {', '.join(skeleton.joints)})"
            )
        theirs = [own[name].joints.index(called[joint]) for joint in found]
        mine = [place for place in found.values() if place is not None]
        joints[name] = Places(len(everything), mine, theirs)
    return skeleton, joints


def _names(source: str, own: Skeleton, renamed: Mapping[str, str | None]) -> dict[str, str]:
    """The joints of a source that are taken: what the mix is to call them, to what it calls them itself."""
    if unknown := [joint for joint in renamed if joint not in own.joints]:
        raise InputError(
            f"data.sources.{source}.joints names {unknown[0]!r}, which is none of its joints: "
            f"{', '.join(own.joints)}"
        )
    found: dict[str, str] = {}
    for joint in own.joints:
        name = renamed.get(joint, joint)
        if name in found:
            raise InputError(f"data.sources.{source}.joints makes both {found[name]} and {joint} {name!r}")
        if name is not None:
            found[name] = joint
    return found


def _keys(joints: Sequence[str]) -> list[tuple[str, str]]:
    """What each joint is called, whatever its spelling: its side and the rest, of synonyms the first."""
    told = zip(joints, sides(tuple(joints)), strict=True)
    pairs = [side or ("", plain_name(joint)) for joint, side in told]
    return [(side, _SYNONYMS.get(rest, rest)) for side, rest in pairs]


def _matches(
    names: Sequence[str] | Mapping[str, str], wanted: Sequence[str], source: str
) -> dict[str, int | None]:
    """For each of a source's names the place of the same joint in `wanted`; None where there is none."""
    names = list(names)
    plain, keys = [plain_name(joint) for joint in wanted], _keys(wanted)
    found: dict[str, int | None] = {}
    for name, key in zip(names, _keys(names), strict=True):
        exact = [place for place, other in enumerate(plain) if other == plain_name(name)]
        places = exact or [place for place, other in enumerate(keys) if other == key]
        if len(places) > 1 or (places and places[0] in found.values()):
            raise InputError(
                f"source {source} of the mix: {name} could be more than one joint; tell them apart with "
                f"data.sources.{source}.joints (the source's: {', '.join(names)}; "
                f"the mix's: {', '.join(wanted)})"
            )
        found[name] = places[0] if places else None
    return found


def _union(own: Mapping[str, Skeleton], names: Mapping[str, Mapping[str, str]]) -> Skeleton:
    """All joints of the sources, in the order in which they come; of those in common the first's sigma."""
    if not own:
        raise InputError("no source of the mix has people")
    joints: list[str] = []
    sigmas: list[float] = []
    order: list[str] = []
    flip: dict[str, str] = {}
    edges: dict[frozenset[str], tuple[str, str]] = {}
    for source, called in names.items():
        found = _matches(called, joints, source)
        if joints and all(place is None for place in found.values()):
            raise InputError(
                f"source {source} of the mix shares no joint with the others; rename with "
                f"data.sources.{source}.joints (its: {', '.join(called)}; theirs: {', '.join(joints)})"
            )
        skeleton = own[source]
        # What the mix calls the source's joints.
        title = {called[name]: name if place is None else joints[place] for name, place in found.items()}
        for place in skeleton.order:
            joint = skeleton.joints[place]
            if joint in title and title[joint] not in order:
                order.append(title[joint])
        for joint, name in title.items():
            place = skeleton.joints.index(joint)
            if name not in joints:
                joints.append(name)
                sigmas.append(skeleton.sigmas[place])
            mirror = skeleton.joints[skeleton.flip[place]]
            if mirror not in title:
                raise InputError(
                    f"data.sources.{source}.joints leaves out {mirror}, but not {joint}, its mirror"
                )
            flip.setdefault(name, title[mirror])
        for ends in skeleton.edges:
            a, b = (title.get(skeleton.joints[end], "") for end in ends)
            if a and b:
                edges.setdefault(frozenset((a, b)), (a, b))
    return Skeleton.from_dict(
        {
            "name": "+".join(dict.fromkeys(skeleton.name for skeleton in own.values())),
            "joints": joints,
            "flip": [flip[joint] for joint in joints],
            "sigmas": sigmas,
            "edges": [list(pair) for pair in edges.values()],
            "order": order,
            "mirrors": all(skeleton.mirrors for skeleton in own.values()),
        }
    )


def _has_people(source: MixSource) -> bool:
    return LAYOUTS.get(source.layout).has_people


def _alone(options: DataOptions, source: MixSource, skeleton: Skeleton, protocol: str) -> DataOptions:
    """The settings with which a source is opened by itself."""
    own = {each.name: getattr(source, each.name) for each in fields(SourceOptions)}
    if not _has_people(source):
        own["skeleton"] = skeleton
    views = {one.exif for one in options.sources.values()}
    # A mix knows no view of its own: where they differ, that of each picture is settled now.
    verify = "headers" if options.verify == "none" and len(views) > 1 else options.verify
    augment = source.augment or options.augment
    return DataOptions(**own, protocol=protocol, on_error=options.on_error, verify=verify, augment=augment)


def _source(name: str, inner: str) -> str:
    """What an image of a mix says where it comes from: the source, and the source's own source."""
    return f"{name}/{inner}" if inner else name


def _records(name: str, part: PoseDataset, places: Places, counted: Sequence[int]) -> list[Record]:
    """The records of source `name` with the joints of the mix; who keeps none of theirs is left out."""
    found = []
    for index, record in enumerate(part.records):
        keypoints = places.taken(record.keypoints)
        lost = (record.keypoints[..., 2] > 0).any(axis=1) & ~(keypoints[..., 2] > 0).any(axis=1)
        found.append(
            replace(
                record,
                file_name=f"{name}/{part.file_name(index)}",
                keypoints=keypoints,
                num_keypoints=(keypoints[:, list(counted), 2] > 0).sum(axis=1),
                ignore=record.ignore + tuple(Region.box(*box) for box in record.boxes[lost].tolist()),
                source=_source(name, record.source),
            )
        )
    return found


def _with_crowd_indices(records: list[Record], protocol: Protocol) -> list[Record]:
    """The records with a crowd index each, as the protocol defines it, if only some have one."""
    known = [not np.isnan(record.crowd_index) for record in records]
    if protocol.crowd_index is None or all(known) or not any(known):
        return records
    return [
        record if has else replace(record, crowd_index=protocol.crowd_index(list(people_entries(record))))
        for record, has in zip(records, known, strict=True)
    ]

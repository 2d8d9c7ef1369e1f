"""Which parts and networks stand for a space, and their times on this machine."""

from __future__ import annotations

import datetime
import platform
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from supernet.errors import InputError
from supernet.family import Architecture
from supernet.heads.contract import with_each_head
from supernet.runs.environment import processor, usable_cores
from supernet.space import Codes, SearchSpace

from ..costs.latency import require_within, table_path
from ..costs.parts import Part, network_parts, telling_parts
from ..strategies.operators import sample_all_sizes, unique_rows
from .board_script import Run, open_session, pin, session_run, time_rounds
from .measurements import Measurements
from .options import DeviceOptions, MeasureOptions

Make = Callable[[], Run]
Told = Callable[[int], object]
# Networks in a row without a part that is wanted, after which the design is complete.
NOTHING_NEW = 40
# Parts that are measured where nothing is known, and where another device's are.
PARTS, FEW_PARTS = 300, 60
# Parts of a kind, where there are so many.
FEWEST = 3


@dataclass(frozen=True)
class Design:
    """What is measured.

    Attributes:
        sources, places: part i is part number `places[i]` of architecture `sources[i]`.
        parts: those parts.
        codes: (N, G) whole networks.
        archs: those networks.
    """

    sources: Codes
    places: tuple[int, ...]
    parts: tuple[Part, ...]
    codes: Codes
    archs: tuple[Architecture, ...]

    def few_parts(self, space: SearchSpace, num_joints: int, count: int) -> Design:
        """About `count` of the parts, those that tell most of the others (`telling_parts`)."""
        wanted = part_counts(largest_parts(space, num_joints), count)
        chosen = telling_parts(self.parts, wanted)
        places, parts = tuple(self.places[i] for i in chosen), tuple(self.parts[i] for i in chosen)
        return replace(self, sources=self.sources[chosen], places=places, parts=parts)


def make_design(space: SearchSpace, num_joints: int, options: MeasureOptions, seed: int) -> Design:
    """Distinct parts of random networks, a share of each kind, and random networks of all sizes."""
    rng = np.random.default_rng([seed, 0])
    total = options.parts or PARTS
    wanted = part_counts(largest_parts(space, num_joints), total)
    found: dict[Part, tuple[Any, int]] = {}
    # Where a kind has fewer different parts than its share, others take its place.
    spare: dict[Part, tuple[Any, int]] = {}
    counts = Counter[str]()
    idle = 0
    for row in sample_all_sizes(space, rng, 20 * total):
        before = len(found)
        parts = network_parts(space.decode(row[None])[0], num_joints)
        for place in rng.permutation(len(parts)):
            part = parts[place]
            if part in found:
                continue
            if counts[part.kind] >= wanted.get(part.kind, FEWEST):
                spare.setdefault(part, (row, int(place)))
            else:
                counts[part.kind] += 1
                found[part] = (row, int(place))
                # One of each kind per network at most keeps the sizes mixed.
                if counts[part.kind] % 4 == 0:
                    break
        idle = idle + 1 if len(found) == before else 0
        if idle >= NOTHING_NEW:
            break
    found |= islice(spare.items(), max(0, total - len(found)))
    codes = _networks(space, np.random.default_rng([seed, 1]), options.networks)
    sources = np.stack([row for row, _ in found.values()])
    places = tuple(place for _, place in found.values())
    return Design(sources, places, tuple(found), codes, tuple(space.decode(codes)))


def largest_parts(space: SearchSpace, num_joints: int) -> list[Part]:
    """The parts of the largest network, and one of each kind that only another head has."""
    first, *others = space.decode(with_each_head(space, space.largest()))
    found = network_parts(first, num_joints)
    for arch in others:
        known = {part.kind for part in found}
        found += [part for part in network_parts(arch, num_joints) if part.kind not in known]
    return found


def part_counts(largest: Sequence[Part], total: int) -> dict[str, int]:
    """How many parts of each kind stand for all: as the square root of the layers in the `largest` network.

    Most layers, and most of the time, are those of blocks; yet a stem that is mistold spoils every network.
    """
    layers: dict[str, int] = {}
    for part in largest:
        layers[part.kind] = layers.get(part.kind, 0) + len(part.layers)
    roots = {kind: count**0.5 for kind, count in layers.items()}
    return {kind: max(FEWEST, round(total * root / sum(roots.values()))) for kind, root in roots.items()}


def _networks(space: SearchSpace, rng: np.random.Generator, n: int) -> Codes:
    """Half uniform over the choices, half of all sizes, the extremes among them; distinct."""
    ends = np.concatenate([with_each_head(space, arch) for arch in (space.smallest(), space.largest())])
    drawn = [ends, space.sample_codes(rng, 4 * n), sample_all_sizes(space, rng, 4 * n)]
    codes = np.concatenate([ends, *np.stack([drawn[1], drawn[2]], axis=1)])
    return codes[unique_rows(codes)][:n]


def measure_design(
    space: SearchSpace,
    num_joints: int,
    design: Design,
    device: DeviceOptions,
    options: MeasureOptions,
    told: Told | None = None,
    prior: Measurements | None = None,
) -> Measurements:
    """Time every part and network of `design` on this machine."""
    require_cores(device.pin)
    pin(device.pin)
    part, network = makers(device, num_joints)
    # Before anything is timed: what cannot be described must not cost the measurement.
    about = describe(device)
    items = [(f"part {i}", part(one)) for i, one in enumerate(design.parts)]
    items += [(f"network {i}", network(arch)) for i, arch in enumerate(design.archs)]
    times = time_rounds(items, options.rounds, options.seconds, told=told)
    return gather(space, num_joints, design, times, about, prior)


def require_cores(wanted: Sequence[int]) -> None:
    """Raise InputError unless this process may run on all the cores `wanted`."""
    known = usable_cores()
    lacking = sorted(set(wanted) - known)
    if lacking:
        raise InputError(
            f"device.pin={list(wanted)}: this process may not run on core {lacking[0]}, only on "
            f"{', '.join(map(str, sorted(known)))}"
        )


def gather(
    space: SearchSpace,
    num_joints: int,
    design: Design,
    times: dict[str, list[tuple[float, int]]],
    about: dict[str, Any],
    prior: Measurements | None = None,
) -> Measurements:
    """Measurements from times by item name; beside the parts of `prior` if there is one."""

    def rows(kind: str, count: int) -> Any:
        return np.array([[ms for ms, _ in times[f"{kind} {i}"]] for i in range(count)])

    networks = rows("network", len(design.archs))
    own = None
    if design.parts:
        parts = rows("part", len(design.parts))
        own = Measurements(
            space, num_joints, about, design.sources, design.places, parts, design.codes, networks
        )
    if prior is not None:
        return prior.on_another_device(space, design.codes, networks, about, own)
    assert own is not None
    return own


def open_prior(device: DeviceOptions, space: SearchSpace, num_joints: int) -> Measurements | None:
    """The table that `device.prior` names, if it can stand for the parts of `space` on `device`.

    Raises:
        InputError: it is missing, damaged, of another runtime, of other joints, or of a space that does not
            hold this one.
    """
    if device.prior is None:
        return None
    path = table_path(device.prior)
    prior = Measurements.load(path)
    measured_with = str(prior.about.get("runtime"))
    wanted = "onnxruntime" if device.runtime == "board" else device.runtime
    try:
        if measured_with.partition(" ")[0] != wanted:
            raise InputError(f"it was measured with {measured_with}, whose parts tell little of {wanted}")
        if prior.num_joints != num_joints:
            raise InputError(f"it was measured for {prior.num_joints} joints")
        if prior.has_prior:
            raise InputError("its own parts are those of another table; name that one")
        require_within(space, prior.space)
    except InputError as error:
        raise InputError(f"device.prior={path}: {error}") from None
    return prior


def makers(
    device: DeviceOptions, num_joints: int
) -> tuple[Callable[[Part], Make], Callable[[Architecture], Make]]:
    """How a part and a network become something that runs on `device`."""
    if device.runtime == "onnxruntime":
        from .runners import onnx_network, onnx_part

        def run_bytes(model: Callable[[], bytes]) -> Make:
            return lambda: session_run(open_session(model(), device.threads))

        return (
            lambda part: run_bytes(lambda: onnx_part(part)),
            lambda arch: run_bytes(lambda: onnx_network(arch, num_joints)),
        )
    from .runners import network_maker, part_maker, prepare_torch

    prepare_torch(device)
    return lambda part: part_maker(part, device), lambda arch: network_maker(arch, num_joints, device)


def describe(device: DeviceOptions) -> dict[str, Any]:
    """Device, runtime, threads, precision and date, for the table."""
    name = processor()
    if device.runtime == "onnxruntime":
        import onnxruntime

        runtime = f"onnxruntime {onnxruntime.__version__}"
    else:
        import torch

        runtime = f"{device.runtime} {torch.__version__}"
        if device.device != "cpu":
            name = torch.cuda.get_device_name(device.device)
    return {
        "device": device.label or name,
        "runtime": runtime,
        "kind": device.runtime,
        "threads": device.threads,
        "precision": device.precision,
        "batch": 1,
        "cores": len(usable_cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }

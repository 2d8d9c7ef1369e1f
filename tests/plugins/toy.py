"""A module outside the packages, as a user writes one: it registers one thing of every kind.

The commands import it by `plugins=[toy]`; docs/extending.md tells it section by section.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from search.accuracy.models import MODELS
from search.costs.contract import COSTS, CostSettings, LayerCost
from search.options import SearchCommand
from search.scores import SCORES, Scored
from search.strategies.contract import STRATEGIES, History, Problem
from subnets.export.formats import FORMATS, Format, Job, Run
from subnets.network import empty_network
from subnets.portable.manifest import Manifest
from subnets.runtime import torch_runtime
from supernet.cost import Passes
from supernet.data.images.store import Store
from supernet.data.layouts import LAYOUTS, Layout, Split, read_document
from supernet.family import FAMILIES, Architecture, Layer, Refinement, arch_from_dict
from supernet.heads.contract import HEADS, Head, Output
from supernet.heads.single import best_pixels
from supernet.layers.description import REFINEMENTS
from supernet.pose.grouping import DecodeOptions
from supernet.pose.inference import average_views, merge_heatmaps
from supernet.pose.people import Floats, People
from supernet.pose.preprocess import View, to_image
from supernet.pose.protocols import PROTOCOLS, Protocol, Scorer
from supernet.pose.skeletons import Skeleton
from supernet.space import Codes, SearchableFamily, SearchSpace

Apply = Callable[[str, Any], Any]
Add = Callable[[Any, Any], Any]

# --- Family: a network of its own -----------------------------------------------------------------------


@dataclass(frozen=True)
class ToyArch(Architecture):
    """Two maps, at 1/2 and at 1/4, the second after `depth` residual convolutions."""

    family = "toy"

    resolution: int
    widths: tuple[int, ...]
    depth: int
    head_kind: str = "embedding"
    refinement: Refinement | None = None


class Toy(SearchableFamily):
    """Elastic in both widths and in the depth."""

    name = "toy"
    arch = ToyArch

    def layers(self, arch: ToyArch, num_joints: int) -> tuple[Layer, ...]:
        fine, coarse = arch.widths
        found = [Layer("fine", "conv", 3, fine, 3, 2, True, "relu", 2)]
        found.append(Layer("coarse", "conv", fine, coarse, 3, 2, True, "relu", 4))
        for i in range(arch.depth):
            found.append(
                Layer(f"blocks.{i}", "conv", coarse, coarse, 3, 1, True, None, 4, closes_branch=True)
            )
        if arch.refinement is not None:
            found += arch.refinement.layers("refined", coarse, 4)
        for out in HEADS.get(arch.head_kind).outputs(num_joints):
            width = {2: fine, 4: coarse}[out.scale]
            found.append(Layer(f"out_{out.name}", "conv", width, out.channels, 1, 1, False, None, out.scale))
        return tuple(found)

    def wire(self, arch: ToyArch, apply: Apply, add: Add, images: Any) -> list[Any]:
        fine = apply("fine", images)
        x = apply("coarse", fine)
        for i in range(arch.depth):
            x = add(x, apply(f"blocks.{i}", x))
        if arch.refinement is not None:
            x = arch.refinement.wire("refined", apply, add, x)
        maps = {2: fine, 4: x}
        return [apply(f"out_{out.name}", maps[out.scale]) for out in HEADS.get(arch.head_kind).outputs(1)]


FAMILIES.register("toy", Toy())


# --- Head: what a network gives, how it learns that, how people are read from it --------------------------


class OnePerson(Head):
    """Heatmaps at 1/4, of whose best pixels one person is made."""

    name = "toy"

    def outputs(self, num_joints: int) -> tuple[Output, ...]:
        return (Output("maps", num_joints, 4, "(B, J, H/4, W/4) heatmaps"),)

    def people(
        self,
        passes: Sequence[Sequence[Sequence[Floats]]],
        views: Sequence[View],
        skeleton: Skeleton,
        options: DecodeOptions,
    ) -> People:
        heat_jhw = average_views([merge_heatmaps(each, skeleton.flip) for each in passes], views)
        pose_pj3 = best_pixels(heat_jhw[None], scale=1).astype(np.float32)
        people = People(pose_pj3, np.zeros((1, 1), np.float32), pose_pj3[..., 2].mean(axis=1))
        return to_image(people, views[0], heat_jhw.shape[1:])


HEADS.register("toy", OnePerson())


# --- Refinement: what improves a map before the head ------------------------------------------------------


@dataclass(frozen=True)
class Smooth(Refinement):
    """A depthwise convolution beside the map."""

    kind = "smooth"
    kernel: int = 3

    def layers(self, name: str, channels: int, scale: int) -> tuple[Layer, ...]:
        place = (scale, name, "refinement")
        return (Layer(f"{name}.look", "depthwise", channels, channels, self.kernel, 1, True, None, *place),)

    def wire(self, name: str, apply: Apply, add: Add, x: Any) -> Any:
        return add(x, apply(f"{name}.look", x))


REFINEMENTS.register("smooth", Smooth)


# --- Cost: a maximum --------------------------------------------------------------------------------------


class LargestMap(LayerCost):
    """The largest map that a layer writes, as float32."""

    name, unit, reduce = "largest_map", "bytes", "max"

    def of_layer(self, layer: Layer, resolution: int, settings: CostSettings) -> float:
        return 4 * layer.out_channels * (resolution // layer.scale) ** 2


COSTS.register("largest_map", LargestMap())

# --- Protocol: what a data set asks -----------------------------------------------------------------------


def hits(truth: dict[str, Any], found: list[dict[str, Any]], skeleton: Skeleton) -> dict[str, float]:
    """The share of labelled joints that some detection has within 10% (and 5%) of the person's box."""
    near: list[float] = []
    for person in truth["annotations"]:
        joints = np.reshape(person["keypoints"], (-1, 3))
        poses = [d["keypoints"] for d in found if d["image_id"] == person["image_id"]]
        steps = np.reshape(poses, (-1, len(joints), 3))[..., :2] - joints[:, :2]
        distance = np.hypot(*np.moveaxis(steps, -1, 0)).min(axis=0, initial=np.inf)
        near += list(distance[joints[:, 2] > 0] / BOX.area(person) ** 0.5)
    return {f"PCK{limit}": float(np.mean([d < limit / 100 for d in near])) for limit in (10, 5)}


BOX = Protocol(
    metrics=("PCK10", "PCK5"),
    scorers={"hits": Scorer(hits)},
    area=lambda person: float(person["bbox"][2] * person["bbox"][3]),
)
PROTOCOLS.register("toy", BOX)


# --- Layout: where files lie ------------------------------------------------------------------------------


class PointLists(Layout):
    """`{split}/*.png`, and `{split}.json`: {picture: {"size": [w, h], "people": [[x, y, x, y, ...]]}}."""

    protocol = "toy"

    def split(self, store: Store, name: str) -> Split:
        source, pictures = read_document(store, f"{name}.json")
        images, people = [], []
        for number, (file, entry) in enumerate(sorted(pictures.items()), start=1):
            width, height = entry["size"]
            images.append({"id": number, "file_name": file, "width": width, "height": height})
            for points in entry["people"]:
                xy = np.reshape(points, (-1, 2))
                joints = np.column_stack([xy, np.full(len(xy), 2)]).ravel().tolist()
                box = [*map(float, xy.min(axis=0)), *map(float, np.ptp(xy, axis=0))]
                person = {"id": len(people) + 1, "image_id": number, "category_id": 1}
                people.append({**person, "keypoints": joints, "bbox": box})
        document = {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}
        return Split(f"toy-{name}", [(source, document)], [name])


LAYOUTS.register("toy", PointLists())


# --- Format: of an export ---------------------------------------------------------------------------------


def write_npz(job: Job, path: Path, options: Mapping[str, Any]) -> Sequence[str]:
    """The folded network's arrays, and its manifest as text."""
    arrays = {name: tensor.numpy() for name, tensor in job.fused.state_dict().items()}
    write = np.savez_compressed if options["compressed"] else np.savez
    write(path, manifest=np.array(job.manifest.to_json()), **arrays)
    return ("compressed",) if options["compressed"] else ()


def read_npz(path: Path) -> Manifest:
    """What the file says about itself."""
    with np.load(path) as arrays:
        return Manifest.from_json(str(arrays["manifest"]), f"toy file {path}")


def open_npz(path: Path, threads: int | None = None) -> Run:
    """The file as a function from images to outputs."""
    manifest = read_npz(path)
    with np.load(path) as arrays:
        tensors = {name: torch.from_numpy(arrays[name]) for name in arrays.files if name != "manifest"}
    net = empty_network(arch_from_dict(manifest.arch), manifest.skeleton.num_joints, fused=True)
    net.load_state_dict(tensors)
    return torch_runtime(net, threads)


FORMATS.register(
    "toy",
    Format(
        "toy", "model.npz", "toy", write_npz, open_npz, read_npz, peaks=False, options={"compressed": False}
    ),
)

# --- Source of scores: what a search asks -----------------------------------------------------------------


class Sizes:
    """`supernet=sizes:SPACE`: the larger the input, the better."""

    num_joints, passes, metric, warnings = 14, Passes(), "AP", ()

    def __init__(self, argument: str, config: SearchCommand) -> None:
        self.space = SearchSpace.load(argument)

    def __call__(self, arch: Architecture) -> Scored:
        return Scored({"AP": arch.resolution / max(self.space.resolution)})

    def fingerprint(self) -> dict[str, Any]:
        return {"sizes": 1}

    def environment(self) -> dict[str, Any]:
        return {"scored on": "nothing"}

    def save(self, arch: Architecture, about: Mapping[str, Any], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        arch.save(folder / "arch.yaml")


SCORES.register("sizes", Sizes)


# --- Strategy: what a search evaluates next ---------------------------------------------------------------


class Cheapest:
    """The cheapest of some random architectures, by the first cost."""

    def __init__(self, problem: Problem, draws: int = 64) -> None:
        self.problem, self.draws = problem, draws

    def ask(self, history: History, count: int, rng: np.random.Generator) -> Codes:
        """(m, G) codes to evaluate next, m <= count."""
        codes = self.problem.space.sample_codes(rng, self.draws)
        codes = codes[self.problem.feasible(codes)]
        codes = codes[[row.tobytes() not in history.known for row in codes]]
        order = np.argsort(self.problem.costs.predict(codes)[:, 0], kind="stable")
        return codes[order][:count]


STRATEGIES.register("cheapest", Cheapest)

# --- Accuracy model: what a search expects of what it has not evaluated -----------------------------------


class Nearest:
    """The AP of the nearest measured architecture; its distance is the uncertainty."""

    def __init__(self, seed: int) -> None:
        self.x, self.y = np.zeros((0, 0)), np.zeros(0)

    def fit(self, x: np.ndarray, y: np.ndarray) -> Nearest:
        """Learn from (N, F) features, most of them in [0, 1], and (N,) AP."""
        self.x, self.y = x, y
        return self

    def predict(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, (M,) each, of (M, F) features."""
        far = np.linalg.norm(x[:, None] - self.x[None], axis=2)
        return self.y[far.argmin(axis=1)], 0.01 * far.min(axis=1)


MODELS.register("nearest", Nearest)

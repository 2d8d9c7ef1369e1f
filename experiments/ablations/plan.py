"""What is compared: the ablations of `conf/experiment/ablation_*.yaml` as single runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from supernet.names import conf_folder

RECIPE = "ablation"
# The last thing that evaluation writes.
RESULT = "results.json"


@dataclass(frozen=True)
class Run:
    """One network from one seed; an arm that several ablations share is trained once.

    Attributes:
        arch: file of the architecture.
        seed: of the weights, the order of the images and the augmentation.
    """

    arch: str
    seed: int

    @property
    def arm(self) -> str:
        """The network's name."""
        return Path(self.arch).stem

    @property
    def name(self) -> str:
        """The name of the runs of both commands."""
        return f"ablation-{self.arm}-{self.seed}"

    @property
    def folder(self) -> Path:
        """Where it is trained."""
        return Path("runs/finetune") / self.name

    @property
    def network(self) -> Path:
        """The trained network, the last thing that training writes."""
        return self.folder / "subnet"

    @property
    def scores(self) -> Path:
        """Where it is scored."""
        return Path("runs/evaluate") / self.name


@dataclass(frozen=True)
class Ablation:
    """Networks that differ in one thing.

    Attributes:
        name: of the config, without `ablation_`.
        archs: files of the architectures, in the order of the table.
        seeds: of each.
    """

    name: str
    archs: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def arms(self) -> list[str]:
        """The networks' names."""
        return [Path(arch).stem for arch in self.archs]


def _recipe_data() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((conf_folder("experiment") / f"{RECIPE}.yaml").read_text())["data"]
    return data


def data_root() -> Path:
    """Where the crowds are rendered to."""
    return Path(_recipe_data()["root"])


def data_settings() -> list[str]:
    """The recipe's data for commands that do not take the recipe."""
    data = _recipe_data()
    render = [f"data.render.{key}={value}" for key, value in data["render"].items()]
    return [f"data.root={data['root']}", f"data.workers={data['workers']}", *render]


def ablations() -> dict[str, Ablation]:
    """By name, in the order of their names."""
    found = {}
    for path in sorted(conf_folder("experiment").glob(f"{RECIPE}_*.yaml")):
        params: dict[str, Any] = yaml.safe_load(path.read_text())["hydra"]["sweeper"]["params"]
        name = path.stem.removeprefix(f"{RECIPE}_")
        seeds = tuple(int(seed) for seed in str(params["seed"]).split(","))
        found[name] = Ablation(name, tuple(params["arch"].split(",")), seeds)
    return found


def runs(chosen: list[Ablation]) -> list[Run]:
    """Every run once; all networks with the first seed, then all with the second, and so on."""
    pairs = [(seed, arch) for one in chosen for arch in one.archs for seed in one.seeds]
    order = sorted(dict.fromkeys(pairs), key=lambda pair: pair[0])
    return [Run(arch, seed) for seed, arch in order]

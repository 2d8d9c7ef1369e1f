"""What is compared: the ablations of `conf/experiment/` as single runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from subnets.console import slug
from supernet.runs.files import read_yaml

PREFIX = "ablation_"
# Data and experiments, for `--config-dir`.
CONF = Path(__file__).resolve().parent / "conf"
# The group option of the data that every ablation is trained and scored on.
DATA = "crowds"
# The last thing that evaluation writes.
RESULT = "results.json"


@dataclass(frozen=True)
class Run:
    """One network from one seed; an arm that several ablations share is trained once.

    Attributes:
        arch: name or file of the architecture.
        seed: of the weights, the order of the images and the augmentation.
        recipe: the experiment that is asked for it; those that share it have the same recipe.
    """

    arch: str
    seed: int
    recipe: str = field(compare=False)

    @property
    def arm(self) -> str:
        """The network's name."""
        return arm_of(self.arch)

    @property
    def name(self) -> str:
        """The name of the runs of both commands, as `experiment=ablation` of this folder makes it."""
        return f"{slug(self.arch)}-{self.seed}"

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

    @property
    def is_finished(self) -> bool:
        """Whether it is trained and scored."""
        return self.network.exists() and (self.scores / RESULT).exists()


@dataclass(frozen=True)
class Ablation:
    """Networks that differ in one thing.

    Attributes:
        name: of the config, without `ablation_`.
        archs: names or files of the architectures, in the order of the table.
        seeds: of each.
    """

    name: str
    archs: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def arms(self) -> list[str]:
        """The networks' names."""
        return [arm_of(arch) for arch in self.archs]

    @property
    def runs(self) -> list[Run]:
        """All of its runs, network by network."""
        return [Run(arch, seed, PREFIX + self.name) for arch in self.archs for seed in self.seeds]


def arm_of(arch: str) -> str:
    """A network's name in tables: `kernel7` of `ablation-kernel7`."""
    return slug(arch).removeprefix(PREFIX.replace("_", "-"))


def ablations() -> dict[str, Ablation]:
    """By name, in the order of their names."""
    found = {}
    for path in sorted((CONF / "experiment").glob(f"{PREFIX}*.yaml")):
        params: dict[str, Any] = read_yaml(path, "experiment")["hydra"]["sweeper"]["params"]
        name = path.stem.removeprefix(PREFIX)
        seeds = tuple(int(seed) for seed in str(params["seed"]).split(","))
        found[name] = Ablation(name, tuple(params["arch"].replace(" ", "").split(",")), seeds)
    return found


def all_runs(chosen: Iterable[Ablation]) -> list[Run]:
    """Every run once; all networks with the first seed, then all with the second, and so on."""
    once = dict.fromkeys(run for one in chosen for run in one.runs)
    return sorted(once, key=lambda run: run.seed)

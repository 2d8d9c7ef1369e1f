"""A trained supernet and a finished search, a device that is a formula, and the helpers beside the tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from search import LatencyTable
    from search.devices.measurements import Measurements
    from search.devices.profiling import Design
    from supernet import SearchSpace

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "experiments" / "search")]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set in `data/` and the run of an untrained supernet of `nano` in `run/`."""
    pytest.importorskip("torch")
    from supernet import SearchSpace, Supernet
    from supernet.data.synthetic.dataset import ensure
    from supernet.data.synthetic.options import SyntheticOptions
    from supernet.runs.snapshot import Snapshot
    from supernet.training.checkpoint import CheckpointFolder

    folder = tmp_path_factory.mktemp("trained")
    ensure(folder / "data", SyntheticOptions(train=8, val=4, test=1, size=64, workers=1))
    space = SearchSpace.load("nano")
    net = Supernet(space, 14)
    tensors = {f"model.{name}": value for name, value in net.named_parameters()}
    data = {"root": str(folder / "data"), "workers": 0, "cache": "memory"}
    meta = {"space": space.to_dict(), "num_joints": 14, "config": {"data": data}, "step": 7}
    CheckpointFolder(folder / "run" / "checkpoints").save(7, Snapshot(tensors, meta))
    return folder


@pytest.fixture(scope="session")
def finished(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a whole search of `command.settings`; tests leave it as it is."""
    from command import run, settings

    folder = tmp_path_factory.mktemp("runs") / "s"
    run(settings(trained), folder)
    return folder


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    """The space of the device that is a formula."""
    from supernet import SearchSpace

    return SearchSpace.load("tiny")


@pytest.fixture(scope="session")
def design(space: SearchSpace) -> Design:
    """What is measured of it."""
    from formula_device import SIZES

    from search.devices.profiling import make_design

    return make_design(space, 14, SIZES, 0)


@pytest.fixture(scope="session")
def measured(space: SearchSpace, design: Design) -> Measurements:
    """Its times."""
    from formula_device import formula_device

    return formula_device(space, design)


@pytest.fixture(scope="session")
def table(measured: Measurements) -> LatencyTable:
    """What predicts its latency."""
    from search import LatencyTable

    return LatencyTable(measured)

"""A trained supernet for the search, and the helpers beside the tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

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

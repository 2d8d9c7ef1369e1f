"""What all tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# The helpers beside the tests.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from warm import Run, Warm

# Two test processes share two cores; more threads in each would only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: none is left at the end for one process while the other has nothing."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Runs real commands without their start; one for all tests of a process."""
    made = Warm()
    yield made
    made.close()


@pytest.fixture(scope="session")
def run(warm: Warm) -> Run:
    """`run(folder, module, *settings)`: a real command in a folder."""
    return lambda folder, module, *settings: warm.run(module, settings, folder)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data beside the checkout; tests that need it are skipped without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("the data folder beside the checkout (../shared) is absent")
    return folder


@pytest.fixture
def disturb() -> Callable[[Any, int], None]:
    """Gives a network's norms and kernel transforms random values: none is the identity afterwards."""
    import torch

    def apply(net: Any, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)

        def noise(tensor: torch.Tensor) -> torch.Tensor:
            return 0.1 * torch.randn(tensor.shape, generator=generator)

        with torch.no_grad():
            for name, tensor in net.state_dict().items():
                if "transforms" in name or "norm.weight" in name or "norm.bias" in name:
                    tensor += noise(tensor)
                elif "running_mean" in name:
                    tensor.copy_(noise(tensor))
                elif "running_var" in name:
                    tensor.copy_(1 + noise(tensor).abs())

    return apply

"""Networks whose weights and outputs are known from the released implementation."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

FOLDER = Path(__file__).resolve().parents[2] / "golden"


@dataclass(frozen=True)
class Golden:
    """One network of `golden/official_open`: what the released implementation says about it."""

    key: str
    record: dict[str, Any]
    outputs: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]

    def weights(self) -> dict[str, Tensor]:
        """Weights that anyone can regenerate: from each name's checksum."""
        return {name: _tensor(name, shape) for name, shape in self.record["state_dict"].items()}

    def images(self) -> Tensor:
        """The (1, 3, R, R) input of the recorded outputs."""
        side = self.record["arch"]["img_size"]
        return torch.from_numpy(
            np.random.RandomState(5).standard_normal((1, 3, side, side)).astype(np.float32)
        )


def _tensor(name: str, shape: list[int]) -> Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.zeros((), dtype=torch.int64)
    noise = np.asarray(np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape))
    if noise.ndim == 4:
        value = noise / np.sqrt(np.prod(noise.shape[1:]))
    elif name.endswith("running_var"):
        value = 1 + 0.1 * np.abs(noise)
    elif name.endswith("running_mean"):
        value = 0.1 * noise
    elif name.endswith("bias"):
        value = 3 * noise
    else:
        value = 1 + 0.1 * noise
    return torch.from_numpy(value.astype(np.float32))


def golden_networks() -> list[Golden]:
    """All four."""
    records = json.loads(gzip.decompress((FOLDER / "official_open.json.gz").read_bytes()))
    with np.load(FOLDER / "official_open.npz") as outputs:
        return [
            Golden(r["key"], r, (outputs[f"{r['key']}/out0"], outputs[f"{r['key']}/out1"])) for r in records
        ]


@pytest.fixture(params=range(4), ids=["xs", "xs-coco", "mixed-a", "mixed-b"])
def golden(request: pytest.FixtureRequest) -> Golden:
    """Each of the four in turn."""
    return golden_networks()[request.param]


@pytest.fixture
def mixed() -> Golden:
    """One with mixed kernels and depths, the smallest file."""
    return golden_networks()[3]

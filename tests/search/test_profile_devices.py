"""Devices: those that run a part and a network, and those that are refused before anything is measured."""

from __future__ import annotations

from typing import Any

import pytest

from search.costs.parts import network_parts
from search.devices.options import DeviceOptions, MeasureOptions
from search.devices.profiling import Design, make_design
from supernet import InputError, SearchSpace


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace.load("tiny")


@pytest.fixture(scope="module")
def design(space: SearchSpace) -> Design:
    return make_design(space, 14, MeasureOptions(parts=30, networks=10), 0)


def test_torch_runs_a_part_and_a_network(space: SearchSpace) -> None:
    torch = pytest.importorskip("torch")
    from search.devices.runners import network_maker, part_maker, prepare_torch

    before = torch.get_num_threads()
    device = DeviceOptions(runtime="torch")
    prepare_torch(device)
    arch = space.smallest()
    part_maker(network_parts(arch, 14)[1], device)()()
    network_maker(arch, 14, device)()()
    torch.set_num_threads(before)
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device"):
            prepare_torch(DeviceOptions(runtime="torch", device="cuda"))


def test_a_device_that_cannot_be_described_costs_no_measurement(
    space: SearchSpace, design: Design, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    from search.devices import profiling

    def fails(device: DeviceOptions) -> dict[str, Any]:
        raise InputError("no name")

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("measured")

    with pytest.raises(
        InputError, match=r"pin=\[65000\]: this process may not run on core 65000, only on \d"
    ):
        profiling.measure_design(space, 14, design, DeviceOptions(pin=[65000]), MeasureOptions())
    monkeypatch.setattr(profiling, "describe", fails)
    monkeypatch.setattr(profiling, "time_rounds", never)
    with pytest.raises(InputError, match="no name"):
        profiling.measure_design(space, 14, design, DeviceOptions(), MeasureOptions())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "tensorrt"}, "runtime='tensorrt' is not one of"),
        ({"threads": 0}, "is not between 1 and 1024"),
        ({"threads": 100_000}, "is not between 1 and 1024"),
        ({"precision": "float16"}, "for torch only"),
        ({"device": "cuda"}, "device=cuda is for torch only"),
        ({"runtime": "torch", "device": "banana"}, "device=banana is not one of cpu, cuda, cuda:1"),
    ],
)
def test_bad_devices(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DeviceOptions(**options)

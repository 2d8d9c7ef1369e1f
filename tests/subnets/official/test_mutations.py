"""200 seeded mutations of released files: each a clear error, nothing changed, no code run."""

from __future__ import annotations

import copy
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from subnets import Subnet, build
from subnets.official import export_weights, import_weights
from supernet import Arch, InputError, SearchSpace

Rng = np.random.Generator
WRONG: list[Any] = [None, "16", 16.5, -1, 0, [], {}, 10**30, float("nan"), float("inf"), [[]], "", [None]]


def spots(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside `node`."""
    keys = node.keys() if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    found = []
    for key in keys:
        found += [(*path, key), *spots(node[key], (*path, key))]
    return found


def at(node: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        node = node[key]
    return node


def wrong_value(value: Any, rng: Rng) -> None:
    path = pick(spots(value), rng)
    at(value, path[:-1])[path[-1]] = copy.deepcopy(pick(WRONG, rng))


def missing(value: Any, rng: Rng) -> None:
    path = pick(spots(value), rng)
    del at(value, path[:-1])[path[-1]]


def doubled(value: Any, rng: Rng) -> None:
    lists = [path for path in spots(value) if isinstance(at(value, path), list)]
    chosen = at(value, pick(lists, rng))
    chosen.insert(int(rng.integers(len(chosen) + 1)), copy.deepcopy(pick(chosen, rng)))


def renamed(value: Any, rng: Rng) -> None:
    dicts = [(), *(path for path in spots(value) if isinstance(at(value, path), dict))]
    chosen = at(value, pick(dicts, rng))
    key = pick(sorted(chosen), rng)
    chosen[key + "_"] = chosen.pop(key)


def pick(choices: Any, rng: Rng) -> Any:
    return choices[int(rng.integers(len(choices)))]


@pytest.mark.parametrize("seed", range(100))
def test_mutated_architectures(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    value = Arch.load("litepose-xs").to_official()
    file = tmp_path / "arch.json"
    if seed % 5 == 4:
        text = json.dumps(value)
        file.write_text(text[: int(rng.integers(len(text)))])
    else:
        (wrong_value, missing, doubled, renamed)[seed % 5](value, rng)
        file.write_text(json.dumps(value))
    with pytest.raises(InputError, match=r"arch\.json") as caught:
        Arch.load(file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def small() -> Subnet:
    return build(SearchSpace.load("tiny").smallest())


def drop(state: dict[Any, Any], name: str, rng: Rng) -> None:
    del state[name]


def rename(state: dict[Any, Any], name: str, rng: Rng) -> None:
    state[name + "x"] = state.pop(name)


def reshape(state: dict[Any, Any], name: str, rng: Rng) -> None:
    shape = list(state[name].shape)
    shape[int(rng.integers(len(shape)))] += int(rng.integers(1, 4))
    state[name] = torch.zeros(shape)


def flatten(state: dict[Any, Any], name: str, rng: Rng) -> None:
    state[name] = state[name][None]


def retype(state: dict[Any, Any], name: str, rng: Rng) -> None:
    kind = pick([torch.int32, torch.bool, torch.complex64, torch.int8], rng)
    state[name] = torch.zeros(state[name].shape, dtype=kind)


def replace(state: dict[Any, Any], name: str, rng: Rng) -> None:
    state[name] = pick([None, "weights", 3, [1, 2], {}, torch.zeros(state[name].shape).to_sparse()], rng)


def poison(state: dict[Any, Any], name: str, rng: Rng) -> None:
    tensor = state[name].clone()
    tensor.view(-1)[int(rng.integers(tensor.numel()))] = pick([float("nan"), float("inf")], rng)
    state[name] = tensor


def strange_key(state: dict[Any, Any], name: str, rng: Rng) -> None:
    state[pick([3, None, ("a", 1), b"x"], rng)] = state.pop(name)


STATE_CHANGES = (drop, rename, reshape, flatten, retype, replace, poison, strange_key)


def refused(net: Subnet, file: Path) -> None:
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(InputError) as caught:
        import_weights(net, file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 5000
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("seed", range(64))
def test_mutated_state_dicts(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(1000 + seed)
    net = small()
    state: dict[Any, Any] = dict(export_weights(net))
    name = pick(sorted(name for name in state if "num_batches" not in name), rng)
    STATE_CHANGES[seed % len(STATE_CHANGES)](state, name, rng)
    value = {"state_dict": {f"module.{k}": t for k, t in state.items()}} if rng.random() < 0.3 else state
    torch.save(value, tmp_path / "w.pth", _use_new_zipfile_serialization=bool(rng.random() < 0.7))
    refused(net, tmp_path / "w.pth")


@pytest.mark.parametrize("seed", range(24))
def test_truncated_files(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(2000 + seed)
    net = small()
    state = {name: tensor.contiguous() for name, tensor in export_weights(net).items()}
    file = tmp_path / ("w.safetensors" if seed % 3 == 2 else "w.pth.tar")
    if seed % 3 == 2:
        from safetensors.torch import save_file

        save_file(state, file)
    else:
        torch.save(state, file, _use_new_zipfile_serialization=seed % 3 == 0)
    data = file.read_bytes()
    file.write_bytes(data[: int(rng.integers(len(data) - 1))])
    refused(net, file)


class Bomb:
    """Runs `call(*arguments)` when it is unpickled."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call, self.arguments


@pytest.mark.parametrize("seed", range(12))
def test_pickles_that_would_run_code(seed: int, tmp_path: Path) -> None:
    net = small()
    marker = tmp_path / "ran"
    calls = (
        Bomb(os.system, f"touch {marker}"),
        Bomb(exec, f"open({str(marker)!r}, 'w')"),
        Bomb(open, str(marker), "w"),
        Bomb(eval, f"open({str(marker)!r}, 'w')"),
    )
    state: dict[Any, Any] = dict(export_weights(net))
    state["first.0.0.weight" if seed % 2 else "extra"] = calls[seed % 4]
    file = tmp_path / "w.pth"
    if seed % 3 == 2:
        file.write_bytes(pickle.dumps(state))
    else:
        torch.save(state, file, _use_new_zipfile_serialization=seed % 3 == 0)
    refused(net, file)
    assert not marker.exists()

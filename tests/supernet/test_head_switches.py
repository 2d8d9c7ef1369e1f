"""Heads without some of their parts: forms, codes, costs, weights, and what is made of them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from subnets import Subnet, extract
from subnets.export.onnx_graph import export_onnx
from subnets.network import fuse
from subnets.portable.manifest import Manifest
from supernet import Arch, InputError, SearchSpace, Supernet
from supernet.cost import MacsTable, ParamsTable, count_macs, count_params
from supernet.evaluation import calibrate
from supernet.pose.skeletons import Skeleton
from supernet.sorting import sort_channels

Disturb = Callable[[Any, int], None]
TINY = SearchSpace.load("tiny")
BOTH = [False, True]


def switched(**switches: Any) -> SearchSpace:
    """`tiny` with kernels up to 9 and other heads."""
    plain = TINY.to_dict()
    for stage in plain["stages"]:
        stage["kernel"] = [3, 9]
    return SearchSpace.from_dict({**plain, "name": "switched", **switches})


OPEN = switched(fusion=[BOTH, [True], BOTH], raw_outputs=[BOTH, BOTH])
CLOSED = switched(fusion=[[False]] * 3, raw_outputs=[[False]] * 2)


def heads() -> list[Arch]:
    """The 32 heads of the largest network of `tiny`."""
    switches = itertools.product(itertools.product(BOTH, repeat=3), itertools.product(BOTH, repeat=2))
    return [dataclasses.replace(TINY.largest(), fusion=f, raw_outputs=r) for f, r in switches]


def images(side: int, batch: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_a_whole_head_is_written_as_before() -> None:
    whole = Arch.load("litepose-xs")
    assert list(whole.to_dict()) == ["schema", "resolution", "stem", "stages", "head"]
    assert whole == dataclasses.replace(whole, fusion=[1, 1, 1], raw_outputs=[1, 1])  # type: ignore[arg-type]
    assert list(TINY.to_dict()) == ["schema", "name", "resolution", "stem", "stages", "head"]
    assert (
        SearchSpace.from_dict({**TINY.to_dict(), "fusion": [[True]] * 3, "raw_outputs": [[True]] * 2}) == TINY
    )
    assert [gene.name for gene in TINY.genes][-3:] == ["head.0", "head.1", "head.2"]


def test_forms_round_trip(tmp_path: Path) -> None:
    for arch in heads():
        assert Arch.from_dict(arch.to_dict()) == arch
    assert len(set(heads())) == 32
    arch = heads()[5]
    arch.save(tmp_path / "a.yaml")
    assert Arch.load(tmp_path / "a.yaml") == arch
    with pytest.raises(InputError, match="official form has no place for fusion"):
        arch.save(tmp_path / "a.json")
    OPEN.save(tmp_path / "space.yaml")
    assert SearchSpace.load(tmp_path / "space.yaml") == OPEN


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("fusion", [True], "fusion: expected 3 switches, found 1"),
        ("fusion", [1, 0, 1], "fusion: expected a list of true and false"),
        ("raw_outputs", True, "raw_outputs: expected a list of true and false"),
    ],
)
def test_wrong_switches_are_named(key: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Arch.from_dict({**TINY.largest().to_dict(), key: value})
    with pytest.raises(InputError, match=key):
        switched(**{key: value})


def test_a_choice_is_listed_once() -> None:
    with pytest.raises(InputError, match="fusion 1: a choice is listed twice"):
        switched(fusion=[[True, True], [True], [True]])


def test_codes() -> None:
    names = [gene.name for gene in OPEN.genes]
    assert names[-4:] == ["fusion.0", "fusion.2", "raw_outputs.0", "raw_outputs.1"]
    assert OPEN.size() == 16 * switched().size()
    codes = OPEN.sample_codes(np.random.default_rng(0), 200)
    archs = OPEN.decode(codes)
    np.testing.assert_array_equal(OPEN.encode(archs), codes)
    assert len({(arch.fusion, arch.raw_outputs) for arch in archs}) == 16
    assert OPEN.largest().fusion == (True, True, True)
    assert OPEN.smallest().fusion == (False, True, False)
    assert not OPEN.contains(dataclasses.replace(archs[0], fusion=(True, False, True)))
    assert CLOSED.largest().raw_outputs == (False, False)
    assert CLOSED.mismatch(switched().largest()) == "fusion 1 True is not one of [False]"


def test_costs_equal_fvcore_the_tables_and_the_network() -> None:
    analysis = pytest.importorskip("fvcore.nn").FlopCountAnalysis
    for arch in [*heads()[::3], OPEN.largest()]:
        net = Subnet(arch).eval()
        with torch.no_grad():
            counter = (
                analysis(net, images(32)).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            )
            assert counter.by_operator()["conv"] == count_macs(arch, input_shape=(32, 32))
        assert count_params(arch) == sum(parameter.numel() for parameter in net.parameters())
    for space in (OPEN, CLOSED):
        codes = space.sample_codes(np.random.default_rng(1), 40)
        archs = space.decode(codes)
        for convention in ("exact", "litepose"):
            expected = [count_macs(arch, 14, convention) for arch in archs]
            assert MacsTable(space, 14, convention).predict(codes).tolist() == expected
        assert ParamsTable(space).predict(codes).tolist() == [count_params(arch) for arch in archs]


@pytest.mark.parametrize("space", [OPEN, CLOSED], ids=["open", "closed"])
def test_extracts_bit_for_bit_sorts_and_fuses(space: SearchSpace, disturb: Disturb) -> None:
    net = Supernet(space).eval()
    disturb(net, 0)
    calibrate(net, space.largest(), [images(96, 2)])
    x = images(64, 1, 9)
    with torch.no_grad():
        before = net(x, space.largest())
        sort_channels(net)
        for want, have in zip(before, net(x, space.largest()), strict=True):
            assert (want - have).abs().max() <= 1e-5 * want.abs().max()
        for arch in space.decode(space.sample_codes(np.random.default_rng(2), 6)):
            calibrate(net, arch, [images(64, 2)])
            sub = extract(net, arch)
            for want, have, close in zip(net(x, arch), sub(x), fuse(sub)(x), strict=True):
                assert torch.equal(want, have)
                assert (want - close).abs().max() <= 1e-5 * want.abs().max()


def test_closed_heads_hold_no_weights_of_raw_maps() -> None:
    names = set(Supernet(CLOSED).state_dict())
    assert "head.1.refined.conv.weight" in names
    assert not any(".raw." in name or "output_raw" in name for name in names)


def test_exports(tmp_path: Path, disturb: Disturb) -> None:
    runtime = pytest.importorskip("onnxruntime")
    arch = dataclasses.replace(TINY.smallest(), fusion=(True, False, False), raw_outputs=(False, True))
    net = Subnet(arch).eval()
    disturb(net, 0)
    path = tmp_path / "model.onnx"
    manifest = Manifest("switched", arch.resolution, Skeleton.load("crowdpose"), arch=arch.to_dict())
    export_onnx(fuse(net), path, manifest)
    x = images(96)
    found = runtime.InferenceSession(str(path)).run(None, {"images": x.numpy()})
    with torch.no_grad():
        for want, have in zip(net(x), found, strict=True):
            np.testing.assert_allclose(have, want.numpy(), atol=1e-4 * float(want.abs().max()))

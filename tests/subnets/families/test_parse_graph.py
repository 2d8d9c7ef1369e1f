"""The network of several RMPG modules: shapes, costs by hand, what the nodes of a module learn from parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from subnets.export.formats import largest_difference, normal_inputs
from subnets.export.onnx_graph import export_onnx
from subnets.families.topdown import ParseGraphArch, SimpleBaselineArch
from subnets.folder import load, save
from subnets.network import build, fuse
from subnets.portable.manifest import Manifest
from subnets.runtime import open_runtime, torch_runtime
from subnets.topdown.crops import crop_targets
from supernet import InputError
from supernet.cost import count_macs, count_params
from supernet.family import arch_from_dict
from supernet.heads.contract import head_of
from supernet.heads.losses import PoseLoss
from supernet.heads.single import BODY, BODY_PARTS, HEATMAPS
from supernet.layers.parse_graph import ParseGraph
from supernet.pose import Skeleton
from supernet.training.options import LossOptions

TREE = ParseGraph((2, 2), 3)
BASE: dict[str, Any] = {
    "input_shape": (64, 32),
    "stem": 4,
    "widths": (8, 8),
    "depths": (1, 1),
    "deconvs": (8,),
}
ARCH = ParseGraphArch(**BASE, refinement=TREE, modules=3, supervised=(1,))


@pytest.mark.parametrize("name", ["crowdpose", "coco"])
def test_parts_are_those_of_the_joints_names(name: str) -> None:
    joints = Skeleton.load(name).joints
    found = dict(zip(BODY, BODY_PARTS.joints(len(joints)), strict=True))
    assert sorted(found["upper"] + found["lower"]) == list(range(len(joints)))
    assert {joints[j].split("_")[-1] for j in found["lower"]} == {"hip", "knee", "ankle"}
    limbs = {"arm": ["shoulder", "elbow", "wrist"], "leg": ["hip", "knee", "ankle"]}
    for side in ("left", "right"):
        for limb, each in limbs.items():
            wanted = [f"{side}_{joint}" for joint in each]
            assert [joints[j] for j in found[f"{side}_{limb}"]] == wanted
            # The node of a limb is a child of that of its half.
            assert BODY[f"{side}_{limb}"][0] == BODY["upper" if limb == "arm" else "lower"]


@pytest.mark.parametrize("supervised", [(), (1,), (0, 2)])
def test_shapes_files_and_graphs(supervised: tuple[int, ...], tmp_path: Path) -> None:
    arch = replace(ARCH, supervised=supervised)
    assert arch_from_dict(arch.to_dict()) == arch
    assert head_of(arch) is (BODY_PARTS if supervised else HEATMAPS)
    net = build(arch).eval()
    net.skeleton = Skeleton.load("crowdpose")
    parts = [(1, n, 16, 24) for n in (8, 6, 3, 3, 3, 3)] if supervised else []
    assert [tuple(output.shape) for output in net(torch.zeros(1, 3, 64, 96))] == [(1, 14, 16, 24), *parts]
    save(net, tmp_path / "net", {})
    assert load(tmp_path / "net").arch == arch
    manifest = Manifest("small", 32, net.skeleton, arch=arch.to_dict(), head_kind=arch.head_kind)
    export_onnx(fuse(net), tmp_path / "a.onnx", manifest)
    run = open_runtime(tmp_path / "a.onnx", "onnxruntime", threads=1)
    assert largest_difference(run, torch_runtime(net), normal_inputs([(1, 3, 64, 32)])) < 1e-4


def test_costs_by_hand() -> None:
    """A module's convolutions, as `tests/supernet/test_refinement.py` counts them, and 1x1 ones for parts."""
    module = 2 * 4 * 9 + 4 * 2 * 9 + 2 * 4 * 4 + 4 * 2 * 2 + 2 * 4 * 8 + 4 * 2 * 4
    norms = 2 * (2 * 4 + 4 * 2) * 2 + 2 * (8 + 2 * 4)
    parts = 4 * (8 + 6) + 2 * (3 + 3 + 3 + 3)
    plain, pixels = SimpleBaselineArch(**BASE), 16 * 8
    for supervised in ((), (1,), (0, 2)):
        arch = replace(ARCH, supervised=supervised)
        own = 3 * module + len(supervised) * parts
        assert count_macs(arch, 14) - count_macs(plain, 14) == pixels * own
        assert count_params(arch, 14) - count_params(plain, 14) == own + 3 * norms


def learned(arch: ParseGraphArch, **weights: float) -> tuple[set[str], dict[str, float]]:
    """The layers that have a gradient, and the terms of the loss, with these weights of heatmaps."""
    net = build(arch)
    joints = np.zeros((2, 14, 3), np.float32)
    joints[:, :, 0], joints[:, :, 1] = 2.0 * np.arange(14), 4.0 * np.arange(14)
    joints[0, :10, 2] = joints[1, 3:, 2] = 1
    crops = [np.full((64, 32, 3), value, np.uint8) for value in (50, 200)]
    targets = crop_targets(head_of(arch), crops, joints)
    images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    options = LossOptions(heat=(weights.get("whole", 0.0), weights.get("parts", 0.0)))
    total, terms = PoseLoss(head_of(arch), options)(net(images), targets)
    total.backward()  # type: ignore[no-untyped-call]
    known = net.named_parameters()
    found = {name for name, value in known if value.grad is not None and value.grad.abs().max() > 0}
    layers = {name.removesuffix(".weight").removesuffix(".bias") for name in found}
    layers = {name.removesuffix(".conv").removesuffix(".norm") for name in layers}
    return layers, {name: float(term) for name, term in terms.items()}


def test_parts_teach_what_lies_before_their_nodes_and_nothing_else() -> None:
    every, terms = learned(ARCH, whole=1.0, parts=1.0)
    assert set(terms) == {"heat_heatmaps", *(f"heat_{part}" for part in BODY)}
    parts = {f"parts.1.{part}" for part in BODY}
    whole, _ = learned(ARCH, whole=1.0)
    assert whole == every - parts
    taught, _ = learned(ARCH, parts=1.0)
    # The root of the supervised module is put together after its nodes; the third module comes later still.
    after = {f"refinement.1.{i}.compose" for i in range(2)} | {"refinement.1.composed", "output"}
    after |= {name for name in every if name.startswith("refinement.2")}
    assert taught == every - after
    first = {name for name in every if name.startswith("refinement.0")}
    assert len(first) == len([name for name in every if name.startswith("refinement.1")])
    assert first <= taught


def test_a_part_counts_its_own_labelled_joints_alone() -> None:
    head, maps = BODY_PARTS, torch.zeros(1, 14, 4, 4)
    joints = np.zeros((1, 14, 3), np.float32)
    joints[0, [0, 6, 12]] = 8, 8, 1
    targets = crop_targets(head, [np.zeros((16, 16, 3), np.uint8)], joints)
    found = head.terms(
        [maps, *(maps[:, js] for js in head.joints(14))], targets, LossOptions(heat=(2.0, 0.5))
    )
    error = float(targets.heats[0][0, 0].square().mean())
    wanted = {"heatmaps": error, "upper": error, "lower": error, "left_arm": error, "left_leg": error}
    for name, (weight, term) in found.items():
        part = name.removeprefix("heat_")
        assert weight == (2.0 if part == "heatmaps" else 0.5)
        assert float(term) == pytest.approx(wanted.get(part, 0.0))
    assert error > 0


def test_the_person_is_that_of_the_first_output() -> None:
    skeleton, rng = Skeleton.load("crowdpose"), np.random.default_rng(0)
    passes = [[rng.random((2, n, 16, 8), np.float32) for n in (14, 8, 6, 3, 3, 3, 3)] for _ in range(2)]
    wanted = HEATMAPS.person([outputs[:1] for outputs in passes], skeleton)
    assert np.array_equal(BODY_PARTS.person(passes, skeleton), wanted)


def test_modules_that_say_the_same_are_added_up() -> None:
    both, images = build(replace(ARCH, supervised=(0, 2))).eval(), torch.randn(1, 3, 64, 32)
    with torch.no_grad():
        whole = both(images)[1:]
        shares = []
        for module in (0, 2):
            one = build(replace(ARCH, supervised=(module,))).eval()
            known = both.state_dict()
            one.load_state_dict({name: known[name] for name in one.state_dict()})
            shares.append(one(images)[1:])
    for ours, first, second in zip(whole, *shares, strict=True):
        torch.testing.assert_close(ours, first + second)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"refinement": None}, "settings refinement: a network of family parse-graph needs one of kind rmpg"),
        ({"supervised": [3]}, r"settings supervised: \[3\] are not different numbers from 0 to 2"),
        ({"supervised": [1, 0]}, r"settings supervised: \[1, 0\] are not different numbers"),
        ({"modules": 0, "supervised": []}, "settings modules: 0 must be 1 or more"),
        (
            {"refinement": {"kind": "rmpg", "branching": [4]}},
            r"settings supervised: .* has branching \[4\]; begin it with 2, 2, or supervise no module",
        ),
    ],
)
def test_what_cannot_be_is_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        arch_from_dict({**ARCH.to_dict(), **changed})


def test_other_joints_have_no_known_parts() -> None:
    told = "body_parts knows the bodies of CrowdPose and COCO, of 14 or 17 joints, not of 9"
    with pytest.raises(InputError, match=told):
        build(ARCH, 9)
    assert len(build(replace(ARCH, supervised=()), 9)(torch.zeros(2, 3, 64, 32))) == 1

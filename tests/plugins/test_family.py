"""A family of a plugin: described, costed, trained, sorted, taken out, folded, kept like one that ships."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import toy  # noqa: E402

from search.costs.parts import network_parts  # noqa: E402
from subnets import build, extract, load, save  # noqa: E402
from subnets.families.static import ModuleFamily, StaticNetwork  # noqa: E402
from subnets.network import fuse  # noqa: E402
from supernet import InputError, SearchSpace, Supernet  # noqa: E402
from supernet.cost import MacsTable, ParamsTable, count_macs, count_params  # noqa: E402
from supernet.evaluation import calibrate  # noqa: E402
from supernet.family import FAMILIES, arch_from_dict, layers, load_arch  # noqa: E402
from supernet.sorting import sort_channels  # noqa: E402

Command = Callable[..., Any]
PLAIN = {
    "family": "toy",
    "name": "toys",
    "resolution": [64, 96],
    "widths": [[4, 8], [8, 16]],
    "depth": [1, 3],
}
JOINTS = 5


@pytest.fixture
def space() -> SearchSpace:
    return SearchSpace.from_dict(PLAIN)


def hand_counted(arch: toy.ToyArch, joints: int) -> tuple[int, int]:
    """MACs and parameters by a formula of their own."""
    fine, coarse = arch.widths
    half, quarter = (arch.resolution // 2) ** 2, (arch.resolution // 4) ** 2
    weights = [(27 * fine, half), (9 * fine * coarse, quarter)]
    weights += [(9 * coarse**2, quarter)] * arch.depth
    weights += [(2 * joints * coarse, quarter), (joints * fine, half)]
    norms = 2 * (fine + coarse + arch.depth * coarse)
    return sum(count * positions for count, positions in weights), sum(count for count, _ in weights) + norms


def test_what_is_timed_alone_follows_from_the_wiring() -> None:
    found = network_parts(toy.ToyArch(64, (4, 8), 2), JOINTS)
    fine, coarse, first, second, quarter, half = found
    assert first == second
    assert [part.is_residual for part in found] == [False, False, True, True, False, False]
    assert [part.inputs for part in found[:3]] == [((3, 64),), ((4, 32),), ((8, 16),)]
    assert [part.biased for part in (fine, coarse, quarter, half)] == [(True,), (True,), (False,), (False,)]
    assert first.run(lambda layer, x: 10 * x, lambda x, y: x + y, [1]) == [11]


def test_the_space_follows_from_the_fields(space: SearchSpace) -> None:
    assert [gene.name for gene in space.genes] == ["resolution", "widths.0", "widths.1", "depth"]
    assert space.size() == 16
    assert SearchSpace.from_dict(space.to_dict()) == space
    assert space.largest() == toy.ToyArch(96, (8, 16), 3)
    codes = space.sample_codes(np.random.default_rng(0), 30)
    assert (space.encode(space.decode(codes)) == codes).all()
    stranger = dataclasses.replace(space.largest(), depth=2)
    assert space.mismatch(stranger) == "depth 2 is not one of [1, 3]"
    with pytest.raises(InputError, match="resolution: 72 is not a multiple of 16"):
        SearchSpace.from_dict({**PLAIN, "resolution": [64, 72]})
    for key, value, said in (
        ("depth", 3, "depth: expected a list of choices, found 3"),
        ("stem", [4], "unknown key 'stem'"),
        ("widths", [[4, 4], [8]], "widths 1: a choice is listed twice"),
    ):
        with pytest.raises(InputError, match=said):
            SearchSpace.from_dict({**PLAIN, key: value})
    with pytest.raises(InputError, match="not in space 'tiny': family toy is not litepose"):
        SearchSpace.load("tiny").require(space.largest())


def test_costs_are_those_counted_by_hand(space: SearchSpace) -> None:
    codes = space.sample_codes(np.random.default_rng(1), 40)
    archs = space.decode(codes)
    expected = [hand_counted(arch, JOINTS) for arch in archs]
    assert [(count_macs(arch, JOINTS), count_params(arch, JOINTS)) for arch in archs] == expected
    tables = MacsTable(space, JOINTS).predict(codes), ParamsTable(space, JOINTS).predict(codes)
    assert list(zip(*(table.tolist() for table in tables), strict=True)) == expected


def test_descriptions_and_networks_are_kept(space: SearchSpace, tmp_path: Path) -> None:
    arch = space.smallest()
    assert arch_from_dict(arch.to_dict()) == arch
    arch.save(tmp_path / "a.yaml", about={"source": "a test"})
    assert load_arch(tmp_path / "a.yaml") == arch
    images = torch.randn(2, 3, 64, 64)
    net = build(arch, JOINTS).eval()
    save(net, tmp_path / "net")
    again = load(tmp_path / "net")
    folded = fuse(net)
    with torch.no_grad():
        for found, same, near in zip(net(images), again(images), folded(images), strict=True):
            assert torch.equal(found, same)
            torch.testing.assert_close(near, found)


@pytest.mark.parametrize("missing", ["heads", "network", "settings"])
def test_a_module_family_that_lacks_something_is_refused(missing: str) -> None:
    network = type("Net", (StaticNetwork,), {} if missing == "settings" else {"settings": toy.ToyArch})
    whole = {"name": "whole", "heads": ("embedding",), "network": network}
    family = type("Lacking", (ModuleFamily,), {key: value for key, value in whole.items() if key != missing})
    with pytest.raises(InputError, match=f"family 'lacking': {missing} is missing"):
        FAMILIES.register("lacking", family())
    assert "lacking" not in FAMILIES


@pytest.mark.parametrize("refinement", [None, {"kind": "smooth", "kernel": 5}, {"kind": "rmpg"}])
def test_subnets_are_taken_out_bit_for_bit_and_sorting_changes_nothing(refinement: Any) -> None:
    space = SearchSpace.from_dict(PLAIN | {"refinement": refinement})
    assert SearchSpace.from_dict(space.to_dict()) == space
    assert arch_from_dict(space.smallest().to_dict()) == space.smallest()
    assert space.decode(space.encode([space.largest()])) == [space.largest()]
    added = 0 if refinement is None else len(space.largest().refinement.layers("refined", 16, 4))
    assert len(layers(space.largest(), JOINTS)) == 7 + added
    net = Supernet(space, JOINTS).eval()
    images = torch.randn(2, 3, 96, 96)
    for arch in (space.largest(), space.smallest()):
        calibrate(net, arch, [images])
        sub = extract(net, arch)
        with torch.no_grad():
            pairs = list(zip(net(images, arch), sub(images), strict=True))
        assert [tuple(a.shape) for a, _ in pairs] == [(2, 2 * JOINTS, 24, 24), (2, JOINTS, 48, 48)]
        assert all(torch.equal(a, b) for a, b in pairs)
    with torch.no_grad():
        before = net(images, space.largest())
        sort_channels(net)
        for a, b in zip(before, net(images, space.largest()), strict=True):
            torch.testing.assert_close(a, b)


def test_the_real_commands_train_it_and_give_its_subnets(command: Command, tmp_path: Path) -> None:
    import yaml

    (tmp_path / "toys.yaml").write_text(yaml.safe_dump(PLAIN))
    data = ["data.render.train=8", "data.render.val=4", "data.render.test=1", "data.render.size=64"]
    small = ["train.steps=2", "train.batch_size=2", "data.workers=0"]
    command("supernet.train", "name=t", "space=toys.yaml", "data=synthetic", *data, *small, cwd=tmp_path)
    out = ["name=e", "format=[onnx]"]
    command(
        "subnets.export",
        "arch=smallest",
        "supernet=runs/train/t",
        *out,
        "data=synthetic",
        *data,
        cwd=tmp_path,
    )
    folder = next((tmp_path / "runs/export/e").rglob("model.onnx")).parent
    assert load(folder).arch == toy.ToyArch(64, (4, 8), 1)
    done = command("subnets.costs", f"arch={folder}", cwd=tmp_path)
    macs, params = hand_counted(toy.ToyArch(64, (4, 8), 1), 14)
    assert f"{macs / 1e6:,.2f}" in done.stdout
    assert f"{params / 1e6:,.2f}" in done.stdout

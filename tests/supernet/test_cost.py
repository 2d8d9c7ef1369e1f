"""Costs: fvcore as the independent counter, tables against the closed form, shapes, conventions."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from search import MacsTable, ParamsTable, count_macs, count_params
from search.costs.contract import SCORED_MACS, CostSettings
from subnets import Subnet
from supernet import Arch, InputError, SearchSpace
from supernet.cost import Part, Passes, scored_macs, split_parts, tabulate
from supernet.describe import layer_costs, layer_table, space_table, zoo_table
from supernet.options import EvaluationOptions
from supernet.pose.preprocess import padded_shape
from supernet.space import Codes


def fvcore_conv_macs(arch: Arch, num_joints: int, side: int) -> int:
    analysis = pytest.importorskip("fvcore.nn").FlopCountAnalysis
    net = Subnet(arch, num_joints).eval()
    with torch.no_grad():
        images = torch.zeros(1, 3, side, side)
        counter = analysis(net, images).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return int(counter.by_operator()["conv"])


@pytest.mark.parametrize("name", ["litepose", "litepose_expand"])
def test_counts_equal_fvcore_and_the_table(name: str) -> None:
    space = SearchSpace.load(name)
    codes = space.sample_codes(np.random.default_rng(7), 10)
    archs = space.decode(codes)
    closed = [count_macs(arch) for arch in archs]
    # Every map is a whole multiple of the one at 32 pixels; experiments/core counts at the full resolution.
    assert closed == [fvcore_conv_macs(arch, 14, 32) * (arch.resolution // 32) ** 2 for arch in archs]
    assert closed == MacsTable(space).predict(codes).tolist()


@pytest.mark.parametrize("name", ["tiny", "litepose", "litepose_expand"])
@pytest.mark.parametrize("num_joints", [14, 17])
def test_tables_equal_the_closed_form(name: str, num_joints: int) -> None:
    space = SearchSpace.load(name)
    codes = space.sample_codes(np.random.default_rng(1), 60)
    archs = [*space.decode(codes), space.smallest(), space.largest()]
    codes = np.concatenate([codes, space.encode(archs[-2:])])
    for convention in ("exact", "litepose"):
        expected = [count_macs(arch, num_joints, convention) for arch in archs]
        assert MacsTable(space, num_joints, convention).predict(codes).tolist() == expected
    assert ParamsTable(space, num_joints).predict(codes).tolist() == [
        count_params(arch, num_joints) for arch in archs
    ]


def test_table_ignores_genes_of_absent_blocks() -> None:
    space = SearchSpace.load("litepose_expand")
    raw = np.random.default_rng(2).integers(0, space.num_choices, size=(100, len(space.genes)))
    table = MacsTable(space)
    np.testing.assert_array_equal(table.predict(raw), table.predict(space.canonical(raw)))


def test_table_takes_many_rows_and_none() -> None:
    space = SearchSpace.load("tiny")
    table = MacsTable(space)
    codes = space.sample_codes(np.random.default_rng(0), 5001)
    whole = table.predict(codes)
    assert whole.dtype == np.int64
    np.testing.assert_array_equal(whole[4990:], table.predict(codes[4990:]))
    assert table.predict(codes[:0]).shape == (0,)
    for wrong in (codes[:, 1:], codes + 9, -codes - 1):
        with pytest.raises(InputError, match="codes"):
            table.predict(wrong)


def test_parameters_are_those_of_the_network() -> None:
    for name in ("tiny", "litepose_expand"):
        arch = SearchSpace.load(name).sample(np.random.default_rng(5))
        with torch.device("meta"):
            net = Subnet(arch, 17)
        assert count_params(arch, 17) == sum(parameter.numel() for parameter in net.parameters())


def test_cost_at_a_real_input_shape() -> None:
    arch = Arch.load("litepose-s")
    square = count_macs(arch)
    assert count_macs(arch, input_shape=(448, 448)) == square
    # Every map grows with the image.
    assert count_macs(arch, input_shape=(448, 896)) == 2 * square
    assert count_macs(arch, input_shape=(448, 640)) == count_macs(arch, input_shape=(640, 448))
    assert padded_shape(448, 480, 640) == (448, 640)
    assert count_macs(arch, input_shape=padded_shape(448, 480, 640)) / square == pytest.approx(640 / 448)
    for wrong in ((450, 448), (0, 448), (-64, 64)):
        with pytest.raises(InputError, match="multiples of 16"):
            count_macs(arch, input_shape=wrong)


def test_the_macs_of_a_test_are_those_of_all_its_passes() -> None:
    xs = Arch.load("litepose-xs")
    paper = {name: scored_macs(Arch.load(f"litepose-{name}")) / 1e9 for name in ("xs", "s", "m", "l")}
    assert paper == pytest.approx({"xs": 2.649, "s": 10.326, "m": 15.039, "l": 27.395}, abs=5e-4)
    square = Passes.of(EvaluationOptions(square=True, scales=(1.0, 2.0)), [(10, 20)])
    assert scored_macs(xs, square) == 5 * count_macs(xs)
    # Three quarters of the images are square, the others three times as high as wide.
    mixed = Passes.of(EvaluationOptions(flip=True), [(64, 64), (300, 100), (80, 80), (90, 90)])
    assert mixed.shapes(256) == {(256, 256): 1.5, (768, 256): 0.5}
    assert scored_macs(xs, mixed, convention="litepose") == 3 * count_macs(xs, convention="litepose")
    assert (square.told(), mixed.told()) == ("no flip, scales 1, 2, square", "flip, shapes of the data")
    space = SearchSpace.load("nano")
    codes = space.sample_codes(np.random.default_rng(3), 20)
    table = SCORED_MACS.table(space, CostSettings(passes=mixed))
    assert table.predict(codes).tolist() == [scored_macs(arch, mixed) for arch in space.decode(codes)]


def test_padded_shapes() -> None:
    assert padded_shape(512, 480, 640) == (512, 704)
    assert padded_shape(512, 640, 480) == (704, 512)
    assert padded_shape(256, 100, 100) == (256, 256)
    for resolution, height, width in itertools.product((256, 448), (333, 480), (480, 1000)):
        short, long = sorted(padded_shape(resolution, height, width))
        wanted = resolution * max(height, width) / min(height, width)
        assert short == resolution
        assert long % 64 == 0
        assert wanted <= long + 1e-9 < wanted + 64 + 1e-9


def test_the_paper_s_convention_by_hand() -> None:
    """Counted from the definition on a running network: outputs of every convolution, norm and activation."""
    arch = SearchSpace.load("tiny").smallest()
    net = Subnet(arch, 14).eval()
    total = 0

    def count(module: torch.nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, torch.nn.BatchNorm2d):
            total += 2 * output.numel()
        elif isinstance(module, torch.nn.ConvTranspose2d):
            total += output.numel() * module.in_channels * 16
        elif isinstance(module, torch.nn.Conv2d):
            total += output.numel() * module.weight[0].numel()
        elif getattr(module, "activation", None) is not None:
            total += output.numel()

    for module in net.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        net(torch.zeros(1, 3, arch.resolution, arch.resolution))
    assert count_macs(arch, 14, "litepose") == total


def test_wrong_arguments() -> None:
    arch = Arch.load("litepose-xs")
    with pytest.raises(InputError, match="choose one of exact, litepose"):
        count_macs(arch, convention="flops")
    with pytest.raises(InputError, match="num_joints"):
        count_macs(arch, num_joints=0)
    with pytest.raises(InputError, match="num_joints"):
        MacsTable(SearchSpace.load("tiny"), num_joints=0)


def test_layer_costs_add_up() -> None:
    arch = Arch.load("litepose-m")
    costs = layer_costs(arch, 17, (448, 640))
    assert sum(cost.macs for cost in costs) == count_macs(arch, 17, input_shape=(448, 640))
    assert sum(cost.macs_litepose for cost in costs) == count_macs(arch, 17, "litepose", (448, 640))
    assert sum(cost.params for cost in costs) == count_params(arch, 17)
    assert costs[0].shape == (32, 224, 320)


def rendered(table: Any) -> str:
    from rich.console import Console

    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_tables_show_the_figures() -> None:
    text = rendered(layer_table(Arch.load("litepose-xs")))
    assert "882.89" in text
    assert "1,202.27" in text
    assert "1,675,552" in text
    assert "stages.3.9.project" in text
    space = SearchSpace.load("litepose")
    text = rendered(space_table(space))
    for arch in (space.smallest(), space.middle(), space.largest()):
        assert f"{count_params(arch):,}" in text
    assert "10,895.43 M" in text
    text = rendered(zoo_table(17))
    assert "1,675,912" in text
    assert "61.9" in text
    assert "2.66 G" in text


def test_the_ends_of_a_space_of_several_heads_have_the_cheapest_and_the_dearest() -> None:
    kinds = ["embedding", "ae_resize", "onestage"]
    space = SearchSpace.from_dict(SearchSpace.load("tiny").to_dict() | {"head_kind": kinds})
    text = rendered(space_table(space))
    for end, pick in ((space.smallest(), min), (space.largest(), max)):
        assert f"{pick(count_macs(replace(end, head_kind=kind)) for kind in kinds) / 1e6:,.2f} M" in text


def test_an_architecture_tells_many_parts_of_a_table_at_once() -> None:
    space = SearchSpace.load("litepose")
    seen: list[bytes] = []

    def at(code: Codes) -> dict[str, Part]:
        seen.append(code.tobytes())
        return split_parts(space.decode(code[None])[0], 14)

    tables = tabulate(space, at, ())
    assert len(set(seen)) == len(seen)
    ends = space.encode([space.largest(), space.smallest()])
    alone = {code.tobytes() for end in ends for _, code in space.neighbours(end)}
    assert len(set(seen) - alone) < sum(len(values) for _, values in tables.values()) / 10


def test_costs_do_not_load_what_finds_people() -> None:
    code = (
        "import sys; from supernet import SearchSpace; from supernet.cost import MacsTable;"
        "MacsTable(SearchSpace.load('tiny')); print({'cv2', 'scipy', 'torch'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["set()"]

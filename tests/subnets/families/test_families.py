"""Every comparison network that ships: published size, an independent counter, outputs, ONNX, folders."""

from __future__ import annotations

import json

import pytest
import torch
from small_families import SMALL

from subnets.export.formats import largest_difference, normal_inputs
from subnets.export.onnx_graph import export_onnx
from subnets.families.static import StaticArch, module_cost
from subnets.folder import load, save
from subnets.network import Subnet, build, empty_network, fused_network
from subnets.portable.manifest import Manifest
from subnets.runtime import open_runtime, torch_runtime
from subnets.source import open_source
from supernet import Arch, InputError
from supernet.cost import count_macs, count_params, network_cost
from supernet.evaluation import calibrate_by
from supernet.family import layers, load_arch
from supernet.pose import Skeleton
from supernet.registry import conf_names

# joints, parameters in M, exact MACs in G, as published or measured on the reference implementations.
PUBLISHED = {
    "higherhrnet-w32": (14, 28.642, 46.144),
    "higherhrnet-w48": (14, 63.822, 149.329),
    "efficienthrnet-h1": (14, 13.002, 13.087),
    "efficienthrnet-h2": (17, 8.263, 7.030),
    "efficienthrnet-h3": (14, 5.359, 3.738),
    "efficienthrnet-h4": (17, 2.765, 1.807),
}
# The papers round to a decimal; docs/baselines.md says what they probably leave out.
ROUNDED = {"lpn-50": (17, 2.9, 1.0), "lpn-101": (17, 5.3, 1.4), "lightweight-openpose": (17, 4.1, 9.0)}
SIDES = {"embedding": [(28, 4), (14, 2)], "heatmaps": [(14, 4)], "fields": [(4, 8), (6, 8)]}
SIDES["body_parts"] = [(joints, 4) for joints in (14, 8, 6, 3, 3, 3, 3)]


def small(family: str) -> StaticArch:
    return StaticArch(family, (96, 64), SMALL[family])


@pytest.fixture(params=SMALL)
def net(request):
    """A small network of each family, its norms calibrated."""
    made = build(small(request.param), num_joints=14, seed=1)
    generator = torch.Generator().manual_seed(1)
    calibrate_by(made, made, [torch.randn(4, 3, 64, 96, generator=generator) for _ in range(2)])
    return made.eval()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name):
    joints, params, macs = PUBLISHED[name]
    arch = load_arch(name)
    assert count_params(arch, joints) / 1e6 == pytest.approx(params, rel=5e-4)
    assert count_macs(arch, joints) / 1e9 == pytest.approx(macs, rel=5e-4)


@pytest.mark.parametrize("name", ROUNDED)
def test_sizes_that_papers_round(name):
    joints, params, macs = ROUNDED[name]
    arch = load_arch(name)
    assert count_params(arch, joints) / 1e6 == pytest.approx(params, rel=0.011)
    assert count_macs(arch, joints) / 1e9 == pytest.approx(macs, rel=0.075)


def test_the_count_that_the_litepose_paper_gives_for_its_w24():
    costs = [count_macs(load_arch(name), 14, "litepose") / 1e9 for name in ("higherhrnet-w24", "litepose-s")]
    assert costs == pytest.approx([25.251, 4.981], abs=5e-4)
    assert [round(cost, 1) for cost in costs] == [25.3, 5.0]


@pytest.mark.parametrize("name", conf_names("baselines"))
def test_an_independent_counter_agrees_and_outputs_fit(name):
    analysis = pytest.importorskip("fvcore.nn").FlopCountAnalysis
    arch = load_arch(name)
    with torch.device("meta"):
        net = empty_network(arch, 14).eval()
    # Whatever values: only sizes count.
    net, images = net.to_empty(device="cpu"), torch.zeros(1, 3, 64, 96)
    counter = analysis(net, images).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    cost = network_cost(arch, 14, (64, 96))
    assert counter.by_operator()["conv"] == cost.exact
    assert sum(p.numel() for p in net.parameters()) == cost.params
    found = [tuple(output.shape) for output in net(images)]
    if net.arch.head_kind == "fields":
        assert found == [(1, 19, 8, 12), (1, 38, 8, 12)]
    else:
        assert found == [(1, c, 64 // s, 96 // s) for c, s in SIDES[net.arch.head_kind]]


def test_both_countings_agree_with_the_closed_forms_on_a_litepose_network():
    arch = Arch.load("litepose-xs")
    with torch.device("meta"):
        cost = module_cost(Subnet(arch, 14), (64, 96))
    assert cost.params == count_params(arch, 14)
    assert cost.exact == count_macs(arch, 14, "exact", (64, 96))
    # Activations of a LitePose network are no modules of their own.
    activations = sum(
        layer.out_channels * (64 // layer.scale) * (96 // layer.scale)
        for layer in layers(arch, 14)
        if layer.activation is not None
    )
    assert cost.litepose + activations == count_macs(arch, 14, "litepose", (64, 96))


def test_onnx_computes_the_same_at_every_shape(net, tmp_path):
    kind = net.arch.head_kind
    manifest = Manifest("small", 64, Skeleton.load("crowdpose"), arch=net.arch.to_dict(), head_kind=kind)
    export_onnx(fused_network(net), tmp_path / "a.onnx", manifest)
    run = open_runtime(tmp_path / "a.onnx", "onnxruntime", threads=1)
    inputs = normal_inputs([(1, 3, 96, 64), (2, 3, 64, 128)])
    assert largest_difference(run, torch_runtime(net), inputs) < 2e-4
    assert run.manifest.head_kind == kind
    if kind != "embedding":
        with pytest.raises(InputError, match=f"small gives {kind}, from which no people can be grouped"):
            run.manifest.require_people()


@pytest.mark.parametrize("fused", [False, True])
def test_folders_keep_everything(net, fused, tmp_path):
    kept = fused_network(net) if fused else net
    save(kept, tmp_path / "net", {"name": "small"})
    again = load(tmp_path / "net")
    assert type(again) is type(net)
    assert (again.arch, again.fused, again.about["name"]) == (net.arch, fused, "small")
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in kept.state_dict().items())
    assert json.loads((tmp_path / "net/meta.json").read_text())["num_joints"] == 14


def test_deep_random_networks_do_not_magnify_rounding():
    net = open_source("lpn-50").require_net()
    images = torch.randn(1, 3, 128, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        single, double = net(images)[0], net.double()(images.double())[0]
    assert (single - double).abs().max() < 1e-4 * double.abs().max()


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("lpn", {"depths": [1, 1, 1]}, "settings depths: expected 4 numbers, found 3"),
        ("lpn", {"widths": [8, 8]}, "settings widths: expected 4 numbers, found 2"),
        ("lpn", {"depths": [1, 1, 0, 1]}, r"settings depths: \(1, 1, 0, 1\) must be 1 or more"),
        ("lpn", {"deconvs": [16]}, "settings deconvs: expected 2 numbers, found 1"),
        ("efficienthrnet", {"modules": [1, 1]}, "settings modules: expected 3 numbers, found 2"),
        ("efficienthrnet", {"modules": [1, 1, 0]}, r"settings modules: \(1, 1, 0\) must be 1 or more"),
        ("efficienthrnet", {"depth": 0.0}, r"settings depth: 0\.0 must be above 0"),
        ("higherhrnet", {"head": 0}, "settings head: 0 must be 1 or more"),
        ("higherhrnet", {"stem": 0}, "settings stem: 0 must be 1 or more"),
        ("lightweight-openpose", {"channels": 0}, "settings channels: 0 must be 1 or more"),
        ("lightweight-openpose", {"heatmaps": 0}, "settings heatmaps: 0 must be 1 or more"),
    ],
)
def test_numbers_that_make_no_network_are_named(family, changes, message):
    arch = StaticArch(family, (96, 64), {**SMALL[family], **changes})
    with pytest.raises(InputError, match=message):
        count_macs(arch)
    with pytest.raises(InputError, match=message):
        build(arch, 14)


@pytest.mark.parametrize(("branches", "step"), [(1, 16), (2, 16), (3, 16), (4, 32)])
def test_inputs_of_a_higherhrnet_follow_its_branches(branches, step):
    stages = range(2, branches + 1)
    settings = {
        **SMALL["higherhrnet"],
        "widths": [4] * branches,
        "blocks": [[0] * count for count in stages],
        "modules": [1] * len(stages),
    }
    arch = StaticArch("higherhrnet", (step, 3 * step), settings)
    assert count_macs(arch, 14) > 0
    outputs = build(arch, 14).eval()(torch.zeros(1, 3, step, 3 * step))
    assert [tuple(x.shape[2:]) for x in outputs] == [(step // s, 3 * step // s) for s in (4, 2)]
    with pytest.raises(InputError, match=f"must be two multiples of {step}"):
        count_macs(arch, 14, input_shape=(step, step + 8))


def test_a_higherhrnet_of_six_branches_is_refused():
    stages = range(2, 7)
    changes = {"widths": [4] * 6, "blocks": [[0] * n for n in stages], "modules": [1] * 5}
    arch = StaticArch("higherhrnet", (64, 64), {**SMALL["higherhrnet"], **changes})
    with pytest.raises(InputError, match="6 branches, of which there can be 4"):
        count_macs(arch)


def test_unknown_names_list_what_there_is():
    with pytest.raises(InputError, match=r"neither a file nor a name that ships \(.*litepose-xs.*lpn-50"):
        load_arch("higherhrnet-w99")

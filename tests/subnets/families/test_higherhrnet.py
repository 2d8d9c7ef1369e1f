"""HigherHRNet: its published size, its outputs, its small relatives, and folded batch norms."""

from __future__ import annotations

import pytest
import torch

from subnets.families.static import StaticArch
from subnets.network import build, fuse
from supernet import InputError

SMALL = {"widths": [4, 8, 12], "blocks": [[0, 1], [1, 0, 1]], "modules": [1, 2], "head": 6}
EXTRA = {"stem": 8, "bottlenecks": 1, "head_blocks": 1}


def small(**changes):
    return StaticArch("higherhrnet", (64, 96), {**SMALL, **EXTRA, **changes})


def test_outputs_are_those_of_a_litepose_network():
    net = build(small(), num_joints=5).eval()
    quarter, half = net(torch.zeros(2, 3, 64, 96))
    assert quarter.shape == (2, 10, 16, 24)
    assert half.shape == (2, 5, 32, 48)


def test_one_branch_has_no_exchange():
    net = build(small(widths=[4], blocks=[], modules=[]), num_joints=5).eval()
    assert not any("exchange" in name for name, _ in net.named_modules())
    assert [x.shape[1:] for x in net(torch.zeros(1, 3, 64, 64))] == [(10, 16, 16), (5, 32, 32)]


def test_weights_derive_from_the_seed():
    first, second, other = (build(small(), seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not torch.equal(first["stem.0.conv.weight"], other["stem.0.conv.weight"])


def test_folded_norms_compute_the_same(disturb):
    net = build(small(), seed=2).eval()
    disturb(net, 0)
    fused = fuse(net)
    assert not any("norm" in name for name in fused.state_dict())
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for found, wanted in zip(fused(images), net(images), strict=True):
            assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()
    with pytest.raises(InputError, match="fused already"):
        fuse(fused)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": [4, 8]}, "2 widths need 1 modules"),
        ({"blocks": [[1, 1]]}, "found 2 and"),
        ({"widths": [4, 0, 8]}, r"settings widths: \(4, 0, 8\) must be 1 or more"),
        ({"head": "wide"}, "settings head: expected integers"),
        ({"depth": 4}, "settings: unknown key 'depth'"),
    ],
)
def test_numbers_that_make_no_network(changes, message):
    with pytest.raises(InputError, match=message):
        build(small(**changes))


def test_a_description_survives_its_file(tmp_path):
    arch = small()
    arch.save(tmp_path / "arch.yaml")
    assert StaticArch.load(tmp_path / "arch.yaml") == arch
    assert hash(arch) == hash(StaticArch.from_dict(arch.to_dict()))
    (tmp_path / "other.yaml").write_text("family: unheard\ninput_shape: [64, 64]\nsettings: {}\n")
    with pytest.raises(InputError, match="family 'unheard' is not known; choose from"):
        build(StaticArch.load(tmp_path / "other.yaml"))

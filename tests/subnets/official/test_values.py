"""Values that a released checkpoint cannot hold are refused before a network takes them."""

from __future__ import annotations

import argparse

import pytest
import torch

from subnets import build
from subnets.official import export_weights, import_weights, read_official
from supernet import Arch, InputError

ARCH = Arch.load("litepose-xs")


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in export_weights(build(ARCH)).items()}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("first.0.1.weight", lambda t: t.double() + 1e300, "not finite"),
        ("first.0.1.running_var", lambda t: t - 2, "negative variance"),
        ("first.0.1.weight", lambda t: t.to(torch.float8_e4m3fn), "no plain tensor"),
    ],
)
def test_values_that_do_not_fit_are_named(weights, name, change, message) -> None:
    net = build(ARCH, seed=1)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(InputError, match=message) as caught:
        import_weights(net, weights | {name: change(weights[name])})
    assert name in str(caught.value)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_what_would_run_code_is_named_and_the_mend_is_safe(weights, tmp_path) -> None:
    path = tmp_path / "full.pth"
    torch.save({"state_dict": weights, "args": argparse.Namespace(x=1)}, path)
    with pytest.raises(InputError, match=r"they hold a argparse\.Namespace\); save the state dict alone"):
        read_official(path)

"""Compiled or not, a training step runs the same subnets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from supernet import Supernet
from supernet.training.job import make_forward
from supernet.training.options import PrecisionOptions


@pytest.fixture
def compiled(monkeypatch):
    """The functions given to torch.compile, which captures their graphs here but generates no code."""
    given = []
    real = torch.compile

    def capture(function, **options):
        given.append(function)
        return real(function, backend="eager", **options)

    monkeypatch.setattr(torch, "compile", capture)
    return given


def test_largest_and_smallest_are_compiled_and_all_compute_what_they_did(space, compiled):
    net = Supernet(space, seed=3).train()
    run = make_forward(net, PrecisionOptions(compile=True))
    assert len(compiled) == 2
    between = space.sample(np.random.default_rng(1))
    for resolution in space.resolution:
        images = torch.randn(2, 3, resolution, resolution)
        for arch in (space.largest(), space.smallest(), between):
            arch = replace(arch, resolution=resolution)
            for found, expected in zip(run(images, arch), net(images, arch), strict=True):
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_without_the_option_the_network_runs_as_it_is(space, compiled):
    net = Supernet(space)
    assert make_forward(net, PrecisionOptions()) is net
    assert not compiled

"""Elastic convolutions, deconvolutions and norms: the first channels of what is stored."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from supernet.family import Layer
from supernet.layers.elastic import ElasticBatchNorm2d, ElasticConv2d

CONV = Layer("x", "conv", 10, 6, 3, 2, True, None, 2)
DECONV = Layer("x", "deconv", 10, 6, 4, 2, False, None, 1)


def images(channels: int) -> torch.Tensor:
    return torch.randn(2, channels, 8, 12, generator=torch.Generator().manual_seed(0))


def test_convolution() -> None:
    elastic = ElasticConv2d(CONV)
    nn.init.normal_(elastic.weight)
    small = replace(CONV, in_channels=7, out_channels=4)
    plain = nn.Conv2d(7, 4, 3, 2, 1, bias=False)
    plain.weight.data.copy_(elastic.weight[:4, :7])
    assert torch.equal(elastic(images(7), small), plain(images(7)))


def test_deconvolution() -> None:
    elastic = ElasticConv2d(DECONV, transposed=True)
    nn.init.normal_(elastic.weight)
    small = replace(DECONV, in_channels=7, out_channels=4)
    plain = nn.ConvTranspose2d(7, 4, 4, 2, 1, bias=False)
    plain.weight.data.copy_(elastic.weight[:7, :4])
    output = elastic(images(7), small)
    assert output.shape == (2, 4, 16, 24)
    assert torch.equal(output, plain(images(7)))


def plain_norm(elastic: ElasticBatchNorm2d, channels: int) -> nn.BatchNorm2d:
    plain = nn.BatchNorm2d(channels)
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(plain, name).data.copy_(getattr(elastic, name)[:channels])
    return plain


def disturbed_norm() -> ElasticBatchNorm2d:
    elastic = ElasticBatchNorm2d(10)
    for tensor in elastic.state_dict().values():
        tensor.uniform_(0.5, 2)
    return elastic


def test_norm_in_evaluation_uses_running_statistics() -> None:
    elastic = disturbed_norm().eval()
    assert torch.equal(elastic(images(7)), plain_norm(elastic, 7).eval()(images(7)))


def test_norm_in_training_uses_the_batch_and_keeps_its_statistics() -> None:
    elastic = disturbed_norm().train()
    before = {name: tensor.clone() for name, tensor in elastic.state_dict().items()}
    assert torch.equal(elastic(images(7)), plain_norm(elastic, 7).train()(images(7)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in elastic.state_dict().items())


def test_norm_collects_when_told() -> None:
    elastic = disturbed_norm().train()
    before = elastic.running_mean.clone()
    elastic.momentum = 1.0
    elastic(images(7))
    torch.testing.assert_close(elastic.running_mean[:7], images(7).mean((0, 2, 3)))
    torch.testing.assert_close(elastic.running_var[:7], images(7).transpose(0, 1).flatten(1).var(1))
    assert torch.equal(elastic.running_mean[7:], before[7:])


def test_norm_of_one_value_in_training_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 1 value"):
        ElasticBatchNorm2d(4).train()(torch.zeros(1, 4, 1, 1))

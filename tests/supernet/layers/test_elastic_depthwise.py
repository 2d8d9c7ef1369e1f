"""Kernel transforms: chained, on the centre crop, the identity at the start."""

from __future__ import annotations

from dataclasses import replace

import torch

from supernet.family import Layer
from supernet.layers.elastic import ElasticDepthwiseConv2d

LARGEST = Layer("x", "depthwise", 12, 12, 7, 1, True, None, 1)


def elastic(seed: int = 0) -> ElasticDepthwiseConv2d:
    conv = ElasticDepthwiseConv2d(LARGEST, (3, 5, 7))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        conv.weight.normal_(generator=generator)
    return conv


def at(channels: int, kernel: int, stride: int = 1) -> Layer:
    return replace(LARGEST, in_channels=channels, out_channels=channels, kernel=kernel, stride=stride)


def test_transforms_start_as_the_identity() -> None:
    conv = elastic()
    for kernel, border in ((7, 0), (5, 1), (3, 2)):
        expected = conv.weight[:8, :, border : 7 - border, border : 7 - border]
        assert torch.equal(conv.active_weight(at(8, kernel)), expected)


def test_transforms_are_chained() -> None:
    conv = elastic()
    with torch.no_grad():
        for matrix in conv.transforms.values():
            matrix += 0.1 * torch.randn(matrix.shape, generator=torch.Generator().manual_seed(1))
    weight = conv.weight[:8].detach()
    five = torch.empty(8, 5, 5)
    three = torch.empty(8, 3, 3)
    for channel in range(8):
        five[channel] = (weight[channel, 0, 1:6, 1:6].reshape(25) @ conv.transforms["5"]).reshape(5, 5)
        three[channel] = (five[channel, 1:4, 1:4].reshape(9) @ conv.transforms["3"]).reshape(3, 3)
    assert torch.equal(conv.active_weight(at(8, 7))[:, 0], weight[:, 0])
    torch.testing.assert_close(conv.active_weight(at(8, 5))[:, 0], five)
    torch.testing.assert_close(conv.active_weight(at(8, 3))[:, 0], three)


def test_the_smallest_kernel_teaches_the_whole_chain() -> None:
    conv = elastic()
    conv.active_weight(at(12, 3)).square().sum().backward()
    assert conv.weight.grad is not None
    grads = [conv.transforms[str(kernel)].grad for kernel in (5, 3)]
    assert all(grad is not None and grad.abs().sum() > 0 for grad in grads)
    # Only the centre of the stored kernel is in use.
    assert not conv.weight.grad[:, :, 0].any()
    assert conv.weight.grad[:, :, 2:5, 2:5].any()


def test_equals_a_plain_convolution() -> None:
    conv = elastic()
    x = torch.randn(2, 8, 16, 12, generator=torch.Generator().manual_seed(2))
    for kernel in (3, 5, 7):
        for stride in (1, 2):
            layer = at(8, kernel, stride)
            plain = torch.nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=8, bias=False)
            plain.weight.data.copy_(conv.active_weight(layer))
            assert torch.equal(conv(x, layer), plain(x))


def test_one_kernel_has_no_transform() -> None:
    assert not ElasticDepthwiseConv2d(LARGEST, (7,)).transforms

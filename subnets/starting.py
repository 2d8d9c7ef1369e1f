"""The network that a training from scratch starts with."""

from __future__ import annotations

from .any_network import AnyNetwork
from .any_network import build_network
from .source import Opened


def fresh(opened: Opened, seed: int) -> AnyNetwork:
    """The network with random weights from `seed`, or with its own if it brings some.

    Raises:
        InputError: only an ONNX file was given.
    """
    net = opened.require_net()
    if not opened.trained:
        net = build_network(opened.arch, net.num_joints, seed)
        net.skeleton = opened.skeleton
    return net

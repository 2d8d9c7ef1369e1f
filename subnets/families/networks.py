"""Networks of either kind: LitePose subnets and comparison networks."""

from __future__ import annotations

import hashlib
from typing import TypeAlias

from ..network import Subnet, build, fuse
from .descriptions import AnyArch
from .registry import build_static, family_of
from .static import StaticArch, StaticNetwork, fold_network

AnyNetwork: TypeAlias = Subnet | StaticNetwork


def empty_network(arch: AnyArch, num_joints: int, fused: bool = False) -> AnyNetwork:
    """The network of `arch` with whatever weights torch gives it."""
    kind = family_of(arch) if isinstance(arch, StaticArch) else Subnet
    return kind(arch, num_joints, fused)  # type: ignore[arg-type]


def build_network(arch: AnyArch, num_joints: int, seed: int = 0) -> AnyNetwork:
    """The network of `arch` with fresh weights from `seed`."""
    if isinstance(arch, StaticArch):
        return build_static(arch, num_joints, seed)
    return build(arch, num_joints, seed)


def fused_network(net: AnyNetwork) -> AnyNetwork:
    """`net`, or where its batch norms are not folded yet, a copy in which they are."""
    if net.fused:
        return net
    return fold_network(net) if isinstance(net, StaticNetwork) else fuse(net)


def outputs_kind(net: AnyNetwork) -> str:
    """What `net` gives: `embedding`, `heatmaps` or `fields` (see `StaticNetwork.outputs`)."""
    return net.outputs if isinstance(net, StaticNetwork) else "embedding"


def weights_digest(net: AnyNetwork) -> str:
    """SHA-256 over the names and bytes of all tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()

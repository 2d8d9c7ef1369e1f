"""Parts and networks as torch modules, ready to be timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from subnets.network import Subnet
from supernet.arch import Arch
from supernet.errors import InputError

from .board_script import Run
from .part_torch import PartNet
from .parts import Part
from .profile_options import DeviceOptions


def prepare_torch(device: DeviceOptions) -> None:
    """Set the thread count (it holds for the process) and see that the device is there.

    Raises:
        InputError: CUDA is asked for and absent.
    """
    torch.set_num_threads(device.threads)
    require_device(device)


def require_device(device: DeviceOptions) -> None:
    """Raise InputError if torch has no such device."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(device.device.partition(":")[2] or 0)
    if device.device != "cpu" and number >= count:
        seen = f"only {count} CUDA devices" if count else "no CUDA device"
        raise InputError(f"device.device={device.device}: torch sees {seen} here")


def part_maker(part: Part, device: DeviceOptions) -> Callable[[], Run]:
    """Makes a call that runs a part; parts are always eager, since compiling hundreds of them takes hours."""
    return lambda: _runner(PartNet(part), part.inputs, device, compiled=False)


def network_maker(arch: Arch, num_joints: int, device: DeviceOptions) -> Callable[[], Run]:
    """Makes a call that runs a whole network."""
    compiled = device.runtime == "torch_compile"
    shape = ((3, arch.resolution),)
    return lambda: _runner(Subnet(arch, num_joints, fused=True).eval(), shape, device, compiled)


def _runner(
    net: nn.Module, shapes: tuple[tuple[int, int], ...], device: DeviceOptions, compiled: bool
) -> Run:
    dtype = getattr(torch, device.precision)
    place: dict[str, Any] = {"device": device.device, "dtype": dtype, "memory_format": torch.channels_last}
    net = net.to(**place)
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(1, c, side, side, generator=generator).to(**place) for c, side in shapes]
    call: Callable[..., object] = _compile(net) if compiled else net
    if not device.device.startswith("cuda"):
        return lambda: _inference(call, inputs)

    def run() -> None:
        _inference(call, inputs)
        torch.cuda.synchronize(device.device)

    return run


def _compile(net: nn.Module) -> Callable[..., object]:
    """`net` compiled for its one input size, or an error; forgotten at the next call of this function."""
    # All networks share one `forward`: past eight versions of it torch would silently run the rest eagerly.
    torch.compiler.reset()
    compiled: Callable[..., object] = torch.compile(net, dynamic=False, fullgraph=True)
    return compiled


def _inference(call: Callable[..., object], inputs: list[torch.Tensor]) -> None:
    with torch.inference_mode():
        call(*inputs)

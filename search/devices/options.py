"""Settings of `search.profile`, free of torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from supernet.errors import InputError
from supernet.options import CommandOptions, Options, joints_option, option, seed_option, threads_option

RUNTIMES = ("torch", "torch_compile", "onnxruntime", "board")
PRECISIONS = ("float32", "float16", "bfloat16")


@dataclass
class DeviceOptions(Options, group="device"):
    """What to measure on.

    Attributes:
        runtime: torch (eager), torch_compile, onnxruntime, or board (files to take to another device).
        device: cpu or cuda, for torch.
        threads: of the CPU.
        precision: float32, float16 or bfloat16, for torch.
        pin: cores to stay on; [] leaves that to the system.
        label: the device's name for people; default the processor's.
        csv: what the script brought back from a board.
        prior: a latency table of another device with the same runtime (file, or name of its run): its parts
            stand for this device's, and few are measured to correct them.
    """

    runtime: str = option("onnxruntime", among=RUNTIMES)
    device: str = "cpu"
    threads: int = threads_option(1)
    precision: str = option("float32", among=PRECISIONS)
    pin: list[int] = field(default_factory=list)
    label: str = ""
    csv: str | None = None
    prior: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.precision != "float32" and self.runtime not in ("torch", "torch_compile"):
            raise InputError(f"device.precision={self.precision} is for torch only")
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise InputError(f"device.device={self.device} is not one of cpu, cuda, cuda:1")
        if self.device != "cpu" and self.runtime not in ("torch", "torch_compile"):
            raise InputError(
                f"device.device={self.device} is for torch only: device=cuda, or device=torch_compile "
                f"device.device={self.device}"
            )


@dataclass
class MeasureOptions(Options, group="measure"):
    """How much is measured.

    Attributes:
        parts: parts of networks (stem, blocks, head steps), spread over the space; None is 300, or with
            device.prior the 60 that tell most.
        networks: whole networks, which the parts' sum is fitted to.
        rounds: visits to each; the value is the median over rounds, their spread says how steady the device
            is.
        seconds: of runs per visit.
    """

    parts: int | None = option(None, least=20)
    networks: int = option(20, least=10)
    rounds: int = option(3, least=2)
    seconds: float = option(0.1, above=0)


@dataclass
class ProfileCommand(CommandOptions):
    """Settings of the command.

    Attributes:
        name: of the run; its folder is runs/profile/<name>.
        space: whose networks are to be predicted: a name in conf/spaces or a file.
        num_joints: J.
        seed: which parts and networks are measured.
    """

    name: str = "default"
    space: str = "tiny"
    num_joints: int = joints_option()
    seed: int = seed_option()
    device: DeviceOptions = field(default_factory=DeviceOptions)
    measure: MeasureOptions = field(default_factory=MeasureOptions)

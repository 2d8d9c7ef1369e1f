"""`python -m subnets.convert`: released LitePose weights into a network folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from supernet.cli import launch
from supernet.options import CommandOptions, joints_option
from supernet.runs.files import remove_if_empty

from .console import register_slug


@dataclass
class ConvertCommand(CommandOptions):
    """Settings of the command.

    Attributes:
        arch: the architecture of the weights: a zoo name, or a file in our or the official form.
        weights: the checkpoint file (.pth.tar, .pth, .safetensors).
        num_joints: 14 for CrowdPose, 17 for COCO.
        name: of the result; its folder is runs/convert/<name>.
    """

    arch: str = "???"
    weights: str = "???"
    num_joints: int = joints_option()
    name: str = "default"


def main() -> None:
    """Run the command."""
    register_slug()
    launch("convert", ConvertCommand, run)


def run(config: ConvertCommand, folder: Path) -> None:
    """Write `config.weights` as the network folder `folder`."""
    from .official import convert

    remove_if_empty(folder)
    convert(config.arch, config.weights, folder, config.num_joints)
    print(f"wrote {folder}")


if __name__ == "__main__":
    main()

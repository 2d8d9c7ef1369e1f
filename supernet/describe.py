"""`python -m supernet.describe`: what architectures and spaces cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .cli import launch
from .errors import InputError


@dataclass
class DescribeCommand:
    """Settings of the command; with neither `arch` nor `space` it lists what ships.

    Attributes:
        arch: a zoo name or an architecture file, shown layer by layer.
        space: a space's name or file, of which the smallest, middle and largest are shown.
        num_joints: J.
        input_shape: [height, width] of the padded input of `arch`, multiples of 16; null means its square.
    """

    arch: str | None = None
    space: str | None = None
    num_joints: int = 14
    input_shape: list[int] | None = None


def main() -> None:
    """Run the command."""
    launch("describe", DescribeCommand, run)


def run(config: DescribeCommand, folder: Path) -> None:
    """Print the tables that `config` asks for."""
    from rich.console import Console

    from .arch import Arch
    from .cost_table import layer_table
    from .cost_table import space_table
    from .cost_table import zoo_table
    from .names import conf_names
    from .space import SearchSpace

    shape = config.input_shape
    if shape is not None and len(shape) != 2:
        raise InputError(f"input_shape={shape} is not [height, width]")
    console = Console()
    if config.arch is not None:
        size = None if shape is None else (shape[0], shape[1])
        console.print(layer_table(Arch.load(config.arch), config.num_joints, size))
    if config.space is not None:
        console.print(space_table(SearchSpace.load(config.space), config.num_joints))
    if config.arch is None and config.space is None:
        console.print(zoo_table(config.num_joints))
        for name in conf_names("spaces"):
            console.print(space_table(SearchSpace.load(name), config.num_joints))


if __name__ == "__main__":
    main()

"""What the settings of all commands share."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class CommandOptions:
    """Settings of every command.

    Attributes:
        plugins: modules to import first, such as my.module; they register what you add (docs/extending.md).
    """

    plugins: list[str] = field(default_factory=list)

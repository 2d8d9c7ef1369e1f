"""Standalone networks: built, extracted, exported, evaluated, used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supernet.registry import lazy_names

if TYPE_CHECKING:
    from .folder import load as load
    from .folder import save as save
    from .network import Subnet as Subnet
    from .network import build as build
    from .network import extract as extract

lazy_names(
    __name__,
    {"Subnet": "network", "build": "network", "extract": "network", "load": "folder", "save": "folder"},
)

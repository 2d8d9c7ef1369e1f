"""Standalone networks: built, extracted, exported, evaluated, used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supernet._lazy import lazy_names

if TYPE_CHECKING:
    from .extract import extract as extract
    from .folder import load as load
    from .folder import save as save
    from .network import Subnet as Subnet
    from .network import build as build

lazy_names(
    __name__,
    {"Subnet": "network", "build": "network", "extract": "extract", "load": "folder", "save": "folder"},
)

"""Latency tables (being built)."""

from __future__ import annotations

from supernet.errors import InputError
from supernet.space import SearchSpace

from .costs import CostTable


def open_latency(source: str, space: SearchSpace) -> CostTable:
    """Placeholder until the measured tables are there."""
    raise InputError(f"latency table {source} cannot be read yet")


class LatencyTable:
    """Placeholder."""

"""Predictors, strategies, storage and reports of the architecture search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supernet._lazy import lazy_names

if TYPE_CHECKING:
    from .cost import MacsTable as MacsTable
    from .cost import ParamsTable as ParamsTable
    from .cost import count_macs as count_macs
    from .cost import count_params as count_params
    from .latency import LatencyTable as LatencyTable

lazy_names(
    __name__,
    {
        "LatencyTable": "latency",
        "MacsTable": "cost",
        "ParamsTable": "cost",
        "count_macs": "cost",
        "count_params": "cost",
    },
)

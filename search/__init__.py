"""Predictors, strategies, storage and reports of the architecture search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supernet.registry import lazy_names

if TYPE_CHECKING:
    from .costs.contract import MacsTable as MacsTable
    from .costs.contract import ParamsTable as ParamsTable
    from .costs.contract import count_macs as count_macs
    from .costs.contract import count_params as count_params
    from .costs.latency import LatencyTable as LatencyTable

lazy_names(
    __name__,
    {
        "LatencyTable": "costs.latency",
        "MacsTable": "costs.contract",
        "ParamsTable": "costs.contract",
        "count_macs": "costs.contract",
        "count_params": "costs.contract",
    },
)

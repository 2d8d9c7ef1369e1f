"""The cost names of `supernet.cost`, re-exported for searches."""

from __future__ import annotations

from supernet.cost import MacsTable
from supernet.cost import ParamsTable
from supernet.cost import count_macs
from supernet.cost import count_params

__all__ = ["MacsTable", "ParamsTable", "count_macs", "count_params"]

"""`python -m subnets.predict`: people in images, folders, videos and cameras."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supernet._lazy import lazy_names

if TYPE_CHECKING:
    from .__main__ import main as main

lazy_names(__name__, {"main": "__main__"})

"""Associative embedding: heatmaps at two scales, and tags that group joints into people."""

from __future__ import annotations

from .contract import Head, Output


class Embedding(Head):
    """Heatmaps and tags at 1/4, finer heatmaps at 1/2 (HigherHRNet, LitePose)."""

    name = "embedding"

    def outputs(self, num_joints: int) -> tuple[Output, ...]:
        return (
            Output("quarter", 2 * num_joints, 4, num_joints, "(B, 2J, H/4, W/4) J heatmaps, then J tags"),
            Output("half", num_joints, 2, num_joints, "(B, J, H/2, W/2) J heatmaps"),
        )


EMBEDDING = Embedding()

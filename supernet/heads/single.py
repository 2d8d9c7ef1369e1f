"""Heads without tags: heatmaps of the one person in a crop, and part affinity fields."""

from __future__ import annotations

from .contract import Head, Output


class Heatmaps(Head):
    """Heatmaps at 1/4 of the person in the middle of a crop (top-down networks)."""

    name = "heatmaps"
    finds_people = False
    finds_person = True

    def outputs(self, num_joints: int) -> tuple[Output, ...]:
        about = "(B, J, H/4, W/4) heatmaps of the person in the middle of the crop"
        return (Output("heatmaps", num_joints, 4, num_joints, about),)


class Fields(Head):
    """Lightweight OpenPose's heatmaps and part affinity fields for COCO's joints: for cost only."""

    name = "fields"
    finds_people = False

    def outputs(self, num_joints: int) -> tuple[Output, ...]:
        return (
            Output("heatmaps", 19, 8, 0, "(B, 19, H/8, W/8) heatmaps: joints, neck, background"),
            Output("fields", 38, 8, 0, "(B, 38, H/8, W/8) part affinity fields"),
        )


HEATMAPS = Heatmaps()
FIELDS = Fields()

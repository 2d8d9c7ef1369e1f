"""Whether a search is scored on images that the supernet was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supernet.data.dataset import PoseDataset

SHOWN = 3


def leak_warning(trained_on: PoseDataset, scored_on: PoseDataset) -> str | None:
    """One line that warns if the two splits share images, else None.

    A search scored on training images prefers subnets that remember them; the paper's scores and these would
    not be comparable either.
    """
    seen = {record.image_id for record in trained_on.records}
    shared = sorted({record.image_id for record in scored_on.records} & seen)
    if not shared:
        return None
    some = ", ".join(str(image) for image in shared[:SHOWN])
    return (
        f"data leak: {len(shared)} of {len(scored_on)} images of the search split {scored_on.name} "
        f"were trained on (image ids {some}{', ...' if len(shared) > SHOWN else ''}); train on a split "
        "of its own (data.train_split=train) for scores that mean something"
    )

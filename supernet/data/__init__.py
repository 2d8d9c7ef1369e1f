"""Data sets, augmentation, training targets and the loader; only the batches need torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .audit import AuditReport as AuditReport
    from .audit import audit as audit
    from .batch import Batch as Batch
    from .batch import normalise as normalise
    from .coco import load_coco as load_coco
    from .crowdpose import load_crowdpose as load_crowdpose
    from .dataset import PoseDataset as PoseDataset
    from .loader import Loader as Loader
    from .opening import open_dataset as open_dataset
    from .options import AugmentOptions as AugmentOptions
    from .options import DataOptions as DataOptions
    from .options import LoaderOptions as LoaderOptions
    from .plan import BatchPlan as BatchPlan
    from .records import Record as Record
    from .streaming import stream_images as stream_images

lazy_names(
    __name__,
    {
        "AugmentOptions": "options",
        "DataOptions": "options",
        "LoaderOptions": "options",
        "PoseDataset": "dataset",
        "Record": "records",
        "open_dataset": "opening",
        "load_crowdpose": "crowdpose",
        "load_coco": "coco",
        "Batch": "batch",
        "normalise": "batch",
        "Loader": "loader",
        "BatchPlan": "plan",
        "audit": "audit",
        "AuditReport": "audit",
        "stream_images": "streaming",
    },
)

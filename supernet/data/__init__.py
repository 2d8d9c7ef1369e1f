"""Data sets, augmentation, training targets and the loader; only the batches need torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..registry import lazy_names

if TYPE_CHECKING:
    from .annotations.records import Record as Record
    from .audit.report import AuditReport as AuditReport
    from .audit.report import audit as audit
    from .batch import Batch as Batch
    from .batch import normalise as normalise
    from .dataset import PoseDataset as PoseDataset
    from .loader import Loader as Loader
    from .opening import load_coco as load_coco
    from .opening import load_crowdpose as load_crowdpose
    from .opening import open_dataset as open_dataset
    from .options import AugmentOptions as AugmentOptions
    from .options import DataOptions as DataOptions
    from .options import LoaderOptions as LoaderOptions
    from .plan import BatchPlan as BatchPlan
    from .reading import stream_images as stream_images

lazy_names(
    __name__,
    {
        "AugmentOptions": "options",
        "DataOptions": "options",
        "LoaderOptions": "options",
        "PoseDataset": "dataset",
        "Record": "annotations.records",
        "open_dataset": "opening",
        "load_crowdpose": "opening",
        "load_coco": "opening",
        "Batch": "batch",
        "normalise": "batch",
        "Loader": "loader",
        "BatchPlan": "plan",
        "audit": "audit.report",
        "AuditReport": "audit.report",
        "stream_images": "reading",
    },
)

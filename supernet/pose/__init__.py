"""Skeletons, grouping, inference, scoring and drawing: numpy, scipy and OpenCV, never torch.

Scoring needs faster-coco-eval or pycocotools, reading YAML or JSON files PyYAML, the picture of errors
matplotlib; each is imported when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..registry import lazy_names

if TYPE_CHECKING:
    from .bootstrap import Bootstrap as Bootstrap
    from .bootstrap import Interval as Interval
    from .bootstrap import bootstrap_ap as bootstrap_ap
    from .diagnosis import Diagnosis as Diagnosis
    from .diagnosis import diagnose as diagnose
    from .diagnosis import plot_diagnosis as plot_diagnosis
    from .drawing import contact_sheet as contact_sheet
    from .drawing import draw_heatmaps as draw_heatmaps
    from .drawing import draw_people as draw_people
    from .drawing import draw_tags as draw_tags
    from .grouping import DecodeOptions as DecodeOptions
    from .grouping import decode as decode
    from .grouping import decode_peaks as decode_peaks
    from .inference import InferenceOptions as InferenceOptions
    from .inference import Prepared as Prepared
    from .inference import infer as infer
    from .inference import infer_prepared as infer_prepared
    from .inference import prepare as prepare
    from .people import People as People
    from .people import oks as oks
    from .people import suppress as suppress
    from .preprocess import View as View
    from .preprocess import preprocess as preprocess
    from .protocols import score as score
    from .results import to_coco_results as to_coco_results
    from .skeletons import Skeleton as Skeleton

lazy_names(
    __name__,
    {
        "Skeleton": "skeletons",
        "People": "people",
        "DecodeOptions": "grouping",
        "decode": "grouping",
        "decode_peaks": "grouping",
        "oks": "people",
        "suppress": "people",
        "InferenceOptions": "inference",
        "Prepared": "inference",
        "infer": "inference",
        "infer_prepared": "inference",
        "prepare": "inference",
        "View": "preprocess",
        "preprocess": "preprocess",
        "to_coco_results": "results",
        "score": "protocols",
        "bootstrap_ap": "bootstrap",
        "Bootstrap": "bootstrap",
        "Interval": "bootstrap",
        "diagnose": "diagnosis",
        "Diagnosis": "diagnosis",
        "plot_diagnosis": "diagnosis",
        "draw_people": "drawing",
        "draw_heatmaps": "drawing",
        "draw_tags": "drawing",
        "contact_sheet": "drawing",
    },
)

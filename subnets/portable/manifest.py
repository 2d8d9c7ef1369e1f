"""What a consumer must know about an exported network; it travels inside the ONNX file as metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from supernet.errors import InputError, positive_int
from supernet.heads.contract import HEADS
from supernet.pose.grouping import MATCHING, REFERENCE_MATCHING
from supernet.pose.preprocess import IMAGE_MEAN, IMAGE_STD
from supernet.pose.skeletons import Skeleton
from supernet.runs.reading import one_key_once

# The first called `head_kind` `kind`.
SCHEMA = 2
METADATA_KEY = "litepose"
PREPROCESSING: dict[str, Any] = {
    "colour": "RGB",
    "range": [0.0, 1.0],
    "mean": list(IMAGE_MEAN),
    "std": list(IMAGE_STD),
    "layout": "NCHW",
    "dtype": "float32",
    "resize": "short side = resolution up to a multiple of 32, long side to one of 64, centred on black",
}
RESIZE_TO_FIT = "as large as it fits into {} x {} (height x width), sides in proportion, centred on black"


@dataclass(frozen=True)
class Manifest:
    """What describes one exported network.

    Attributes:
        name: what to call it.
        resolution: short side of the input in pixels.
        skeleton: the joints of the heatmaps, in order.
        input_shape: (height, width) when only that input fits; None when any multiple of `step` does.
        step: what both sides of an input are multiples of; 1 where that is not known.
        precision: `fp32`, `fp16` or `int8`.
        peaks: K when the graph ends in the K best peaks per joint, or people, instead of maps; 0 otherwise.
        head_kind: the name of its head.
        matching: the rule by which its peaks are matched to people.
        arch: the architecture in its plain form.
        about: provenance and scores, for people.
    """

    name: str
    resolution: int
    skeleton: Skeleton
    input_shape: tuple[int, int] | None = None
    step: int = 1
    precision: str = "fp32"
    peaks: int = 0
    head_kind: str = "embedding"
    matching: str = MATCHING
    arch: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text that is kept in the ONNX file."""
        return json.dumps(
            {
                "schema": SCHEMA,
                "name": self.name,
                "resolution": self.resolution,
                "skeleton": self.skeleton.to_dict(),
                "input_shape": list(self.input_shape) if self.input_shape else None,
                "step": self.step,
                "precision": self.precision,
                "peaks": self.peaks,
                "head_kind": self.head_kind,
                "matching": self.matching,
                "preprocessing": preprocessing_of(self),
                "outputs": outputs_of(self),
                "arch": dict(self.arch),
                "about": dict(self.about),
            }
        )

    def require_people(self) -> Manifest:
        """Itself.

        Raises:
            InputError: its outputs cannot be grouped into people.
        """
        if not HEADS.get(self.head_kind).finds_people:
            raise InputError(f"{self.name} gives {self.head_kind}, from which no people can be grouped here")
        return self

    @classmethod
    def from_json(cls, text: str, where: str) -> Manifest:
        """The manifest in `text`.

        Raises:
            InputError: it is not one, or of a schema that is not known here.
        """
        try:
            value = json.loads(text, object_pairs_hook=one_key_once)
            if value["schema"] not in (1, SCHEMA):
                raise InputError(
                    f"{where}: schema {value['schema']!r} is not known here ({SCHEMA} is); update the toolkit"
                )
            shape, side = value["input_shape"], partial(positive_int, what=f"{where}: input_shape")
            return cls(
                name=str(value["name"]),
                resolution=positive_int(value["resolution"], f"{where}: resolution"),
                skeleton=Skeleton.from_dict(value["skeleton"]),
                input_shape=(side(shape[0]), side(shape[1])) if shape else None,
                step=positive_int(value.get("step", 1), f"{where}: step"),
                precision=str(value["precision"]),
                peaks=positive_int(value["peaks"], f"{where}: peaks") if value["peaks"] != 0 else 0,
                head_kind=str(value.get("head_kind", value.get("kind", "embedding"))),
                matching=str(value.get("matching", REFERENCE_MATCHING)),
                arch=dict(value["arch"]),
                about=dict(value["about"]),
            )
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError) as error:
            raise InputError(f"{where}: its metadata is not readable ({error!r}); export it again") from None


def preprocessing_of(manifest: Manifest) -> dict[str, Any]:
    """What becomes of an image before the network sees it."""
    if manifest.input_shape is None:
        return PREPROCESSING
    return {**PREPROCESSING, "resize": RESIZE_TO_FIT.format(*manifest.input_shape)}


def outputs_of(manifest: Manifest) -> dict[str, str]:
    """The graph's outputs and what they are."""
    if manifest.peaks:
        return HEADS.get(manifest.head_kind).ending_outputs()
    outputs = HEADS.get(manifest.head_kind).outputs(manifest.skeleton.num_joints)
    return {output.name: output.about for output in outputs}

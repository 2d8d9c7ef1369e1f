"""An ONNX file as a function of images, by onnxruntime."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from supernet.errors import InputError
from supernet.runs.reading import one_key_once, read_bytes

from .manifest import METADATA_KEY, Manifest

# What an export says about its files, beside them.
EXPORT_FILE = "export.json"
Floats = NDArray[np.float32]


class OnnxSession:
    """Runs an ONNX file: images (B, 3, H, W) float32 in, the graph's outputs out.

    Attributes:
        manifest: what the file says about itself; None for an ONNX file of another origin.
        path: the file.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int | None = None) -> None:
        """Open `path` for the CPU with that many threads (None: onnxruntime's choice, every core).

        Raises:
            InputError: onnxruntime is not installed, the file is missing or no ONNX model, or `threads` is
            below 1.
        """
        if threads is not None and threads < 1:
            raise InputError(f"threads={threads} must be 1 or more")
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"ONNX file {self.path} does not exist; check the path")
        _check_unchanged(self.path)
        runtime = _onnxruntime()
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # its errors are raised; ours says them once
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = runtime.InferenceSession(
                str(self.path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises a class of its own per failure
            line = " ".join(str(error).split())
            raise InputError(f"{self.path} is not an ONNX model that onnxruntime reads ({line})") from None
        self._input = self._session.get_inputs()[0].name
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        self.manifest = None if text is None else Manifest.from_json(text, f"ONNX file {self.path}")

    def __call__(self, images: Floats) -> list[Floats]:
        """The outputs for `images` (B, 3, H, W).

        Raises:
            InputError: the graph does not take that shape, or fails.
        """
        step = self.manifest.step if self.manifest else 1
        if any(side % step for side in images.shape[2:]):
            raise InputError(
                f"{self.path} takes images whose sides are multiples of {step}, none of shape {images.shape}"
            )
        try:
            outputs = self._session.run(None, {self._input: images})
        except Exception as error:  # as above
            line = " ".join(str(error).split())
            raise InputError(f"{self.path} does not run on images of shape {images.shape} ({line})") from None
        return [np.asarray(value) for value in outputs]

    def require_manifest(self) -> Manifest:
        """The manifest.

        Raises:
            InputError: the file has none.
        """
        if self.manifest is None:
            raise InputError(
                f"ONNX file {self.path} was not written by this toolkit: it names no joints or resolution"
            )
        return self.manifest


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_unchanged(path: Path) -> None:
    """Compare an ONNX file, which has no checksum, with the one that the export beside it keeps.

    Raises:
        InputError: they differ.
    """
    try:
        text = read_bytes(path.with_name(EXPORT_FILE))
        formats = json.loads(text, object_pairs_hook=one_key_once)["formats"]
        known = [item.get("sha256") for item in formats if item.get("file") == path.name]
    except (InputError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return  # an export of an older version, or the file alone
    if known and known[0] not in (None, file_digest(path)):
        raise InputError(
            f"{path} is damaged or of another export: {EXPORT_FILE} beside it has another checksum"
        )


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise InputError("onnxruntime is not installed; pip install onnxruntime") from None
    return onnxruntime

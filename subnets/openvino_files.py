"""An ONNX file as OpenVINO's own two files."""

from __future__ import annotations

from pathlib import Path

from supernet.errors import InputError


def convert(source: Path, target: Path) -> None:
    """Write `target` (.xml) and its weights (.bin) from the ONNX file `source`, fp32.

    Raises:
        InputError: OpenVINO is not installed.
    """
    try:
        import openvino
    except ImportError:
        raise InputError("format openvino needs OpenVINO; pip install 'litepose-ofa[openvino]'") from None
    model = openvino.convert_model(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, target, compress_to_fp16=False)

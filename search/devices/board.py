"""A folder to take to a board without torch, and what came back from there."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from supernet.errors import InputError
from supernet.runs.files import new_folder, read_text, write_json
from supernet.space import SearchSpace

from . import board_script
from .measurements import Measurements
from .options import DeviceOptions
from .profiling import Design, gather
from .runners import onnx_network, onnx_part

SCRIPT = "measure.py"


def write_board(folder: Path, space: SearchSpace, num_joints: int, design: Design) -> None:
    """Write the ONNX files, their manifest and the script into a new folder."""
    with new_folder(folder) as temporary:
        names = []
        for i, part in enumerate(design.parts):
            names.append(f"part {i}")
            (temporary / _file(names[-1])).write_bytes(onnx_part(part))
        for i, arch in enumerate(design.archs):
            names.append(f"network {i}")
            (temporary / _file(names[-1])).write_bytes(onnx_network(arch, num_joints))
        shutil.copyfile(board_script.__file__, temporary / SCRIPT)
        files = [_file(name) for name in names]
        write_json(
            temporary / "manifest.json",
            {"schema": 1, "id": design_id(space, design, num_joints), "files": files},
        )


def read_board(
    source: str,
    space: SearchSpace,
    num_joints: int,
    design: Design,
    device: DeviceOptions,
    prior: Measurements | None = None,
) -> Measurements:
    """The measurements in a CSV that the script wrote.

    Raises:
        InputError: the file is missing, damaged, incomplete, or of another folder.
    """
    text = read_text(source, "measurements of a board")
    head, _, body = text.partition("\n")
    try:
        about: dict[str, Any] = dict(json.loads(head.removeprefix("#")))
        rows = list(csv.DictReader(body.splitlines()))
        times: dict[str, list[tuple[float, int]]] = {}
        for row in sorted(rows, key=lambda row: int(row["round"])):
            found = (float(row["milliseconds"]), int(row["runs"]))
            times.setdefault(_name(row["file"]), []).append(found)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error) as error:
        reason = str(error)[:100]
        raise InputError(f"measurements {source} are damaged ({reason}); run {SCRIPT} again") from None
    if about.get("manifest") != design_id(space, design, num_joints):
        raise InputError(
            f"measurements {source} are of another folder: space, joints, seed or sizes differ from "
            "these settings"
        )
    names = [f"part {i}" for i in range(len(design.parts))]
    names += [f"network {i}" for i in range(len(design.archs))]
    missing = [name for name in names if name not in times]
    rounds = {len(times[name]) for name in names if name in times}
    if missing or len(rounds) != 1:
        lacking = f"{len(missing)} files" if missing else "some rounds"
        raise InputError(f"measurements {source} are incomplete ({lacking} are missing); run {SCRIPT} again")
    if device.label:
        about["device"] = device.label
    about = {"precision": "float32", "batch": 1, "kind": "board", **about}
    try:
        return gather(space, num_joints, design, times, about, prior)
    except InputError as error:
        raise InputError(f"measurements {source}: {error}; run {SCRIPT} again") from None


def design_id(space: SearchSpace, design: Design, num_joints: int) -> str:
    """Tells one set of files from another."""
    digest = hashlib.sha256(json.dumps([space.to_dict(), num_joints]).encode())
    # One byte each, as far as that is enough.
    places = np.array(design.places, np.min_scalar_type(max(design.places, default=0)))
    digest.update(design.sources.tobytes() + places.tobytes() + design.codes.tobytes())
    return digest.hexdigest()[:16]


def _file(name: str) -> str:
    return name.replace(" ", "_") + ".onnx"


def _name(file: str) -> str:
    return file.removesuffix(".onnx").replace("_", " ")

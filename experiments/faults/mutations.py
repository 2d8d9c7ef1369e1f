"""Seeded damage to a file by its kind, or something that is no such file in its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from damage import Rng, pick, raw
from documents import json_file, json_lines, table, yaml_file
from packed import numpy_file, onnx_file, picture, safetensors, torch_file, zip_file


def special(rng: Rng, path: Path, others: list[Path]) -> str:
    """Put something that is no such file in the place of `path`; what it is."""
    kind = int(rng.integers(7))
    path.unlink()
    if kind == 0:
        return "missing"
    if kind == 1:
        path.mkdir()
        return "a folder"
    if kind == 2:
        os.mkfifo(path)
        return "a FIFO"
    if kind == 3:
        path.symlink_to("/dev/zero")
        return "a link to /dev/zero"
    if kind == 4:
        path.symlink_to("nowhere")
        return "a dangling link"
    if kind == 5:
        path.symlink_to(path.name)
        return "a link to itself"
    other = pick(rng, others) if others else None
    path.write_bytes(other.read_bytes() if other else b"")
    return f"replaced by {other.name if other else 'an empty file'}"


Mutator = Callable[[Rng, bytes], tuple[bytes, str]]
MUTATORS: dict[str, Mutator] = {
    ".json": json_file, ".yaml": yaml_file, ".jsonl": json_lines, ".journal": json_lines, ".csv": table,
    ".safetensors": safetensors, ".pth": torch_file, ".npz": numpy_file, ".zip": zip_file, ".jpg": picture,
    ".png": picture, ".onnx": onnx_file, ".mp4": raw, ".avi": raw,
}  # fmt: skip


def mutate(rng: Rng, path: Path, others: list[Path]) -> str:
    """Damage the file `path` (one in twenty becomes no file at all); what was done."""
    if rng.random() < 0.05:
        return special(rng, path, others)
    old = path.read_bytes()
    for _ in range(20):
        new, what = MUTATORS[path.suffix](rng, old)
        if new != old:
            break
    path.write_bytes(new)
    return what

"""What the commands share: settings of what to open, names of run folders, the console."""

from __future__ import annotations

import re
import sys
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from supernet.data.source import DataConfig
from supernet.errors import InputError
from supernet.options import Options

from .folder import META_FILE

if TYPE_CHECKING:
    from rich.console import Console

# Of tables that go to a file or another program.
PLAIN_WIDTH = 130


def open_console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for a table where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, soft_wrap=not sys.stdout.isatty())


_LONGEST = 60


def slug(arch: Any) -> str:
    """A folder name for one or several `arch=` values.

    `litepose-xs` stays, `runs/search/demo:low` gives `demo-low`, `nets/a.onnx` gives `a`, `a/model_int8.onnx`
    and, of a network's folder `a`, `a/openvino/model_int8.xml` give `a-int8`.
    """
    values = arch if isinstance(arch, list | tuple) else [arch]
    text = "_".join(_one(str(value)) for value in values)
    return text[:_LONGEST] or "default"


def _one(value: str) -> str:
    path = Path(value)
    name = path.stem if path.suffix in {".yaml", ".yml", ".json", ".onnx"} else path.name
    # The files of an export are all called so: model.onnx, model_int8.onnx, openvino/model.xml.
    if re.fullmatch(r"model(_\w+)?", path.stem):
        above = [folder for folder in path.parents[:2] if folder.name]
        folder = next((each for each in above if (each / META_FILE).is_file()), path.parent)
        if folder.name:
            name = folder.name + path.stem.removeprefix("model").replace("_", "-")
    # Letters of any script; one form of those that can be written in two.
    short = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", name)).strip("-.")
    return short or f"{zlib.crc32(value.encode('utf-8', 'surrogateescape')):08x}"


def distinct_slugs(archs: Sequence[str]) -> list[str]:
    """One folder name for each of `archs`, numbered where they would be equal."""
    seen: dict[str, int] = {}
    found = []
    for name in map(slug, archs):
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return found


def register_slug() -> None:
    """Make `${slug:${arch}}` available to the configs."""
    OmegaConf.register_new_resolver("slug", slug, replace=True)


@dataclass
class SourceOptions(Options):
    """What to open besides the architecture itself.

    Attributes:
        weights: file of released LitePose weights (.pth or .safetensors) for an architecture given by name
            or file.
        supernet: a training run, or a supernet that ships, which gives the weights of an architecture given
            by name or file, or of its `largest` or `smallest`.
        skeleton: joint layout of a network that does not say its own; null takes CrowdPose's.
        data: of a supernet's training, where they lie by now (data.root=...); null for where they were.
    """

    weights: str | None = None
    supernet: str | None = None
    skeleton: str | None = None
    data: DataConfig | None = None


def as_list(value: Any, what: str) -> list[str]:
    """`a`, `a,b` or `[a, b]` of the command line as a list of texts.

    Raises:
        InputError: it is empty or something else.
    """
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not items or not all(i and isinstance(i, str) for i in items):
        raise InputError(f"{what}={value!r} must be one or more names, such as {what}=[a,b]")
    return list(dict.fromkeys(item.strip() for item in items))

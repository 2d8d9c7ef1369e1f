"""What is read: regular files, within bounds, by what every system has."""

from __future__ import annotations

import gzip
import os
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotated import document, opened, write
from PIL import Image

from subnets.portable.frames import open_frames
from supernet import SearchSpace
from supernet.data.images.decode import decode_rgb
from supernet.data.images.store import Store
from supernet.errors import InputError
from supernet.heads.embedding import EMBEDDING
from supernet.options import CommandOptions, Options, Rule, option
from supernet.pose import Skeleton
from supernet.pose.inference import run_passes
from supernet.runs.files import read_json, read_yaml
from supernet.runs.reading import check_tensors, read_bytes

COMMANDS = (
    *("supernet.train", "supernet.audit", "supernet.describe", "supernet.sweep", "search.run"),
    *("search.profile", "subnets.convert", "subnets.costs", "subnets.compare"),
    *(
        f"subnets.{name}.__main__"
        for name in ("predict", "evaluate", "export", "finetune", "benchmark", "topdown")
    ),
)

ABSENT = """
import os, runpy, sys
for name in ("sched_getaffinity", "sched_setaffinity", "sysconf"):
    if hasattr(os, name): delattr(os, name)
real = os.open
def no_folders(path, *rest, **more):
    if os.path.isdir(path): raise PermissionError(13, "a folder", path)
    return real(path, *rest, **more)
os.open = no_folders
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("pixels", ["true", "false"])
def test_nothing_that_macos_or_windows_lack_is_needed(tmp_path: Path, pixels: str) -> None:
    write(tmp_path, document())
    words = [
        "supernet.audit",
        "data=crowdpose",
        f"data.root={tmp_path}",
        "splits=[train]",
        f"pixels={pixels}",
    ]
    done = subprocess.run(
        [sys.executable, "-c", ABSENT, *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def png(width: int, height: int) -> bytes:
    """A PNG of one colour that is tiny in the file."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    rows = zlib.compress(bytes((width + 8) // 8) * height, 9)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bmp(width: int, height: int) -> bytes:
    return b"BM" + bytes(16) + struct.pack("<ii", width, height) + bytes(40)


@pytest.mark.parametrize("make", [png, bmp])
def test_pictures_of_too_many_pixels(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="LITEPOSE_MAX_PIXELS=400000000"):
        decode_rgb(make(20000, 20000), "it")
    monkeypatch.setenv("LITEPOSE_MAX_PIXELS", "5000")
    with pytest.raises(InputError, match="LITEPOSE_MAX_PIXELS=6400"):
        decode_rgb(png(80, 80), "it")
    monkeypatch.setenv("LITEPOSE_MAX_PIXELS", "6400")
    assert decode_rgb(png(80, 80), "it").shape == (80, 80, 3)


@pytest.mark.parametrize(
    "start",
    [
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 9000 +X 9000\n",
        b"P5 20000 20000 255\n",
        b"PF\n9000 9000\n-1.0\n",
        b"II+\0\x08\0\0\0",
    ],
)
def test_pictures_whose_size_nobody_looks_at_are_not_decoded(start: bytes) -> None:
    with pytest.raises(InputError, match="no JPEG, PNG, BMP, WebP or TIFF"):
        decode_rgb(start + bytes(64), "a.jpg")


@pytest.mark.parametrize("value", [10**30, -(2**63), 10**400])
def test_whole_numbers_that_no_machine_takes(value: int) -> None:
    with pytest.raises(InputError, match=r"^seed: .* has more than 64 bits"):
        Rule().check("seed", value)
    Rule(most=2**63 - 1).check("seed", 2**63 - 1)


def groups_of_settings(base: type[Options] = Options) -> list[type[Options]]:
    return [found for each in base.__subclasses__() for found in (each, *groups_of_settings(each))]


def test_every_number_of_every_command_is_bounded_above() -> None:
    for command in COMMANDS:
        import_module(command)
    seen = []
    for group in groups_of_settings():
        for each in fields(group):
            kind = re.match(r"(tuple\[|list\[)?(int|float)\b", str(each.type))
            # What is random derives from any number.
            if kind and each.name != "seed" and group.__module__.partition(".")[0] != "test_bounds":
                value: Any = 2**50 if kind[2] == "int" else 1e15
                seen.append(f"{group._group}{each.name}")
                with pytest.raises(InputError, match=rf"\b{each.name}=.*(more than|between|at most|below)"):
                    group(**{each.name: [value, value] if kind[1] else value})
    assert {"train.batch_size", "data.render.train", "search.batch", "evaluation.scales", "threads"} <= {
        *seen
    }


@pytest.mark.parametrize("group", [Options, CommandOptions])
def test_a_number_that_nobody_bounded_has_a_bound(group: type[Options]) -> None:
    @dataclass
    class Mine(group, group="mine"):  # type: ignore[misc, valid-type]
        count: int = option(1, least=1)
        bare: float = 0.5
        steps: int = option(1, least=1, most=10**9)

    Mine(count=65536, bare=-65536.0, steps=10**9)
    for name in ("count", "bare"):
        with pytest.raises(InputError, match=rf"^mine\.{name}=65537 is more than 65536$"):
            Mine(**{name: 65537})
    with pytest.raises(InputError, match=r"^mine\.steps=1000000001 is not between 1 and 1e\+09$"):
        Mine(steps=10**9 + 1)


def test_a_space_of_endless_depth() -> None:
    value = SearchSpace.load("nano").to_dict()
    value["stages"][3]["depth"] = [1, 65536]
    with pytest.raises(InputError, match="stage 4 depth: 65536 is not between 1 and 64"):
        SearchSpace.from_dict(value)


def test_what_unpacks_without_end(tmp_path: Path) -> None:
    zeros = b"[" + b"0," * 2**24 + b"0]"
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(zeros))
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("json/crowdpose_train.json", zeros)
    with pytest.raises(InputError, match="times its size"):
        read_json(tmp_path / "a.json.gz")
    with pytest.raises(InputError, match="times its size"):
        opened(tmp_path / "all.zip")
    with pytest.raises(InputError, match="times its size"):
        opened(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    write(tmp_path, document())
    path = tmp_path / "images" / "2.png"
    path.unlink()
    (tmp_path / "zipped").mkdir()
    for place in (path, tmp_path / "zipped" / "images.zip"):
        if kind == "pipe":
            os.mkfifo(place)
        elif kind == "device":
            place.symlink_to("/dev/zero")
        else:
            place.mkdir()
    with pytest.raises(InputError, match=r"2\.png"):
        opened(tmp_path)
    with pytest.raises(InputError, match=r"images\.zip cannot be read: it is"):
        Store(tmp_path / "zipped").read("images/2.png")
    with pytest.raises(InputError, match="it is"):
        read_bytes(path)
    dataset = opened(tmp_path, on_error="skip")
    assert [record.image_id for record in dataset.records] == [1, 3]


@pytest.mark.parametrize("text", ["", "x: &x [*x]\n"])
def test_aliases_of_yaml(tmp_path: Path, text: str) -> None:
    levels = "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(9))
    (tmp_path / "own.yaml").write_text(text or f"a0: &a0 [1, 2]\n{levels}")
    with pytest.raises(InputError, match="aliases"):
        read_yaml(tmp_path / "own.yaml")
    (tmp_path / "own.yaml").write_text("a: &a [1, 2]\nb: [*a, *a]\n")
    assert read_yaml(tmp_path / "own.yaml")["b"] == [[1, 2], [1, 2]]


def test_headers_of_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(struct.pack("<Q", 2**25) + b"{" + b" " * 2**25)
    with pytest.raises(InputError, match="LITEPOSE_MAX_HEADER"):
        check_tensors(file)
    monkeypatch.setenv("LITEPOSE_MAX_HEADER", str(2**25))
    check_tensors(file)


@pytest.mark.parametrize("suffix", [".gif", ".avif", ".HEIC"])
def test_pictures_that_are_not_read_are_told(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, document())
    (tmp_path / "images" / f"holiday{suffix}").write_bytes(b"GIF89a")
    frames = open_frames(tmp_path / "images")
    assert [frame.name for frame in frames] == ["1.png", "2.png", "3.png"]
    (told,) = frames.failures
    assert f"holiday{suffix}" in told


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_folders_to_predict_hold_regular_files(tmp_path: Path, kind: str) -> None:
    write(tmp_path, document())
    path = tmp_path / "images" / "0.png"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    frames = open_frames(tmp_path / "images")
    assert len(list(frames)) == 3
    assert "0.png" in frames.failures[0]


def test_a_telephones_photograph_is_predicted_upright(tmp_path: Path) -> None:
    image = np.zeros((40, 24, 3), np.uint8)
    image[:10] = 255
    tag = Image.Exif()
    tag[0x0112] = 6
    Image.fromarray(np.rot90(image)).save(tmp_path / "photo.jpg", exif=tag)
    (frame,) = open_frames(tmp_path / "photo.jpg")
    assert frame.image.shape == image.shape
    assert frame.image[:8].min() > 200 > 50 > frame.image[14:].max()


def test_nothing_is_averaged_with_a_mirror_image_that_nobody_knows() -> None:
    skeleton = Skeleton.from_dict({"joints": ["a", "b"], "sigmas": [0.1, 0.1]})
    with pytest.raises(InputError, match="mirror"):
        run_passes(lambda images: [], np.zeros((1, 3, 64, 64), np.float32), EMBEDDING, skeleton, flip=True)


def test_what_is_no_file_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError) as told:
        read_bytes(tmp_path, "image")
    assert str(told.value) == f"image {tmp_path} cannot be read: it is a folder"
    monkeypatch.setenv("LITEPOSE_MAX_BYTES", "1")
    (tmp_path / "a").write_bytes(b"ab")
    with pytest.raises(InputError) as told:
        read_bytes(tmp_path / "a", "image")
    assert str(told.value).count(str(tmp_path)) == 1

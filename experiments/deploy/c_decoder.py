"""`decode.h`, compiled with the sanitizers, as a function of maps; and maps to try it on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from subnets.export.bundle import HEADER, decoder_header
from supernet.pose import DecodeOptions, People, Skeleton

DRIVER = Path(__file__).with_name("decode_driver.c")
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror")
FLAGS = (*STRICT, "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover")
# How a case is told to the driver.
OUTPUTS, MAPS, PEAKS = range(3)
Case = tuple[int, Sequence[np.ndarray]]


def compiler() -> str | None:
    """The C compiler that is there, if any."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


class Decoder:
    """The header for some joints and rules, compiled into `folder`."""

    def __init__(self, folder: Path, skeleton: Skeleton, options: DecodeOptions, peaks: int = 0) -> None:
        self._joints = skeleton.num_joints
        self._program = folder / "decode"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / HEADER).write_text(decoder_header(skeleton, options, peaks))
        command = [str(compiler()), *FLAGS, f"-I{folder}", str(DRIVER), "-o", str(self._program), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def __call__(self, cases: Iterable[Case]) -> list[People | None]:
        """The people of each case; None where the header refuses its sizes."""
        data = b"".join(self._packed(mode, arrays) for mode, arrays in cases)
        done = subprocess.run([str(self._program)], input=data, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return list(self._people(done.stdout))

    def _packed(self, mode: int, arrays: Sequence[np.ndarray]) -> bytes:
        sizes = (arrays[0].shape[-1], 0) if mode == PEAKS else arrays[1 - mode].shape[-2:]
        head = np.array([mode, *sizes], np.int32).tobytes()
        return head + b"".join(np.ascontiguousarray(each, np.float32).tobytes() for each in arrays)

    def _people(self, data: bytes) -> Iterable[People | None]:
        size, place = 3 * self._joints + 2, 0
        while place < len(data):
            (count,) = np.frombuffer(data, np.int32, 1, place)
            rows = np.frombuffer(data, np.float32, max(count, 0) * size, place + 4).reshape(-1, size)
            place += 4 + rows.nbytes
            poses = rows[:, : 3 * self._joints].reshape(-1, self._joints, 3)
            yield None if count < 0 else People(poses, rows[:, -2:-1], rows[:, -1])


def outputs(rng: np.random.Generator, people: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Quarter (28, h, w) and half (14, 2h, 2w) as a network gives them for some people, with noise."""
    maps = []
    place = rng.uniform(0, 1, (people, 14, 2))
    tag = rng.normal(0, 2, people)
    for scale in (1, 2):
        y, x = np.mgrid[: scale * size[0], : scale * size[1]] + 0.5
        square = (x - place[..., 1, None, None] * x.shape[1]) ** 2 + (
            y - place[..., 0, None, None] * x.shape[0]
        ) ** 2
        height = rng.uniform(0.05, 1, (people, 14, 1, 1))
        heat = (height * np.exp(-square / 2 / (0.7 * scale) ** 2)).max(axis=0, initial=0)
        maps.append((heat + rng.normal(0, 0.03, heat.shape)).astype(np.float32))
        if scale == 1:
            tags = tag[square.argmin(axis=0)] if people else np.zeros_like(heat)
            maps[0] = np.concatenate([maps[0], (tags + rng.normal(0, 0.2, tags.shape)).astype(np.float32)])
    return maps


def crowded(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Merged maps and tags with 10,000 peaks a joint, many of them equal, each apart from the next."""
    heat = np.zeros((14, 200, 200), np.float32)
    heat[:, ::2, ::2] = rng.integers(1, 9, (14, 100, 100)) / 8
    return heat, rng.normal(0, 3, (14, 100, 100)).astype(np.float32)


def wild(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Merged maps (14, 2h, 2w) and tags (14, h, w): ties everywhere, not-a-numbers, infinities, nothing."""
    size = rng.integers(1, 9, 2)
    heat = rng.integers(-3, 9, (14, *(2 * size))).astype(np.float32) / 8
    tags = rng.integers(-9, 9, (14, *size)).astype(np.float32) / rng.choice([1, 4, 16])
    kind = rng.integers(5)
    odd = rng.choice([np.nan, np.inf, -np.inf, 1e30], heat.shape).astype(np.float32)
    if kind in (1, 3):
        heat = np.where(rng.random(heat.shape) < 0.1, odd, heat)
    if kind in (2, 3):
        tags = np.where(rng.random(tags.shape) < 0.1, odd[:, ::2, ::2], tags)
    if kind == 4:
        heat *= 0
    return heat, tags

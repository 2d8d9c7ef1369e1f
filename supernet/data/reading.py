"""Reading a data set's images ahead of their use: all of them into memory, or a few in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future

from ..errors import InputError
from .annotations.records import Skipped
from .dataset import PoseDataset
from .images.decode import UInt8Image, decode_threads

_THREADS = 4
# Leave room for the training itself.
_SHARE_OF_MEMORY = 0.7


def cached(dataset: PoseDataset) -> PoseDataset:
    """`dataset` with all its images decoded now; forked loader workers share the one copy.

    Images that cannot be read are left for `read_image` to complain about.

    Raises:
        InputError: the images would not fit into main memory.
    """
    need = sum(3 * record.width * record.height for record in dataset.records)
    room = _SHARE_OF_MEMORY * _available_bytes()
    if need > room:
        raise InputError(
            f"data.cache=memory needs {need / 1e9:.1f} GB for {dataset.name}, {room / 1e9:.1f} GB are there; "
            "set data.cache=none"
        )

    def read(index: int) -> UInt8Image | None:
        try:
            return dataset.read_image(index)
        except InputError:
            return None

    with decode_threads(_THREADS) as pool:
        images = pool.map(read, range(len(dataset)))
        found = {r.image_id: i for r, i in zip(dataset.records, images, strict=True) if i is not None}
    return dataset.with_cache(found)


def _available_bytes() -> int:
    """Main memory that can be had without swapping; without end where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        if not hasattr(os, "sysconf"):  # Windows
            return 2**63
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def stream_images(
    dataset: PoseDataset, threads: int = 2, ahead: int = 16
) -> Iterator[tuple[int, UInt8Image]]:
    """(index, image) of every image of `dataset` in order, decoded in threads while the caller works.

    With `on_error="skip"` an image that cannot be read is left out and added to `dataset.skipped` (once),
    so that the caller can score the images that came.

    Args:
        dataset: what to read.
        threads: how many decode at once.
        ahead: how many images may wait.

    Raises:
        InputError: an image cannot be read, and the data set does not skip such.
    """
    with decode_threads(threads) as pool:
        waiting: deque[tuple[int, Future[UInt8Image]]] = deque()
        upcoming = iter(range(len(dataset)))
        try:
            while True:
                while len(waiting) < ahead and (index := next(upcoming, None)) is not None:
                    waiting.append((index, pool.submit(dataset.read_image, index)))
                if not waiting:
                    return
                index, future = waiting.popleft()
                image = _result(dataset, index, future)
                if image is not None:
                    yield index, image
        finally:
            for _, future in waiting:
                future.cancel()


def _result(dataset: PoseDataset, index: int, future: Future[UInt8Image]) -> UInt8Image | None:
    try:
        return future.result()
    except InputError as error:
        if dataset.on_error != "skip":
            raise
        fault = Skipped(dataset.name, f"image {dataset.records[index].image_id}", str(error))
        if fault not in dataset.skipped:
            dataset.skipped.append(fault)
        return None

"""Decoded images in main memory, for data sets small enough."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from ..errors import InputError
from .dataset import PoseDataset
from .images import UInt8Image

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

    with ThreadPoolExecutor(_THREADS) as pool:
        images = pool.map(read, range(len(dataset)))
        found = {r.image_id: i for r, i in zip(dataset.records, images, strict=True) if i is not None}
    return dataset.with_cache(found)


def _available_bytes() -> int:
    """Main memory that can be had without swapping."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

"""Reading images ahead of their use, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor

from ..errors import InputError
from .dataset import PoseDataset
from .faults import Skipped
from .images import UInt8Image


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
    with ThreadPoolExecutor(threads) as pool:
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

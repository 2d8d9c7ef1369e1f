"""Training batches from worker processes, the same whatever their number."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from ..errors import InputError
from ..family import STEP
from .annotations.records import Skipped
from .batch import Batch, BatchMaker
from .dataset import PoseDataset, grouped
from .options import AugmentOptions, LoaderOptions
from .plan import BatchPlan, step_resolution

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_LOG = logging.getLogger(__name__)


class Loader:
    """Batches of one resolution each, a function of (seed, step) alone.

    Attributes:
        dataset: the images it draws from (those with people, unless `options.keep_empty`).
        plan: which of them a step sees.
        skipped: images that could not be read so far, each once (`on_error="skip"`).
    """

    def __init__(
        self,
        dataset: PoseDataset,
        options: LoaderOptions,
        resolutions: Sequence[int] | Callable[[int], int],
        *,
        augment: AugmentOptions | None = None,
        scales: Sequence[int] = (4, 2),
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
        device: torch.device | str = "cpu",
        start_method: str | None = None,
    ) -> None:
        """Make a loader; its workers start with `start` or the first batch and stay until `close`.

        Args:
            dataset: what to train on.
            options: batch and target options.
            resolutions: sides to draw one from each step, or a function of the step; multiples of 16.
            augment: the augmentation (the default one for None).
            scales: of the network's outputs.
            workers: processes; 0 makes the batches in this one.
            rank, world: this process and how many share each batch.
            device: where the batches go.
            start_method: "fork", "spawn", "forkserver" or None for the platform's own; "spawn" in a process
                with threads, whose mutexes a fork would copy as they are.

        Raises:
            InputError: there is nothing to train on, the batch does not divide among the ranks, or a
                resolution is no multiple of 16.
        """
        self.dataset = _trained_on(dataset, options.keep_empty)
        sources = _sources(self.dataset)
        count = sum(count for _, count in sources) or len(self.dataset)
        self.plan = BatchPlan(count, options.batch_size, options.seed, rank, world, sources)
        self.skipped: list[Skipped] = []
        self._resolution = resolutions if callable(resolutions) else _drawn(options.seed, tuple(resolutions))
        self._device = torch.device(device)
        augments = _augments(dataset, augment or AugmentOptions())
        different = tuple(dict.fromkeys(scales))
        self._make = BatchMaker(self.dataset, self.plan, augments.pop(""), options.sigma, different, augments)
        self._steps = _Steps(self._resolution)
        if start_method is None and threading.active_count() > 1:
            start_method = "spawn"
        self._loader: DataLoader[Any] = DataLoader(
            _StepBatches(self._make),
            batch_size=None,
            sampler=self._steps,
            num_workers=workers,
            timeout=options.patience if workers else 0,
            collate_fn=_as_it_is,
            pin_memory=self._device.type == "cuda",
            worker_init_fn=_begin_worker,
            prefetch_factor=options.prefetch if workers else None,
            persistent_workers=workers > 0,
            multiprocessing_context=start_method if workers else None,
            # The workers' own seeds are unused; drawing one here would shift the caller's random stream.
            generator=torch.Generator(),
        )

    @property
    def steps_per_epoch(self) -> int:
        """Steps that see every image at least once."""
        return self.plan.steps_per_epoch

    def resolution(self, step: int) -> int:
        """The resolution of `step`."""
        return self._steps.resolution(step)

    def start(self) -> None:
        """Start the workers now, before this process gets threads of its own.

        Raises:
            InputError: they would need more open files than are allowed.
        """
        require_open_files(self._loader.num_workers)
        for _ in self.batches(0, 0):
            pass

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of steps `start` to `stop` - 1; starting late costs nothing.

        Raises:
            InputError: an image cannot be read, and the data set does not skip such; or a worker was killed
                or fell silent.
        """
        self._steps.span = range(start, stop)
        with lost_workers_told():
            for made in self._loader:
                if isinstance(made, _Failure):
                    self.close()
                    raise InputError(made.message)
                known = set(self.skipped)
                self.skipped += [fault for fault in dict.fromkeys(made.skipped) if fault not in known]
                yield made.to(self._device)

    def batch(self, step: int) -> Batch:
        """The batch of one step, made in this process."""
        return self._make(step, self.resolution(step)).to(self._device)

    def close(self) -> None:
        """Stop the workers; the next batch would start new ones.

        Left to the garbage collector, stopping them may take ten seconds.
        """
        iterator = getattr(self._loader, "_iterator", None)
        if iterator is not None and hasattr(iterator, "_shutdown_workers"):
            iterator._shutdown_workers()
        self._loader._iterator = None

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def require_open_files(workers: int) -> None:
    """Raise InputError if so many workers need more open files than are allowed: they would fall silent."""
    if resource is None or not workers:
        return
    # Every tensor of a batch that waits is one.
    allowed, needed = resource.getrlimit(resource.RLIMIT_NOFILE)[0], 32 + 16 * workers
    if 0 < allowed < needed:
        raise InputError(
            f"data.workers={workers} needs {needed} open files, and {allowed} are allowed; raise ulimit -n, "
            "or take fewer workers"
        )


@contextmanager
def lost_workers_told() -> Iterator[None]:
    """Turn what torch raises when a worker dies or falls silent into one line.

    A death is told by a signal handler, wherever the main thread is: whoever trains needs this around it all.

    Raises:
        InputError: it happened.
    """
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        cause = error.__cause__ or error.__context__
        told = next((str(e) for e in (error, cause) if "DataLoader" in str(e)), "")
        if not told and isinstance(error, RuntimeError):
            raise
        reason = "fell silent" if "timed out" in told else "was killed or ended by itself"
        raise InputError(
            f"a data worker {reason} ({' '.join(told.split()) or repr(error)}); if memory is short, take "
            "fewer data.workers; start the same command again to go on from the last checkpoint"
        ) from None


def _trained_on(dataset: PoseDataset, keep_empty: bool) -> PoseDataset:
    """`dataset` without the images that have no labelled person, unless they are to be kept."""
    keeping = {name for name, source in dataset.sources.items() if source.keep_empty}
    empty = [not (record.keypoints[..., 2] > 0).any() for record in dataset.records]
    kept = [
        index
        for index, record in enumerate(dataset.records)
        if keep_empty or not empty[index] or record.mixed in keeping
    ]
    if any(empty):
        left_out = len(dataset) - len(kept)
        _LOG.warning(
            "%s: %d of %d images label nobody; %d are left out (keep_empty=true keeps them), %d trained on",
            dataset.name,
            sum(empty),
            len(dataset),
            left_out,
            sum(empty) - left_out,
        )
    return dataset.subset(kept)


def _sources(dataset: PoseDataset) -> list[tuple[list[int], int]]:
    """Of a mix, the indices of each source's images, and how many of them are in a pass."""
    found = grouped(record.mixed for record in dataset.records) if dataset.sources else {}
    return [(own, max(1, round(dataset.sources[name].weight * len(own)))) for name, own in found.items()]


class _Failure:
    """An InputError on its way from a worker: raised there it would arrive wrapped in a traceback."""

    def __init__(self, message: str) -> None:
        self.message = message


def _augments(dataset: PoseDataset, usual: AugmentOptions) -> dict[str, AugmentOptions]:
    """The augmentation of each source that has its own, and under "" that of the others."""
    found = {name: one.augment for name, one in dataset.sources.items() if one.augment is not None}
    found[""] = usual
    if dataset.skeleton.mirrors:
        return found
    return {name: replace(one, flip=0.0) for name, one in found.items()}


class _Steps:
    """A sampler of (step, resolution) for the span that the loader was asked for."""

    def __init__(self, resolution: Callable[[int], int]) -> None:
        self._resolution = resolution
        self.span = range(0)

    def resolution(self, step: int) -> int:
        side = int(self._resolution(step))
        if side < STEP or side % STEP:
            raise InputError(f"resolution {side} of step {step} is not a multiple of {STEP}")
        return side

    def __iter__(self) -> Iterator[tuple[int, int]]:
        # Only this process calls the resolution function, so it need not be picklable.
        return ((step, self.resolution(step)) for step in self.span)

    def __len__(self) -> int:
        return len(self.span)


class _StepBatches(Dataset[Any]):
    """What runs in the workers: one item is one whole batch, so nothing is copied to collate it."""

    def __init__(self, make: BatchMaker) -> None:
        self._make = make

    def __getitem__(self, key: tuple[int, int]) -> Batch | _Failure:
        try:
            return self._make(*key)
        except InputError as error:
            return _Failure(str(error))


def _drawn(seed: int, choices: Sequence[int]) -> Callable[[int], int]:
    if not choices:
        raise InputError("no training resolution is given")
    return lambda step: step_resolution(seed, step, choices)


def _as_it_is(value: Any) -> Any:
    return value


def _begin_worker(worker: int) -> None:
    del worker
    # Whoever stops all processes of a job at once (Ctrl-C, timeout, a service) means the first of them: it
    # saves, and still needs batches until then. Whoever means this one asks twice.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: signal.signal(number, signal.SIG_DFL))
    # OpenCV's own threads would fight over the cores, and do not survive a fork.
    cv2.setNumThreads(0)
    # A spawned process would tear Python down under the thread that sends its last batches, and abort.
    atexit.register(os._exit, 0)

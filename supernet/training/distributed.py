"""The processes of one training run: one alone, or several under torchrun."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from ..errors import InputError


class Ranks:
    """A process alone; every exchange is with itself.

    Attributes:
        rank, world: this process and how many there are.
        device: where this process computes.
    """

    def __init__(self, device: torch.device, rank: int = 0, world: int = 1) -> None:
        self.device = device
        self.rank = rank
        self.world = world

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def mean_(self, values: Tensor) -> None:
        """Replace `values` by their mean over the ranks, the same bits everywhere."""

    def gather(self, value: Any) -> list[Any]:
        """Every rank's `value`, in the order of the ranks."""
        return [value]

    def share(self, value: Any) -> Any:
        """Rank 0's `value`."""
        return value

    def barrier(self) -> None:
        """Wait for the others."""


class GroupRanks(Ranks):
    """One of several processes of a `torch.distributed` group."""

    def mean_(self, values: Tensor) -> None:
        """Replace `values` by their mean over the ranks, the same bits everywhere."""
        dist.all_reduce(values)
        values /= self.world

    def gather(self, value: Any) -> list[Any]:
        """Every rank's `value`, in the order of the ranks."""
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def share(self, value: Any) -> Any:
        """Rank 0's `value`."""
        values = [value]
        dist.broadcast_object_list(values, src=0, device=self.device)
        return values[0]

    def barrier(self) -> None:
        """Wait for the others."""
        dist.barrier()


@contextmanager
def open_ranks(device: str = "auto") -> Iterator[Ranks]:
    """This process among those that torchrun started, or alone; the group is closed at the end.

    Args:
        device: "auto" (CUDA if there is one), "cpu", "cuda" or "cuda:1". Under torchrun each rank takes the
            GPU of its local rank, and gloo or NCCL is chosen by the device.

    Raises:
        InputError: the device is not there.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks(pick_device(device))
        return
    kind = pick_device(device).type
    place = (
        torch.device(kind, int(os.environ.get("LOCAL_RANK", "0"))) if kind == "cuda" else torch.device(kind)
    )
    if kind == "cuda":
        torch.cuda.set_device(place)
    store, rank, world = next(rendezvous("env://"))
    # A restarted group must not read the addresses that the one before it left in the store.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    fresh = PrefixStore(f"attempt-{attempt}", store)
    dist.init_process_group("nccl" if kind == "cuda" else "gloo", store=fresh, rank=rank, world_size=world)
    try:
        yield GroupRanks(place, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def pick_device(name: str) -> torch.device:
    """The device called `name`; "auto" is CUDA if there is one, else the CPU.

    Raises:
        InputError: the name is unknown, or the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("it computes nothing")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"accelerator={name} cannot be used ({reason}); take accelerator=cpu or auto"
        ) from None
    return device

"""Freed memory is kept, in a process of its own: the setting cannot be taken back."""

import subprocess
import sys

import pytest

from supernet.training import distributed as allocator

PROGRAM = """
import ctypes, resource, sys
from supernet.training.distributed import keep_freed_memory
kept = sys.argv[1] == "keep" and keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
def cycle(size=64 << 20):
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)
cycle()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    cycle()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode):
    done = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True, check=True)
    kept, count = done.stdout.split()
    return kept == "True", int(count)


def test_pages_are_not_mapped_again():
    kept, count = faults("keep")
    if not kept:
        pytest.skip("the allocator is not glibc's")
    assert count < 100
    assert faults("leave")[1] > 10_000


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert allocator.keep_freed_memory() is False

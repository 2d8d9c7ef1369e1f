"""Keeping freed memory for the next step."""

from __future__ import annotations

import ctypes
import sys

# mallopt parameters of glibc, <malloc.h>.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Make the C allocator of this process keep what is freed instead of handing it back to the system.

    Every step allocates and frees the same maps. glibc returns blocks above 32 MB to the system at once, so
    each step pays again for having their pages cleared and mapped, which can take longer than computing them.
    The process then stays at its peak size until it ends. Call it once, before training starts.

    Returns:
        whether it took effect; False where the allocator is not glibc's, and nothing has changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))

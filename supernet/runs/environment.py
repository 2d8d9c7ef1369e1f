"""The machine that a process runs on: cores, processor, versions."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "onnxruntime", "openvino", "numpy", "opencv-python-headless")


def usable_cores() -> set[int]:
    """The cores that this process may use; all where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def processor() -> str:
    """The processor's model, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), "") or platform.processor() or platform.machine()


def environment(threads: int | None) -> dict[str, Any]:
    """Where something is measured: processor, cores, threads, versions."""
    return {
        "processor": processor(),
        "cores": len(usable_cores()),
        "threads": threads if threads is not None else "all",
        "python": platform.python_version(),
        **{name: version for name in LIBRARIES if (version := _version(name)) is not None},
    }


def environment_line(found: Mapping[str, Any]) -> str:
    """`environment` as one line."""
    versions = ", ".join(f"{name} {found[name]}" for name in ("python", *LIBRARIES) if name in found)
    threads = f"{found['threads']} thread{'' if found['threads'] == 1 else 's'}"
    return f"{found['processor']}, {found['cores']} cores, {threads}; {versions}"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None

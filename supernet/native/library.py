"""Compiling the C++ kernels for this machine, once, and loading them."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..runs.files import atomic_path

SOURCES = ("depthwise.cpp", "norm.cpp")
HEADERS = ("vector.h",)
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared")
COMPILERS = ("c++", "g++", "clang++")
SECONDS = 120

_log = logging.getLogger(__name__)


@functools.lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The compiled kernels, or None where they cannot be had: then callers use torch.

    The first call compiles them, in a few seconds, into `$XDG_CACHE_HOME/litepose-ofa`
    (`~/.cache/litepose-ofa`); later ones, in any process, load that file. `CXX` names the compiler.
    `LITEPOSE_NATIVE=0` turns them off.
    """
    if os.environ.get("LITEPOSE_NATIVE", "1") == "0":
        return None
    compiler = find_compiler()
    if compiler is None:
        _log.warning("no C++ compiler found: training on CPU runs slower; install g++ or set CXX")
        return None
    try:
        return ctypes.CDLL(str(compile_kernels(compiler, cache_folder())))
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", None) or str(error)
        _log.warning("the C++ kernels do not compile, so training on CPU runs slower: %s", detail.strip())
        return None


def cache_folder() -> Path:
    """Where compiled kernels are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "litepose-ofa"


def find_compiler() -> str | None:
    """Path of the C++ compiler: `CXX`, or the first of the usual names."""
    names = (os.environ["CXX"],) if os.environ.get("CXX") else COMPILERS
    return next((path for path in map(shutil.which, names) if path), None)


def compile_kernels(compiler: str, folder: Path) -> Path:
    """The compiled library in `folder`, built if it is not there.

    Raises:
        OSError: the folder cannot be written.
        subprocess.SubprocessError: the compiler fails.
    """
    here = Path(__file__).parent
    target = folder / f"kernels-{_fingerprint(compiler)}.so"
    if not target.exists():
        sources = [str(here / name) for name in SOURCES]
        with atomic_path(target) as temporary:
            command = [compiler, *FLAGS, "-fopenmp", *sources, "-o", str(temporary)]
            try:
                _run(command)
            except subprocess.CalledProcessError:
                # Some compilers come without OpenMP; one thread is still faster than none.
                _run([part for part in command if part != "-fopenmp"])
    return target


def _run(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS).stdout


def _fingerprint(compiler: str) -> str:
    """Changes with sources, compiler and processor: a home folder may be shared by several machines."""
    here = Path(__file__).parent
    parts = [(here / name).read_text() for name in (*SOURCES, *HEADERS)]
    parts += [*FLAGS, _run([compiler, "--version"]), platform.machine(), _processor()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))

"""The one way in for files: regular ones only, within bounds that the user can raise.

Exported folders take this module along; it needs nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import stat
from typing import Any

from ..errors import InputError

# What one file may take, by the environment variable that raises it.
BOUNDS = {"LITEPOSE_MAX_BYTES": 2**30, "LITEPOSE_MAX_PIXELS": 200_000_000, "LITEPOSE_MAX_HEADER": 2**24}
# Packed data may unpack to so many times its size, or to so many bytes: bombs reach a thousand times.
_UNPACKED, _SMALL = 50, 2**24


def check_bound(name: str, needed: int, what: str) -> None:
    """Raise InputError if `what` needs more than the bound `name` (a key of `BOUNDS`) allows.

    Raises:
        InputError: it does, or the environment variable is no number.
    """
    text = os.environ.get(name, "")
    if text and not text.isdecimal():
        raise InputError(f"{name}={text} must be a whole number")
    bound = int(text or BOUNDS[name])
    if needed > bound:
        kind = "pixels" if name.endswith("PIXELS") else "bytes"
        raise InputError(
            f"{what} has {needed:,} {kind}, more than {bound:,}; if that is right, set {name}={needed}"
        )


def check_unpacked(packed: int, unpacked: int, what: str) -> None:
    """Raise InputError if data of `packed` bytes become too many, `unpacked` so far."""
    check_bound("LITEPOSE_MAX_BYTES", unpacked, f"{what}, unpacked,")
    if unpacked > max(_SMALL, _UNPACKED * packed):
        raise InputError(
            f"{what} unpacks to more than {_UNPACKED} times its size, as nothing of this kind does; "
            "unpack it yourself if it can be trusted"
        )


def read_bytes(path: str | os.PathLike[str], what: str = "file", size: int = -1) -> bytes:
    """The bytes of the regular file `path`, only its first `size` ones if `size` >= 0.

    Raises:
        InputError: it is missing, no regular file (a pipe would wait, a device never end), larger than
            LITEPOSE_MAX_BYTES allows, or cannot be read.
    """
    try:
        about = os.stat(path)
        if not stat.S_ISREG(about.st_mode):
            kind = "a folder" if stat.S_ISDIR(about.st_mode) else "no regular file"
            raise InputError(f"{what} {os.fspath(path)} cannot be read: it is {kind}")
        if size < 0:
            check_bound("LITEPOSE_MAX_BYTES", about.st_size, f"{what} {os.fspath(path)}")
        with open(path, "rb") as stream:
            return stream.read(size)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{what} {os.fspath(path)} does not exist; check the path") from None
    except InputError:  # a ValueError
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{what} {os.fspath(path)} cannot be read: {error}") from None


def one_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of a JSON text, as `object_pairs_hook`: of a doubled key the last would silently win.

    Raises:
        ValueError: a key is there twice.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} is there more than once")
    return found


def check_tensors(path: str | os.PathLike[str]) -> None:
    """Raise InputError if the header of a safetensors file, which is read whole, is too large.

    Raises:
        InputError: it is, or the file is no regular one.
    """
    size = int.from_bytes(read_bytes(path, "weights", 8), "little")
    if size < os.path.getsize(path):  # else it is cut or no such file, as the library will say
        check_bound("LITEPOSE_MAX_HEADER", size, f"the header of {os.fspath(path)}")


def tensors_about(path: str | os.PathLike[str], key: str) -> dict[str, Any]:
    """The JSON object that a safetensors file keeps beside its tensors under `key`, without reading those.

    Raises:
        InputError: it has none, or is no such file.
    """
    check_tensors(path)
    try:
        size = int.from_bytes(read_bytes(path, "weights", 8), "little")
        if size >= os.path.getsize(path):
            raise ValueError("it is cut, or no safetensors file")
        header = json.loads(read_bytes(path, "weights", 8 + size)[8:])
        found = json.loads(header["__metadata__"][key], object_pairs_hook=one_key_once)
        if not isinstance(found, dict):
            raise ValueError(f"its {key} is no object")
    except (KeyError, TypeError):
        raise InputError(f"{os.fspath(path)} holds no {key}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{os.fspath(path)} cannot be read: {error}") from None
    return found

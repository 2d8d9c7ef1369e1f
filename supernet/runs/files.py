"""Reading and writing files: atomic writes, and one clear line for what cannot be read."""

from __future__ import annotations

import contextlib
import errno
import glob
import gzip
import io
import json
import logging
import os
import re
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError, shown
from .reading import check_unpacked, one_key_once, read_bytes

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_LOG = logging.getLogger(__name__)
# How unfinished files and folders are named: hidden, after what they are to become.
_UNFINISHED = re.compile(r"\..+\.part-\w{8}(\.\w+)?")
# The disk is full, or a quota or file size limit was hit.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary sibling of `path` to write to; renamed over `path` when the block ends well.

    A crash, a full disk or an exception leaves the old file as it was and no litter; what a SIGKILL leaves
    is removed by `remove_litter`.

    Raises:
        InputError: `path` is a folder.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{target} is a folder where a file is to be written; move it away")
    target.parent.mkdir(parents=True, exist_ok=True)
    handle = -1
    while handle < 0:
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.name}.part-", suffix=target.suffix
        )
        handle = _held(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush_to_disk(temporary)
        # mkstemp makes files private; give them the mode that open() would have given.
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def _held(descriptor: int) -> int:
    """Lock something unfinished for as long as it is open; -1 if another process has just removed it."""
    if fcntl is not None:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not os.fstat(descriptor).st_nlink:
            os.close(descriptor)
            return -1
    return descriptor


def remove_litter(folder: Path, pattern: str = "**/.*") -> None:
    """Remove the unfinished files and folders in `folder` whose writers are dead: nobody holds their lock."""
    for path in list(folder.glob(pattern)) if fcntl is not None else ():
        if not _UNFINISHED.fullmatch(path.name) or path.is_symlink():
            continue
        if not (path.is_file() or path.is_dir()):  # opening a pipe would wait for its other end
            continue
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def clear_when_full(advice: Callable[[], str]) -> Iterator[None]:
    """Turn the error of a full disk into one line that ends in `advice()`.

    Raises:
        InputError: the disk is full, or a quota or file size limit was hit.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise InputError(f"nothing more can be written ({error.strerror}); {advice()}") from None


@contextlib.contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary sibling of `path` to fill; renamed to `path` when the block ends well.

    `path` appears with all its files or not at all.

    Raises:
        InputError: `path` exists already, or cannot be made.
    """
    target = Path(path)
    if target.exists() or target.is_symlink():
        raise InputError(f"folder {target} exists already; nothing was written, choose another name")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_litter(target.parent, f".{glob.escape(target.name)}.part-*")
        handle = -1
        while handle < 0:
            temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.part-"))
            try:
                handle = _held(os.open(temporary, os.O_RDONLY))
            except FileNotFoundError:  # another start took it for litter
                continue
            except PermissionError:  # Windows opens no folders
                handle = os.open(os.devnull, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"folder {target} cannot be made: {error}") from None
    try:
        yield temporary
        for entry in (*temporary.rglob("*"), temporary):
            _flush_to_disk(entry)
        temporary.chmod(0o777 & ~_umask())
        try:
            os.rename(temporary, target)
        except OSError as error:
            raise InputError(f"folder {target} cannot be made: {error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(handle)


def _flush_to_disk(path: Path) -> None:
    """A folder is not flushed where the system cannot open one (Windows), which also wants files writable."""
    try:
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically.

    Raises:
        InputError: it holds what UTF-8 cannot, as names of files in another encoding do.
    """
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        part = ascii(text[max(0, error.start - 40) : error.end + 40])
        raise InputError(f"{path} cannot be written: {part} is no UTF-8; rename what is called so") from None
    write_bytes(path, data)


def write_json(path: str | os.PathLike[str], value: Any, *, indent: int | None = 1) -> None:
    """Write `value` as JSON to `path` atomically."""
    write_text(path, json.dumps(value, indent=indent) + "\n")


def write_yaml(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as YAML to `path` atomically, keys in their given order."""
    write_text(path, yaml.safe_dump(value, sort_keys=False, default_flow_style=None, width=110))


# Values of a YAML file with all its aliases written out.
_YAML_VALUES = 100_000


def read_text(path: str | os.PathLike[str], what: str = "file") -> str:
    """The text of `path` (`.gz` is unpacked).

    Raises:
        InputError: as `read_bytes`, and for what is not text.
    """
    data = read_bytes(path, what)
    try:
        return (_gunzip(data, f"{what} {path}") if Path(path).suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{what} {path} cannot be read: {error}") from None


def _gunzip(data: bytes, what: str) -> bytes:
    parts: list[bytes] = []
    found = 0
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        while part := stream.read(2**20):
            found += len(part)
            check_unpacked(len(data), found, what)
            parts.append(part)
    return b"".join(parts)


def is_json(path: str | os.PathLike[str]) -> bool:
    """Whether a file is JSON by its name, compressed or not."""
    return Path(path).name.endswith((".json", ".json.gz"))


def read_json(path: str | os.PathLike[str], what: str = "JSON file") -> Any:
    """The value in the JSON file `path` (`.json` or `.json.gz`).

    Raises:
        InputError: the file is missing, unreadable, or no JSON.
    """
    data = read_bytes(path, what)
    try:
        data = _gunzip(data, f"{what} {path}") if Path(path).suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{what} {path} cannot be read: {error}") from None
    return parse_json(data, f"{what} {path}")


def decoded(data: bytes, what: str) -> str:
    """A text in UTF-8, 16 or 32, with a mark or without; else in Latin-1, as older Windows tools write it."""
    try:
        return data.decode(json.detect_encoding(data))
    except UnicodeDecodeError:
        _LOG.warning("%s is not in UTF-8; it was read as Latin-1", what)
        return data.decode("latin-1")


def parse_json(data: bytes, what: str) -> Any:
    """The value in JSON text, in one of the encodings of `decoded`.

    Raises:
        InputError: it is no JSON, or a key is there twice.
    """
    try:
        return json.loads(decoded(data, what), object_pairs_hook=one_key_once)
    except json.JSONDecodeError as error:
        raise InputError(f"{what} is not valid JSON ({error}); is it truncated?") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} is not valid JSON ({error})") from None


class _OneKeyOnce(yaml.SafeLoader):
    """YAML without code, and without keys that a later line silently replaces."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        for key, count in Counter(keys).items():
            if count > 1:
                raise ValueError(f"key {key!r} is there more than once")
        return super().construct_mapping(node, deep)

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _values(node, {}) > _YAML_VALUES:
            raise ValueError(f"its aliases stand for more than {_YAML_VALUES:,} values")
        return node


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node has with all aliases written out; more than can be if it holds itself."""
    if id(node) not in known:
        known[id(node)] = _YAML_VALUES + 1
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        flat = [part for item in parts for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_values(part, known) for part in flat)
    return known[id(node)]


def check_settings(text: str, what: str) -> None:
    """Raise InputError if YAML that Hydra will read holds no keys, or aliases for too many values."""
    try:
        node = yaml.compose(text, _OneKeyOnce)
    except yaml.YAMLError:
        return  # who reads it will say so
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} is not valid YAML ({error})") from None
    if isinstance(node, yaml.ScalarNode) and node.value:
        raise InputError(f"{what} holds no settings, only {shown(node.value)}; write key: value")


def read_yaml(path: str | os.PathLike[str], what: str = "YAML file") -> Any:
    """The value in the YAML file `path`, read without running code.

    Raises:
        InputError: the file is missing, unreadable, or no YAML.
    """
    return parse_yaml(read_text(path, what), f"{what} {path}")


def parse_yaml(text: str, what: str) -> Any:
    """The value in YAML text, without running code.

    Raises:
        InputError: it is no YAML.
    """
    try:
        return yaml.load(text, _OneKeyOnce)
    except Exception as error:  # values of a wrong form (a date 2020-13-45, `!!int x`) fail in many ways
        line = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{what} is not valid YAML ({line})") from None


def remove_if_empty(folder: Path) -> None:
    """Hydra makes the run folder before the command starts; an empty one is nothing to protect.

    Commands that only print have the current folder for theirs; that one stays.
    """
    if folder.resolve() == Path.cwd():
        return
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()

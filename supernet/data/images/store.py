"""Reading a data set's files from a folder, from a zip, or from zips that lie in the folder."""

from __future__ import annotations

import builtins
import logging
import os
import posixpath
import threading
import unicodedata
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import InputError
from ...runs.reading import check_unpacked, read_bytes

_LOG = logging.getLogger(__name__)


class Store:
    """Read-only access to the files under `root` by their relative name, such as `images/1.jpg`.

    `root` is a folder or a .zip; in a folder, names that are no files are looked up in the zips beside
    them, so that downloads work as they come (`images.zip`, `train2017.zip`, ...). Zip members are read
    without extraction. Safe to pickle, and to use from several threads and processes at once.

    Raises:
        InputError: `root` does not exist, or a zip in it cannot be read.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        if not os.path.exists(self.root):  # of names that are too long as well
            raise InputError(
                f"data folder {self.root} does not exist; set data.root to the data set's folder or zip"
            )
        zips = [self.root] if self.root.is_file() else sorted(self.root.glob("*.zip"))
        self._zips = tuple(str(path) for path in zips)
        self._folders: dict[str, dict[str, builtins.list[str]]] = {}
        self._members: dict[str, tuple[int, str]] = {}
        for index, path in enumerate(zips):
            self._index(index, path)
        self._places = {member.rpartition("/")[0] for member in self._members}
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._handles: dict[int, zipfile.ZipFile] = {}

    def part(self, name: str) -> tuple[Store, str]:
        """The store of a folder or zip in which file `name` lies, and what it is called there."""
        return self, name

    def exists(self, name: str) -> bool:
        """Whether there is a file `name`."""
        return name in self._members or os.path.exists(self._file(name))

    def alike(self, name: str) -> str | None:
        """The only file there whose name is `name` but for capitals, accents (NFC, NFD) and `%20`, if any."""
        folder, slash, last = name.rpartition("/")
        if slash and not folder:
            return None
        if folder not in self._folders:
            here = self._file(folder)
            found = {path.name for path in here.iterdir()} if os.path.isdir(here) else set()
            members = self._members if folder in self._places else ()
            found |= {PurePosixPath(member).name for member in members if member.rpartition("/")[0] == folder}
            known: dict[str, builtins.list[str]] = {}
            for one in found:
                known.setdefault(_loose(one), []).append(one)
            self._folders[folder] = known
        names = self._folders[folder].get(_loose(last), [])
        return f"{folder}{slash}{names[0]}" if len(names) == 1 else None

    def list(self, folder: str) -> list[str]:
        """The names of the files in `folder` ("": the root) and below it, sorted."""
        start = folder.rstrip("/") + "/" if folder else ""
        here = self._file(folder)
        files = (path for path in here.rglob("*") if path.is_file()) if os.path.isdir(here) else ()
        found = {path.relative_to(self.root).as_posix() for path in files}
        return sorted(found | {name for name in self._members if name.startswith(start)})

    def describe(self, name: str) -> str:
        """`name` as a path that a person can find: `root/name`, or `archive.zip:member`."""
        if name in self._members and not os.path.isfile(self._file(name)):
            archive, member = self._members[name]
            return f"{self._zips[archive]}:{member}"
        return str(self._file(name))

    def read(self, name: str, size: int = -1) -> bytes:
        """The bytes of file `name`; only its first `size` ones when `size` >= 0.

        Raises:
            InputError: the file is missing or cannot be read (a zip member read whole is checked by CRC).
        """
        try:
            file = self._file(name)
            if name in self._members and not os.path.isfile(file):
                return self._read_member(name, size)
            return read_bytes(file, "file", size)
        except (
            OSError,
            EOFError,
            zipfile.BadZipFile,
            zlib.error,
            RuntimeError,
            NotImplementedError,
        ) as error:
            raise InputError(f"{self.describe(name)} cannot be read: {error}") from None

    def _file(self, name: str) -> Path:
        if self.root.is_file():
            return Path(os.devnull) / name  # a zip has no folder to look into
        return self.root / name

    def _index(self, index: int, path: Path) -> None:
        read_bytes(path, "zip", 0)  # no pipe is waited for, no device read
        try:
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if not name.endswith("/")]
        except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
            raise InputError(f"{path} is not a readable zip file ({error}); is it truncated?") from None
        for name in names:
            self._members.setdefault(name, (index, name))
        for name in names:  # a zip made of the whole folder, or of the bare files of one folder
            inner = "/".join(PurePosixPath(name).parts[1:])
            if inner:
                self._members.setdefault(inner, (index, name))
            self._members.setdefault(f"{path.stem}/{name}", (index, name))

    def _read_member(self, name: str, size: int) -> bytes:
        index, member = self._members[name]
        if self._owner != os.getpid():
            # A forked child must not share file offsets with its parent, nor a lock that a thread held there.
            self._lock, self._handles, self._owner = threading.Lock(), {}, os.getpid()
        with self._lock:
            if index not in self._handles:
                self._handles[index] = zipfile.ZipFile(self._zips[index])
            archive = self._handles[index]
        about = archive.getinfo(member)
        check_unpacked(about.compress_size, about.file_size, self.describe(name))
        with archive.open(member) as stream:
            return stream.read(size)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_owner": 0, "_handles": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def _loose(name: str) -> str:
    return unicodedata.normalize("NFC", urllib.parse.unquote(name)).casefold()


class Stores(Store):
    """Several stores as one: `name/file` is `file` of the store `name`."""

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self._stores = dict(stores)

    def part(self, name: str) -> tuple[Store, str]:
        key, _, file = name.partition("/")
        return self._stores[key], file

    def exists(self, name: str) -> bool:
        store, file = self.part(name)
        return store.exists(file)

    def describe(self, name: str) -> str:
        store, file = self.part(name)
        return store.describe(file)

    def alike(self, name: str) -> str | None:
        store, file = self.part(name)
        found = store.alike(file)
        return None if found is None else f"{name.partition('/')[0]}/{found}"

    def read(self, name: str, size: int = -1) -> bytes:
        store, file = self.part(name)
        return store.read(file, size)

    def list(self, folder: str) -> list[str]:
        store, file = self.part(folder)
        return [f"{folder.partition('/')[0]}/{found}" for found in store.list(file)]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__


class Pictures:
    """Where the pictures that annotations name lie in a store.

    A name is taken as it is written, below one of the image folders; failing that from the folder of the
    annotation file; then the longest of its ends that is a file in the data set. The last part alone counts
    only where it tells all pictures apart, and as a guess. Outside of the data set are only files that an
    absolute path or one from the annotation file leads to.

    Attributes:
        tells: whether to warn of the first guess.
    """

    def __init__(
        self, store: Store, folders: Sequence[str], beside: Sequence[str], names: Sequence[str]
    ) -> None:
        """`folders` and `beside` as of `layouts.Split`; `names` are those of all pictures."""
        self._store = store
        self._folders = (*folders, *beside)
        self._beside = tuple(beside)
        self._by_last = len({name.rpartition("/")[2] for name in names}) == len(names)
        self._found: dict[str, tuple[str, bool]] = {}
        self.tells = False

    def find(self, name: str) -> tuple[str, bool]:
        """Where the picture lies, or should; and whether only its last name told."""
        if name not in self._found:
            stages = [places for places in self._stages(name) if places]
            last = name.rpartition("/")[2]
            guesses = [f"{folder}/{last}" for folder in self._folders] if self._by_last else []
            for guessed, places in [(False, places) for places in stages] + [(True, guesses)]:
                there = next((place for place in places if self._store.exists(place)), None)
                there = there or next(filter(None, map(self._store.alike, places)), None)
                if there:
                    self._found[name] = (there, guessed)
                    if guessed and self.tells:
                        self.tells = False
                        _LOG.warning(
                            "%s is not where its file_name says: %s is taken, and so for others by their "
                            "last names (data.verify=headers counts them)",
                            name,
                            self._store.describe(there),
                        )
                    break
            else:
                return next(iter(stages), guesses or [name])[0], False
        return self._found[name]

    def _stages(self, name: str) -> Iterator[list[str]]:
        """Places of which all of one list are better than those of the next."""
        folders = self._folders
        parts = name.split("/")
        if os.path.isabs(name) or (".." not in parts and not parts[0].endswith(":")):
            yield [f"{folder}/{name}" for folder in folders if not os.path.isabs(name)] + [name]
        elif ".." in parts:
            yield [place for folder in self._beside if (place := self._from(folder, name))]
        if not folders:  # the names are those of the store
            return
        while ".." in parts:
            parts = parts[parts.index("..") + 1 :]
        parts = [part for part in parts if part and not part.endswith(":")]
        for first in range(len(parts) - 1):
            end = "/".join(parts[first:])
            yield [*(f"{folder}/{end}" for folder in folders), end]

    def _from(self, folder: str, name: str) -> str | None:
        """Where a path leads from `folder`: out of a data set that is a folder, too, not out of a zip."""
        place = posixpath.normpath(f"{folder}/{name}")
        if not place.startswith("../"):
            return place
        return os.path.abspath(self._store.root / place) if self._store.root.is_dir() else None

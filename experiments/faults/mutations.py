"""Seeded damage: to any bytes, to the values of a document, and to what is packed inside a file.

Every function takes a `numpy.random.Generator` first and draws from nothing else.
"""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

Rng = np.random.Generator
MARKER = "CODE_WAS_RUN"
DEEP = 100_000
BOMB_BYTES = 3 << 30


class Evil:
    """Runs a command when it is unpickled: nothing here may ever do so."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {MARKER}",)


def junk(rng: Rng, old: Any = None) -> Any:
    """A value that does not belong: of a wrong type, out of range, or close to the old one."""
    wrong = [
        None, "", "x", "nan", [], {}, [1], [[]], {"id": 1}, True, False, 0, -1, 1, 3, 0.5, -0.0, 1e-300,
        10**6, 2**31, 2**63, 10**30, 1e300, float("nan"), float("inf"), float("-inf"), "x" * 300, "../../x",
        "/dev/zero", "a\x00b", "\ud7ff\U0001f600", "${oc.env:HOME}", [None] * 3, nested(60), [0] * 5000,
    ]  # fmt: skip
    near = []
    if isinstance(old, bool):
        near = [not old, int(old), str(old)]
    elif isinstance(old, int | float):
        near = [-old, old + 1, old * 10, float(old), str(old), [old]]
    elif isinstance(old, str):
        near = [old.upper(), old[: len(old) // 2], old + " ", [old], {old: old}, old[::-1]]
    elif isinstance(old, list):
        near = [old[:-1], old + old, old[::-1], dict(enumerate(map(str, range(len(old))))), old * 50]
    elif isinstance(old, dict):
        near = [
            list(old),
            list(old.values()),
            {**old, "unknown": 1},
            {str(k).upper(): v for k, v in old.items()},
        ]
    choices = near if near and rng.random() < 0.4 else wrong
    return copy.deepcopy(choices[rng.integers(len(choices))])


def nested(depth: int) -> list[Any]:
    """Lists within lists."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def places(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, inner in items:
        found.append((*prefix, key))
        found += places(inner, (*prefix, key))
    return found


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def pick(rng: Rng, items: Any) -> Any:
    return items[int(rng.integers(len(items)))]


def document(rng: Rng, value: Any) -> tuple[Any, str]:
    """`value` with one thing wrong, and what that is."""
    value = copy.deepcopy(value)
    known = places(value)
    if not known or rng.random() < 0.03:
        return junk(rng, value), "the whole replaced"
    # Shallow places matter as much as the many deep ones.
    depth = int(rng.integers(1, 1 + max(map(len, known))))
    path = pick(rng, [place for place in known if len(place) == depth])
    holder, last = at(value, path[:-1]), path[-1]
    where = ".".join(map(str, path))
    kind = int(rng.integers(8))
    if kind == 0:
        del holder[last]
        return value, f"{where} deleted"
    if kind == 1 and isinstance(holder, dict):
        holder[f"{last}_"] = holder.pop(last)
        return value, f"{where} renamed"
    if kind == 2 and isinstance(holder, list):
        holder.insert(last, copy.deepcopy(holder[last]))
        return value, f"{where} doubled"
    if kind == 3:
        other = pick(rng, known)
        holder[last] = copy.deepcopy(at(value, other))
        return value, f"{where} replaced by {'.'.join(map(str, other))}"
    if kind == 4 and isinstance(holder, dict):
        holder[pick(rng, ["extra", "schema", "", "__class__", "_target_", 7])] = junk(rng)
        return value, f"a key added beside {where}"
    holder[last] = junk(rng, holder[last])
    return value, f"{where} replaced by {str(holder[last])[:40]}"


def raw(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """`data` with its bytes damaged."""
    size, out = len(data), bytearray(data)
    where = int(rng.integers(size)) if size else 0
    # Half of the time near the front, where headers are.
    if rng.random() < 0.5:
        where = min(where, int(rng.integers(1, 200)))
    kind = int(rng.integers(10))
    if kind == 0 or not size:
        return b"", "empty"
    if kind == 1:
        return bytes(out[:where]), f"cut at {where}"
    if kind == 2:
        count = int(rng.integers(1, 40))
        del out[where : where + count]
        return bytes(out), f"{count} bytes removed at {where}"
    if kind == 3:
        out[where:where] = rng.bytes(int(rng.integers(1, 40)))
        return bytes(out), f"bytes inserted at {where}"
    if kind == 4:
        out[where : where + 64] = bytes(len(out[where : where + 64]))
        return bytes(out), f"zeros at {where}"
    if kind == 5:
        return rng.bytes(min(size, 4096)), "random bytes"
    if kind == 6:
        return bytes(out) + bytes(out[where:]), f"its end from {where} doubled"
    for spot in {where, *(int(rng.integers(size)) for _ in range(int(rng.integers(0, 3))))}:
        out[spot] ^= 1 << int(rng.integers(8))
    return bytes(out), f"bits flipped, the first at {where}"


def of_bytes(damage: str) -> bool:
    """Whether what `raw` (or a flipped bit of a tensor) did is meant."""
    return (
        re.match(r"cut at|bits flipped|zeros at|\d+ bytes removed|bytes inserted|its end|a bit of", damage)
        is not None
    )


def text(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """A text file in another encoding or with marks that do not belong."""
    written = data.decode("utf-8")
    lines = written.splitlines(keepends=True) or [""]
    row = int(rng.integers(len(lines)))
    kind = int(rng.integers(11))
    if kind == 0:
        return written.encode("utf-16"), "utf-16"
    if kind == 1:
        return written.encode("utf-8-sig"), "a byte order mark"
    if kind == 2:
        return written.replace("\n", "\r\n").encode(), "CRLF"
    if kind == 3:
        return ("caf\xe9" + written).encode("latin-1", "replace"), "latin-1"
    if kind == 4:
        return written.encode("utf-32"), "utf-32"
    if kind == 5:
        lines.insert(row, lines[row])
        return "".join(lines).encode(), f"line {row} doubled"
    if kind == 6:
        lines[row] = (
            pick(rng, ["\t", "]", "}", "%", "*a", "&a", "!!python/name:os.system ", "- ", "? "]) + lines[row]
        )
        return "".join(lines).encode(), f"a mark before line {row}"
    if kind == 7:
        del lines[row]
        return "".join(lines).encode(), f"line {row} removed"
    if kind == 8:
        other = int(rng.integers(len(lines)))
        lines[row], lines[other] = lines[other], lines[row]
        return "".join(lines).encode(), f"lines {row} and {other} exchanged"
    if kind == 9:
        opening = pick(rng, ["[", '{"a":', "- "])
        return (opening * DEEP).encode(), f"{opening} without end"
    lines[row] = lines[row].replace(
        pick(rng, list(lines[row]) or [" "]), pick(rng, ["\x00", '"', ":", "é", "9" * 400]), 1
    )
    return "".join(lines).encode("utf-8", "replace"), f"a sign in line {row} replaced"


def doubled_key(rng: Rng, value: Any) -> tuple[str, str]:
    """JSON in which one key is there twice, with two values."""
    spots = [place for place in places(value) if isinstance(at(value, place[:-1]), dict)]
    if not spots:
        return json.dumps([value, value]), "the whole doubled"
    path = pick(rng, spots)
    token = "\x01here\x01"
    changed = copy.deepcopy(value)
    holder, last = at(changed, path[:-1]), path[-1]
    old = holder[last]
    new = old + 1 if isinstance(old, int | float) and not isinstance(old, bool) else junk(rng, old)
    holder[last] = token
    mark = json.dumps(token)
    both = [json.dumps(old), json.dumps(new)]
    return json.dumps(changed).replace(mark, f"{both[0]}, {json.dumps(str(last))}: {both[1]}"), (
        f"key {'.'.join(map(str, path))} doubled"
    )


def json_file(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """A JSON file: its values, its keys, its text or its bytes."""
    draw = rng.random()
    if draw < 0.2:
        return raw(rng, data)
    if draw < 0.3:
        return text(rng, data)
    value = json.loads(data)
    if draw < 0.4:
        new, what = doubled_key(rng, value)
        return new.encode(), what
    value, what = document(rng, value)
    return json.dumps(value).encode("utf-8", "surrogatepass"), what


def yaml_file(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """A YAML file: its values, its text, its bytes, or what YAML alone can do."""
    draw = rng.random()
    if draw < 0.15:
        return raw(rng, data)
    if draw < 0.4:
        return text(rng, data)
    if draw < 0.5:
        return yaml_attack(rng, data)
    value, what = document(rng, yaml.safe_load(data))
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).encode("utf-8", "surrogatepass"), what


def yaml_attack(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """Tags that run code, aliases that grow, and values that only YAML has."""
    keys = list(yaml.safe_load(data))
    key = pick(rng, keys)
    rows = [f"a0: &a0 [{', '.join('x' * 9)}]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    attacks = {
        "a tag that runs code": f'{key}: !!python/object/apply:os.system ["touch {MARKER}"]\n',
        "a tag that names code": f"{key}: !!python/name:os.system\n",
        "aliases that grow": "\n".join(rows) + f"\n{key}: *a9\n",
        "an alias of itself": f"{key}: &self [*self]\n",
        "a date that is none": f"{key}: 2020-13-45\n",
        "_target_": f"{key}: {{_target_: os.system, command: touch {MARKER}}}\n",
        "an environment variable": f"{key}: ${{oc.env:HOME}}\n",
        "an unknown tag": f"{key}: !unknown 3\n",
        "several documents": "---\na: 1\n---\nb: 2\n",
        "octal and sexagesimal": f"{key}: 0o17\nother: 190:20:30\n",
    }
    name = pick(rng, sorted(attacks))
    rest = yaml.safe_dump({k: v for k, v in yaml.safe_load(data).items() if k != key}, sort_keys=False)
    return (rest + attacks[name]).encode(), name


def json_lines(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """A file of one JSON value a line: bytes, lines, or one line's value."""
    draw = rng.random()
    if draw < 0.2:
        return raw(rng, data)
    lines = data.splitlines(keepends=True)
    row = int(rng.integers(len(lines)))
    if draw < 0.35:
        kind = int(rng.integers(4))
        if kind == 0:
            del lines[row]
        elif kind == 1:
            lines.insert(row, lines[row])
        elif kind == 2:
            lines.insert(int(rng.integers(len(lines))), lines.pop(row))
        else:
            lines = lines[:row]
        return b"".join(lines), f"line {row} {('removed', 'doubled', 'moved', 'and all after it cut')[kind]}"
    if draw < 0.42:
        return text(rng, data)
    value = json.loads(lines[row])
    if draw < 0.5:
        new, what = doubled_key(rng, value)
    else:
        changed, what = document(rng, value)
        new = json.dumps(changed)
    lines[row] = new.encode("utf-8", "surrogatepass") + b"\n"
    return b"".join(lines), f"line {row}: {what}"


def table(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """A CSV file (its first line may be JSON after `#`): cells, rows, columns, text or bytes."""
    draw = rng.random()
    if draw < 0.2:
        return raw(rng, data)
    if draw < 0.35:
        return text(rng, data)
    lines = data.decode().splitlines()
    row = int(rng.integers(len(lines)))
    if lines[0].startswith("#") and (row == 0 or rng.random() < 0.2):
        value, what = document(rng, json.loads(lines[0][1:]))
        lines[0] = "#" + json.dumps(value)
        return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass"), f"head: {what}"
    if draw < 0.5:
        lines[row : row + 1] = pick(rng, [[], [lines[row]] * 2, ["", lines[row]], [lines[row] + ",1"]])
        return ("\n".join(lines) + "\n").encode(), f"row {row} removed, doubled or longer"
    cells = lines[row].split(",")
    column = int(rng.integers(len(cells)))
    cells[column] = str(
        pick(rng, ["", "x", "nan", "inf", "-1", "0", "1e300", "9" * 400, "1.5", '"', "\x00", "3;4"])
    )
    lines[row] = ",".join(cells)
    return ("\n".join(lines) + "\n").encode(), f"row {row} column {column}: {cells[column][:20]!r}"


def safetensors(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """A safetensors file: bytes, its header's values, or a description inside its metadata."""
    draw = rng.random()
    if draw < 0.3:
        return raw(rng, data)
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    if draw < 0.38:
        spot = int(rng.integers(len(body)))
        return data[: 8 + length + spot] + bytes([body[spot] ^ 64]) + body[
            spot + 1 :
        ], f"a bit of a tensor at {spot}"
    if draw < 0.43:
        huge = pick(rng, [2**40, 2**63, 63 << 20, 0, 1])
        return struct.pack("<Q", huge) + data[8:], f"header length {huge}"
    texts = [key for key, value in header.get("__metadata__", {}).items() if value[:1] == "{"]
    if texts and draw < 0.85:
        key = pick(rng, texts)
        inner = json.loads(header["__metadata__"][key])
        if rng.random() < 0.15:
            header["__metadata__"][key], what = doubled_key(rng, inner)
        else:
            changed, what = document(rng, inner)
            header["__metadata__"][key] = json.dumps(changed)
    else:
        header, what = document(rng, header)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body, f"header: {what}"


def torch_file(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """A .pth of named tensors: bytes, names, shapes, values, or a pickle that runs code."""
    import torch

    draw = rng.random()
    if draw < 0.35:
        return raw(rng, data)
    value = torch.load(io.BytesIO(data), weights_only=True)
    name = pick(rng, sorted(value))
    kind = int(rng.integers(9))
    if kind == 0:
        del value[name]
    elif kind == 1:
        value[name + "_"] = value.pop(name)
    elif kind == 2:
        value[name] = value[name].reshape(-1)[:-1]
    elif kind == 3:
        value[name] = value[name].double() * float("nan")
    elif kind == 4:
        value[name] = pick(rng, [None, "x", 3, [1, 2], {"a": 1}, value[name].to(torch.complex64)])
    elif kind == 5:
        value = pick(rng, [[value], {"state_dict": value}, {"model": value}, {}, 3, {3: value[name]}])
    elif kind == 6:
        value[name] = Evil()
    elif kind == 7:
        return pickle.dumps({"state_dict": Evil()}), "a bare pickle that runs code"
    else:
        value[name] = torch.zeros(1).expand(1 << 34)
    stream = io.BytesIO()
    torch.save(value, stream)
    what = (
        "deleted",
        "renamed",
        "shorter",
        "NaN",
        "of another type",
        "whole wrapped",
        "runs code",
        "",
        "16 G long",
    )
    return stream.getvalue(), f"{name} {what[kind]}"


def numpy_file(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """An .npz: bytes, or one of its arrays."""
    if rng.random() < 0.45:
        return raw(rng, data)
    with np.load(io.BytesIO(data)) as file:
        arrays = {name: file[name] for name in file.files}
    name = pick(rng, sorted(arrays))
    old = arrays[name]
    kind = int(rng.integers(8))
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[name] = old[:-1] if old.ndim else old
    elif kind == 2:
        arrays[name] = old.astype(str)
    elif kind == 3:
        arrays[name] = old.astype(float) * np.nan if old.dtype.kind in "iuf" else old.ravel()
    elif kind == 4:
        arrays[name] = -old if old.dtype.kind in "if" else old.reshape(-1)
    elif kind == 5:
        arrays[name] = old[..., None]
    elif kind == 6:
        arrays[name] = np.array([Evil()], dtype=object)
    else:
        arrays[name] = np.concatenate([old, old]) if old.ndim else old[None]
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    what = ("deleted", "shorter", "as text", "NaN", "negated", "of one axis more", "objects", "doubled")[kind]
    return stream.getvalue(), f"{name} {what}"


def zip_file(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """A zip: bytes, members that lie, climb out, grow or are there twice."""
    if rng.random() < 0.5:
        return raw(rng, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = pick(rng, sorted(members))
    kind = int(rng.integers(7))
    extra: list[tuple[str, bytes]] = []
    if kind == 0:
        del members[name]
    elif kind == 1:
        members[f"../../{name}"] = members.pop(name)
    elif kind == 2:
        members[name], _ = raw(rng, members[name])
    elif kind == 3:
        extra = [(name, b"another")]
    elif kind == 4:
        members[name] = b""
    elif kind == 5:
        members[name] = bytes(1 << 20)
    else:
        members = {name: members[name]}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        import warnings

        warnings.simplefilter("ignore")
        for member, content in (*members.items(), *extra):
            archive.writestr(member, content)
        if kind == 5:
            grown = zlib.compressobj(9, zlib.DEFLATED, -15)
            del grown
    what = ("deleted", "climbs out", "damaged", "there twice", "empty", "zeros", "alone")[kind]
    return stream.getvalue(), f"{name} {what}"


def picture(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """A picture: bytes, or one of another kind, depth, size or promise."""
    import cv2

    if rng.random() < 0.65:
        return raw(rng, data)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    kind = int(rng.integers(9))

    def encoded(suffix: str, value: Any) -> bytes:
        return cv2.imencode(suffix, value)[1].tobytes()

    if kind == 0:
        return encoded(".png", image.astype(np.uint16) * 257), "a PNG of 16 bits"
    if kind == 1:
        return encoded(".png", image[..., 0]), "a grey PNG"
    if kind == 2:
        return encoded(".png", np.dstack([image, image[..., :1]])), "a PNG with alpha"
    if kind == 3:
        return png_bomb(int(rng.integers(20_000, 60_000))), "a PNG of thousands of megapixels"
    if kind == 4:
        return encoded(".jpg", image[:1]), "one row high"
    if kind == 5:
        return encoded(".png", np.zeros((1, 12_000, 3), np.uint8)), "12,000 by 1"
    if kind == 6:
        return data[:2] + exif(int(rng.integers(0, 12))) + data[2:], "EXIF"
    if kind == 7:
        return b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + bytes(20), "a GIF of 3,600 megapixels"
    return encoded(".jpg", np.kron(image, np.ones((3, 3, 1), np.uint8))), "three times as large"


def png_bomb(side: int) -> bytes:
    """A small PNG that unpacks to `side` squared grey pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    rows = zlib.compress(bytes(1 + side) * 64, 9)
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def exif(orientation: int) -> bytes:
    """An APP1 segment with an orientation tag."""
    body = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0) + bytes(4)
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def onnx_file(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """An ONNX file: bytes, the manifest in its metadata, its graph, or data said to lie elsewhere."""
    import onnx

    draw = rng.random()
    if draw < 0.35:
        return raw(rng, data)
    model = onnx.load_from_string(data)
    if draw < 0.8:
        entry = next(prop for prop in model.metadata_props if prop.value[:1] == "{")
        value, what = document(rng, json.loads(entry.value))
        entry.value = json.dumps(value).encode("utf-8", "replace").decode()
        return model.SerializeToString(), f"manifest: {what}"
    tensor = pick(rng, list(model.graph.initializer))
    kind = int(rng.integers(5))
    if kind == 0:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        for key, text in (("location", pick(rng, ["../../../etc/passwd", "/etc/passwd"])), ("offset", "0")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, text
    elif kind == 1:
        tensor.dims[0:] = [1 << 40]
    elif kind == 2:
        del model.graph.node[int(rng.integers(len(model.graph.node)))]
    elif kind == 3:
        model.graph.node[int(rng.integers(len(model.graph.node)))].op_type = "Unknown"
    else:
        del model.metadata_props[:]
    what = ("data elsewhere", "huge dims", "a node removed", "an unknown node", "no manifest")[kind]
    return model.SerializeToString(), f"{tensor.name}: {what}"


def special(rng: Rng, path: Path, others: list[Path]) -> str:
    """Put something that is no such file in the place of `path`; what it is."""
    kind = int(rng.integers(7))
    path.unlink()
    if kind == 0:
        return "missing"
    if kind == 1:
        path.mkdir()
        return "a folder"
    if kind == 2:
        os.mkfifo(path)
        return "a FIFO"
    if kind == 3:
        path.symlink_to("/dev/zero")
        return "a link to /dev/zero"
    if kind == 4:
        path.symlink_to("nowhere")
        return "a dangling link"
    if kind == 5:
        path.symlink_to(path.name)
        return "a link to itself"
    other = pick(rng, others) if others else None
    path.write_bytes(other.read_bytes() if other else b"")
    return f"replaced by {other.name if other else 'an empty file'}"


Mutator = Callable[[Rng, bytes], tuple[bytes, str]]
MUTATORS: dict[str, Mutator] = {
    ".json": json_file, ".yaml": yaml_file, ".jsonl": json_lines, ".journal": json_lines, ".csv": table,
    ".safetensors": safetensors, ".pth": torch_file, ".npz": numpy_file, ".zip": zip_file, ".jpg": picture,
    ".png": picture, ".onnx": onnx_file, ".mp4": raw, ".avi": raw,
}  # fmt: skip


def mutate(rng: Rng, path: Path, others: list[Path]) -> str:
    """Damage the file `path` (one in twenty becomes no file at all); what was done."""
    if rng.random() < 0.05:
        return special(rng, path, others)
    old = path.read_bytes()
    for _ in range(20):
        new, what = MUTATORS[path.suffix](rng, old)
        if new != old:
            break
    path.write_bytes(new)
    return what

"""Seeded damage to what is packed inside a file: tensors, arrays, zips, pictures, ONNX graphs."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import warnings
import zipfile
import zlib
from typing import Any

import numpy as np
from damage import MARKER, Rng, document, pick, raw
from documents import doubled_key


class Evil:
    """Runs a command when it is unpickled: nothing here may ever do so."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {MARKER}",)


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
        warnings.simplefilter("ignore")
        for member, content in (*members.items(), *extra):
            archive.writestr(member, content)
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

"""A port in numpy, written from an exported folder's porting.md and vectors alone, and tried on the vectors.

    python experiments/deploy/port.py FOLDER

For networks that end in maps, with the rule `greedy` and free shapes. Needs numpy and onnxruntime.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

THRESHOLD, TAG_THRESHOLD, PEOPLE = 0.1, 1.0, 30


def prepare(image: np.ndarray, side: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Pixels of the input (height, width, 3) uint8, the factor, and the offsets (x, y)."""
    size = np.array(image.shape[:2])
    factor = side / size.min()
    shape = np.array([side if n == size.min() else 64 * -(-n * side // (size.min() * 64)) for n in size])
    offset = (shape - size * factor) / 2
    n, step = int(1 / factor + 1e-9), factor
    if n >= 2:
        rest = [(0, -side % n) for side in image.shape[:2]]
        blocks = np.pad(image, (*rest, (0, 0)), "edge").astype(float)
        blocks = blocks.reshape(blocks.shape[0] // n, n, blocks.shape[1] // n, n, 3).mean(axis=(1, 3))
        image, step = np.floor(blocks + 0.5) if n == 2 else np.round(blocks), factor * n
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0))).astype(np.float32)
    inverse = step * (1 / step**2)
    start = np.float32(-inverse * (offset + 0.5 * step - 0.5))
    step, (rows, columns) = np.float32(inverse), (np.arange(n).astype(np.float32) for n in shape)
    row, column = rows * step + start[0], fused(columns, step, start[1])
    fy, fx = (row - np.floor(row))[:, None, None], (column - np.floor(column))[:, None]
    top, left = (np.floor(at).astype(int) + 2 for at in (row, column))
    top, left = np.clip(top, 0, len(padded) - 2), np.clip(left, 0, padded.shape[1] - 2)
    a, b, c, d = (padded[top[:, None] + y, left + x] for y in (0, 1) for x in (0, 1))
    upper, lower = fused(fx, b - a, a), fused(fx, d - c, c)
    return np.round(fused(fy, lower - upper, upper)).astype(np.uint8), factor, offset[::-1]


def fused(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> np.ndarray:
    """first * second + third in float32, rounded once."""
    return (np.float64(first) * np.float64(second) + np.float64(third)).astype(np.float32)


def enlarge(maps: np.ndarray) -> np.ndarray:
    """(J, h, w) to (J, 2h, 2w), bilinear."""
    for axis in (1, 2):
        size = maps.shape[axis]
        place = np.clip((np.arange(2 * size) + 0.5) / 2 - 0.5, 0, size - 1)
        low = np.minimum(np.floor(place).astype(int), max(size - 2, 0))
        far = (place - low).reshape([-1 if each == axis else 1 for each in range(3)])
        high = np.minimum(low + 1, size - 1)
        maps = maps.take(low, axis) * (1 - far) + maps.take(high, axis) * far
    return maps


def vertex(heat: np.ndarray, row: int, column: int) -> list[float]:
    """x, y and heat of a peak."""
    found, value = [], heat[row, column]
    for index, line in ((column, heat[row]), (row, heat[:, column])):
        shift = 0.0
        if 0 < index < len(line) - 1:
            bend = 2 * value - line[index - 1] - line[index + 1]
            if bend > 0 and np.isfinite(bend):
                shift = np.clip((line[index + 1] - line[index - 1]) / (2 * bend), -0.5, 0.5)
        found.append(index + 0.5 + shift)
    return [*found, value]


def peaks(heat: np.ndarray) -> list[tuple[int, int]]:
    """Row and column of the peaks of one joint, the highest first."""
    padded, (height, width) = np.pad(heat, 1, constant_values=-np.inf), heat.shape
    around = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    alone = np.all(heat > np.array(around[:4]), axis=0) & np.all(heat >= np.array(around[5:]), axis=0)
    places = [(int(row), int(column)) for row, column in np.argwhere(alone & (heat > THRESHOLD))]
    return sorted(places, key=lambda place: -heat[place])[:PEOPLE]


def decode(quarter: np.ndarray, half: np.ndarray, order: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """People (P, J, 3) on the map of half the input's size, and their scores (P,)."""
    joints = len(half)
    heat = np.nan_to_num((enlarge(quarter[:joints]) + half) / 2, nan=0.0).astype(np.float32)
    tags = quarter[joints:]
    large_tags, persons = enlarge(tags), []
    for joint in order:
        free = persons[:PEOPLE]
        for place in peaks(heat[joint]):
            tag = float(large_tags[joint][place])
            distance = [abs(tag - np.mean(list(person["tags"].values()))) for person in free]
            near = [(np.round(gap), at) for at, gap in enumerate(distance) if gap < TAG_THRESHOLD]
            person = free.pop(min(near)[1]) if near else {"tags": {}, "joints": {}}
            if not near:
                persons.append(person)
            person["tags"][joint], person["joints"][joint] = tag, vertex(heat[joint], *place)
    scores = [np.float32(sum(joint[2] for joint in person["joints"].values()) / joints) for person in persons]
    best = sorted(range(len(persons)), key=lambda index: -scores[index])[:PEOPLE]
    found = np.zeros((len(best), joints, 3))
    highest = heat.reshape(joints, tags.shape[1], 2, tags.shape[2], 2).max(axis=(2, 4))
    for rank, index in enumerate(best):
        person = persons[index]
        mean = np.float32(np.mean(list(person["tags"].values())))
        for joint in range(joints):
            if joint not in person["joints"]:
                value = highest[joint] - np.round(np.abs(tags[joint] - mean))
                row, column = (2 * int(each) for each in np.unravel_index(value.argmax(), value.shape))
                cells = [(row + y, column + x) for y in (0, 1) for x in (0, 1)]
                place = max(cells, key=lambda cell: heat[joint][cell])
                if heat[joint][place] > 0:
                    found[rank, joint] = vertex(heat[joint], *place)
            else:
                found[rank, joint] = person["joints"][joint]
    return found, np.array([scores[index] for index in best])


def main(folder: Path) -> None:
    """Try the port on every vector: from the outputs that stand there, and from the picture."""
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["litepose"])
    mean, deviation = (np.array(about["preprocessing"][key]) for key in ("mean", "std"))
    order, side = about["skeleton"]["order"], -(-about["resolution"] // 32) * 32
    same = {"outputs": 0, "picture": 0}
    far, people, off = dict(same), 0, 0.0
    with np.load(folder / "vectors.npz") as vectors:
        count = sum(name.startswith("image_") for name in vectors)
        for n in range(count):
            pixels, factor, offset = prepare(vectors[f"image_{n}"], side)
            off = max(off, float((pixels != vectors[f"pixels_{n}"]).mean()))
            images = ((pixels / 255 - mean) / deviation).transpose(2, 0, 1)[None].astype(np.float32)
            want, given = vectors[f"keypoints_{n}"], [vectors[f"{name}_{n}"] for name in ("quarter", "half")]
            people += len(want)
            for what, outputs in (("outputs", given), ("picture", session.run(None, {"images": images}))):
                found, _ = decode(outputs[0][0], outputs[1][0], order)
                found[..., :2] = np.where(found[..., 2:] == 0, 0, (2 * found[..., :2] - offset) / factor)
                if len(found) == len(want):
                    apart = np.hypot(*(found - want)[..., :2].transpose(2, 0, 1)).max(axis=1)
                    same[what] += int((apart < 0.5).sum())
                    far[what] = max(far[what], apart.max(initial=0))
    print(f"{count} vectors, {people} people; at most {off:.2%} of a picture's pixels are others")
    for what in same:
        print(f"from the {what}: {same[what]} people the same, none more than {far[what]:.4f} pixels away")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

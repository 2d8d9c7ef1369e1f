"""What becomes of damaged files: 300 seeded mutations each of annotation values and bytes, and of a JPEG.

    python experiments/data/mutations/run.py [IMAGE.jpg]

Uses the mutations of tests/supernet/data/test_mutations.py on a drawn data set of 10 images, and on one JPEG
(a photo when given). Writes result.json beside this file.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np

from supernet.data import load_crowdpose
from supernet.data.images.decode import damaged_images, decode_rgb
from supernet.data.images.store import Store
from supernet.errors import InputError
from supernet.pose.skeletons import Skeleton
from supernet.runs.files import write_json

COUNT = 300
TESTS = Path(__file__).parents[3] / "tests" / "supernet" / "data"


def main() -> None:
    mutations, drawing = load("test_mutations"), load("conftest")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        rng = np.random.default_rng(3)
        doc = drawing.document(rng, Skeleton.load("crowdpose"), 10)
        drawing.write_images(root / "images", doc, rng)
        path = root / "json" / "crowdpose_train.json"
        drawing.write_json(path, doc)
        photo = (
            Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else (root / "images/100.jpg").read_bytes()
        )
        text = path.read_bytes()
        result = {
            "schema": 1,
            "json values": Counter(values(mutations, path, doc, seed) for seed in range(COUNT)),
            "json bytes": Counter(bytes_of(mutations, path, text, doc, seed) for seed in range(COUNT)),
            "jpeg bytes": images(mutations, photo),
        }
    print(json.dumps(result, indent=1))
    write_json(Path(__file__).parent / "result.json", result)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TESTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def values(mutations: ModuleType, path: Path, doc: dict, seed: int) -> str:
    path.write_text(json.dumps(mutations.mutate_value(np.random.default_rng([1, seed]), doc)[0]))
    return outcome(path.parents[1], doc)


def bytes_of(mutations: ModuleType, path: Path, text: bytes, doc: dict, seed: int) -> str:
    path.write_bytes(mutations.mutate_bytes(np.random.default_rng([2, seed]), text))
    return outcome(path.parents[1], doc)


def outcome(root: Path, doc: dict) -> str:
    """What opening says, and whether anything was lost without a word."""
    try:
        dataset = load_crowdpose(root, "train")
    except InputError:
        try:
            skipping = load_crowdpose(root, "train", on_error="skip")
        except InputError:
            return "refused whole, file named"
        assert skipping.skipped
        return "refused, record named; with on_error=skip left out and listed"
    if (len(dataset), dataset.num_people) != (len(doc["images"]), len(doc["annotations"])):
        return "LOST SILENTLY"
    before = {a["id"]: a for a in doc["annotations"]}
    after = {a["id"]: a for a in dataset.ground_truth()["annotations"]}
    return "accepted, nothing changed" if before == after else "accepted as another valid value"


def images(mutations: ModuleType, photo: bytes) -> dict[str, int]:
    reference = decode_rgb(photo, "").astype(int)
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{seed}.jpg" for seed in range(COUNT)]
        for seed, name in enumerate(names):
            mutated = mutations.mutate_bytes(np.random.default_rng([9, seed]), photo)
            (Path(folder) / name).write_bytes(mutated)
        damaged = damaged_images(Store(folder), names)
        for name in names:
            try:
                image = decode_rgb((Path(folder) / name).read_bytes(), name)
            except InputError:
                found["refused on reading"] += 1
                continue
            if name in damaged:
                found["decodes, refused by verify=pixels and listed by the audit"] += 1
            elif image.shape == reference.shape and np.abs(image - reference).mean() < 2:
                found[
                    "decodes without complaint to nearly the same picture (mean difference < 2 of 255)"
                ] += 1
            else:
                found["decodes without complaint to another picture (no checksum: nothing can tell)"] += 1
    return dict(found)


if __name__ == "__main__":
    main()

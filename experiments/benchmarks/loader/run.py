"""Training images per second and worker, beside the usual recipe, with a breakdown of where the time goes.

    python experiments/benchmarks/loader/run.py [IMAGE.jpg ANNOTATIONS.json]
    python experiments/benchmarks/loader/run.py augmented IMAGE.jpg ANNOTATIONS.json

Reads 64 copies of one 640x480 JPEG (a photo when given, else a drawn texture) with people of random poses, or
with those of 640x480 images of a CrowdPose annotation file. Writes result.json beside this file, or
augmented.json with the processor time of a worker with what photographs get besides the warp.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
from literal import LiteralPipeline

from supernet.data import AugmentOptions, Loader, LoaderOptions, PoseDataset, load_crowdpose
from supernet.data.batch import Batch, BatchMaker
from supernet.data.images.decode import decode_rgb
from supernet.data.targets import loss_mask
from supernet.data.transforms import sample, warp_image, warp_keypoints
from supernet.heads.embedding import EMBEDDING
from supernet.pose.skeletons import Skeleton
from supernet.runs.files import write_json

RESOLUTION = 512
COPIES = 64
BATCH = 16
ROUNDS = 7


# What docs/data.md proposes for photographs.
COLOUR = {"brightness": 0.2, "contrast": 0.3, "saturation": 0.4, "hue": 10.0, "grey": 0.05}
PHOTOMETRIC = {**COLOUR, "blur": 1.5, "jpeg": 0.3}
AUGMENTED = {
    "warp": AugmentOptions(),
    "warp, colour": AugmentOptions(**COLOUR),
    "warp, colour, blur, JPEG": AugmentOptions(**PHOTOMETRIC),
    "warp, half of them mosaics": AugmentOptions(mosaic=0.5),
    "all of it": AugmentOptions(**PHOTOMETRIC, mosaic=0.5),
    "warp, all of them mosaics": AugmentOptions(mosaic=1.0),
}


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if sys.argv[1:2] == ["augmented"]:
        with tempfile.TemporaryDirectory() as folder:
            dataset = make(Path(folder), Path(sys.argv[2]).read_bytes(), people(sys.argv[3]))
            result = {
                "schema": 1,
                "ms_of_processor_time_per_image": augmented(dataset),
                "load": os.getloadavg()[0],
            }
        print(json.dumps(result, indent=1))
        write_json(Path(__file__).parent / "augmented.json", result)
        return
    photo = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else texture()
    with tempfile.TemporaryDirectory() as folder:
        dataset = make(Path(folder), photo, people(sys.argv[2] if len(sys.argv) > 2 else None))
        result = {
            "schema": 1,
            "task": f"640x480 JPEG of {len(photo)} bytes to {RESOLUTION}, both targets, batches of {BATCH}",
            "people_per_image": round(dataset.num_people / len(dataset), 2),
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "opencv": cv2.__version__,
            },
            "one_process_one_core": side_by_side(dataset),
            "breakdown_ms_per_image": breakdown(dataset),
            "workers_images_per_second": {str(n): throughput(dataset, n) for n in (1, 2)},
        }
    print(json.dumps(result, indent=1))
    write_json(Path(__file__).parent / "result.json", result)


def side_by_side(dataset: PoseDataset) -> dict[str, object]:
    """Ours and the usual recipe in turns on one core: wall and processor time per image."""
    everything = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(everything)})
    loader = Loader(dataset, LoaderOptions(batch_size=BATCH), (RESOLUTION,))
    literal = LiteralPipeline(dataset)

    def ours(step: int) -> None:
        EMBEDDING.targets(loader.batch(step), 2.0)

    def usual(step: int) -> None:
        made = []
        for draw in loader.plan.draws(step):
            record = dataset.records[draw.index]
            drawn = sample(loader.plan.rng(draw), record.width, record.height, RESOLUTION, AugmentOptions())
            made.append(literal(draw.index, drawn))
        for part in zip(*[(image, *heats, *masks, *tags) for image, heats, masks, tags in made], strict=True):
            torch.stack([torch.from_numpy(array) for array in part])

    times: dict[str, list[tuple[float, float]]] = {"ours": [], "usual": []}
    for step in range(ROUNDS + 1):
        for name, make_batch in (("ours", ours), ("usual", usual)):
            wall, cpu = time.perf_counter(), time.process_time()
            make_batch(step)
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    os.sched_setaffinity(0, everything)
    result: dict[str, object] = {}
    for name, measured in times.items():
        wall, cpu = (statistics.median(column) for column in zip(*measured[1:], strict=True))
        result[name] = {"images_per_second": round(BATCH / wall, 1), "per_cpu_second": round(BATCH / cpu, 1)}
    ratios = [u[1] / o[1] for o, u in zip(times["ours"][1:], times["usual"][1:], strict=True)]
    return {**result, "speedup_cpu_time": round(statistics.median(ratios), 2)}


def breakdown(dataset: PoseDataset) -> dict[str, float]:
    """Processor time per stage, each over the same images."""
    loader = Loader(dataset, LoaderOptions(batch_size=BATCH), (RESOLUTION,))
    draws = [draw for step in range(4) for draw in loader.plan.draws(step)]
    records = [dataset.records[draw.index] for draw in draws]
    data = [Path(dataset.image_name(draw.index)).read_bytes() for draw in draws]
    images = [decode_rgb(item, "") for item in data]
    augment = AugmentOptions()
    drawn = [sample(loader.plan.rng(d), 640, 480, RESOLUTION, augment) for d in draws]
    flip = dataset.skeleton.flip
    crops = [warp_keypoints(r.keypoints, a, flip) for r, a in zip(records, drawn, strict=True)]
    compact = BatchMaker(dataset, loader.plan, augment, 2.0)(0, RESOLUTION)
    dense = EMBEDDING.targets(compact, 2.0)
    full = replace(compact, masks={**compact.masks, **dict(enumerate(dense.heats))})

    def masks(i: int) -> None:
        for scale in (4, 2):
            loss_mask(crops[i], [(records[i].ignore, drawn[i])], RESOLUTION // scale, 2.0)

    def share(batch: Batch) -> None:
        for tensor in (batch.images, batch.joints, batch.tagged, *batch.masks.values()):
            tensor.clone().share_memory_()

    stages: dict[str, tuple[Callable[[int], object], int]] = {
        "read file": (lambda i: Path(dataset.image_name(draws[i].index)).read_bytes(), 1),
        "decode JPEG": (lambda i: decode_rgb(data[i], ""), 1),
        "draw augmentation": (lambda i: sample(loader.plan.rng(draws[i]), 640, 480, RESOLUTION, augment), 1),
        "warp image": (lambda i: warp_image(images[i], drawn[i]), 1),
        "warp joints": (lambda i: warp_keypoints(records[i].keypoints, drawn[i], flip), 1),
        "masks, both scales": (masks, 1),
        "draw targets, both scales (main process)": (lambda _: EMBEDDING.targets(compact, 2.0), BATCH),
        "hand over to the main process": (lambda _: share(compact), BATCH),
        "the same with dense heatmaps (not done)": (lambda _: share(full), BATCH),
    }
    result = {}
    for name, (stage, images_per_call) in stages.items():
        calls = len(draws) // images_per_call
        rounds = []
        for _ in range(3):
            start = time.process_time()
            for i in range(calls):
                stage(i)
            rounds.append((time.process_time() - start) / len(draws))
        result[name] = round(1000 * min(rounds), 3)
    return result


def augmented(dataset: PoseDataset) -> dict[str, float]:
    """Processor time of a worker's batch per image, the settings in turns."""
    loaders = {
        name: Loader(dataset, LoaderOptions(batch_size=BATCH), (RESOLUTION,), augment=options)
        for name, options in AUGMENTED.items()
    }
    times: dict[str, list[float]] = {name: [] for name in loaders}
    for step in range(ROUNDS + 1):
        for name, loader in loaders.items():
            start = time.process_time()
            loader.batch(step)
            times[name].append((time.process_time() - start) / BATCH)
    return {name: round(1000 * statistics.median(measured[1:]), 2) for name, measured in times.items()}


def throughput(dataset: PoseDataset, workers: int, steps: int = 30) -> float:
    """Images per second that arrive from worker processes while the main process only draws targets."""
    loader = Loader(dataset, LoaderOptions(batch_size=BATCH), (RESOLUTION,), workers=workers)
    for _ in loader.batches(0, 2 * workers + 2):
        pass
    start = time.perf_counter()
    for batch in loader.batches(10, 10 + steps):
        EMBEDDING.targets(batch, 2.0)
    elapsed = time.perf_counter() - start
    loader.close()
    return round(steps * BATCH / elapsed, 1)


def people(path: str | None) -> list[list[dict]]:
    """Groups of people (annotations) that fit into 640x480."""
    if path is None:
        rng = np.random.default_rng(0)
        return [[person(rng) for _ in range(int(rng.integers(1, 8)))] for _ in range(COPIES)]
    doc = json.loads(Path(path).read_text())
    sizes = {image["id"]: (image["width"], image["height"]) for image in doc["images"]}
    groups: dict[int, list[dict]] = {key: [] for key, size in sizes.items() if size == (640, 480)}
    for annotation in doc["annotations"]:
        if annotation["image_id"] in groups:
            groups[annotation["image_id"]].append(annotation)
    return list(groups.values())[:COPIES]


def person(rng: np.random.Generator) -> dict:
    points = np.clip(rng.uniform([80, 80], [560, 400]) + rng.normal(0, 60, (14, 2)), 0, [639, 479]).round()
    triples = np.column_stack([points, rng.choice([1, 2], 14)])
    return {"keypoints": triples.reshape(-1).tolist(), "bbox": [0, 0, 640, 480], "category_id": 1}


def texture() -> bytes:
    rng = np.random.default_rng(0)
    layers = [cv2.resize(rng.normal(0, 255 / k, (480 // k, 640 // k, 3)), (640, 480)) for k in (2, 4, 8, 32)]
    image = np.clip(128 + sum(layers), 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def make(folder: Path, photo: bytes, groups: list[list[dict]]) -> PoseDataset:
    """A data set of copies of one photo."""
    (folder / "images").mkdir()
    (folder / "json").mkdir()
    images, annotations = [], []
    for index in range(COPIES):
        name = f"{index + 1}.jpg"
        (folder / "images" / name).write_bytes(photo)
        images.append({"id": index + 1, "file_name": name, "width": 640, "height": 480, "crowdIndex": 0.5})
        for entry in groups[index % len(groups)]:
            annotations.append({**entry, "image_id": index + 1, "id": len(annotations) + 1})
    category = {"id": 1, "name": "person", "keypoints": list(Skeleton.load("crowdpose").joints)}
    doc = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "json" / "crowdpose_train.json").write_text(json.dumps(doc))
    return load_crowdpose(folder, "train")


if __name__ == "__main__":
    main()

# ruff: noqa: E501
"""Undamaged files of every kind, made by the toolkit's own commands on a minute data set."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import harness
import numpy as np
import yaml

STAGE = {"width": [4, 8], "depth": [1, 2], "kernel": [3], "expansion": [2]}
SPACE: dict[str, Any] = {
    "schema": 1,
    "name": "micro",
    "resolution": [32, 64],
    "stem": [4, 8],
    "stages": [{"width": [4, 8], "depth": [1], "kernel": [3], "expansion": [2]}] * 3 + [STAGE],
    "head": [[4, 8], [4], [4]],
}
DATA = ("data=crowdpose", "data.root=data", "data.workers=0")
TRAIN = (
    *DATA, "space=space.yaml", "threads=1", "accelerator=cpu", "train.batch_size=2", "train.log_every=1",
    "train.sampling.random=1", "train.sampling.largest_first=0", "train.checkpoint.every=2",
    "train.validation.every=0", "train.steps=4",
)  # fmt: skip
SEARCH = (
    "threads=1", "accelerator=cpu", "strategy=random", "search.evaluations=3", "search.batch=2",
    "search.baseline=0", "search.references=false", "evaluation.calibration_images=2", "evaluation.batch_size=2",
)  # fmt: skip
EXPORT = ("arch=runs/search/s:half", "name=e", "export.latency_rounds=0", *DATA)
EVALUATE = ("arch=runs/export/e", "name=v", "threads=1", *DATA)
FINETUNE = (
    "arch=runs/search/s:half", "name=f", *DATA, "threads=1", "accelerator=cpu", "train.steps=2",
    "train.batch_size=2", "train.log_every=1", "train.checkpoint.every=1", "train.validation.every=0",
)  # fmt: skip
PROFILE = ("space=space.yaml", "measure.parts=30", "measure.networks=10", "measure.rounds=2", "device=board")


def command(entry: harness.Entry, arguments: Sequence[str], folder: Path) -> None:
    """Run one command of the making; it has to succeed."""
    done = harness.learn_modules(entry, arguments, folder, folder / "modules.txt")
    if done.code:
        raise SystemExit(f"{entry} {' '.join(arguments)} failed in the making of the files:\n{done.err}")


def make(folder: Path, quick: bool = False) -> None:
    """Fill `folder`; needed once per version of the code. `quick` leaves out what takes long."""
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
    render = ("train=6", "val=3", "test=3", "size=64", "workers=1")
    rendered = ("data=synthetic", *(f"data.render.{setting}" for setting in render))
    command("supernet.train", ("name=render", *TRAIN[1:], *rendered, "train.steps=1"), folder)
    shutil.rmtree(folder / "runs" / "train" / "render")
    command("supernet.train", ("name=net", *TRAIN), folder)
    half = folder / "runs" / "train" / "half"
    command("supernet.train", ("name=half", *TRAIN), folder)
    for done in (*half.glob("checkpoints/step-*4.safetensors"), *half.glob("checkpoints/best*")):
        done.unlink()
    budgets = ("supernet=runs/train/net", "budgets.macs=[0.6,0.9]", "budgets.names=[half,most]")
    command("search.run", ("name=s", *budgets, *SEARCH), folder)
    pictures(folder)
    sweep(folder)
    networks(folder)
    board(folder)
    tabular(folder)
    settings(folder)
    coco(folder)
    detections(folder)
    if not quick:
        command("subnets.export", EXPORT, folder)
        command("subnets.evaluate", EVALUATE, folder)
        command("subnets.predict", ("arch=runs/export/e", "source=photos", "name=p", "threads=1"), folder)
        command("subnets.finetune", FINETUNE, folder)


def pictures(folder: Path) -> None:
    """Photos, a video in two containers, and the data set as zips."""
    import cv2

    images = sorted((folder / "data" / "images").glob("*.jpg"))
    (folder / "photos").mkdir()
    for number, image in enumerate(images[:2]):
        shutil.copyfile(image, folder / "photos" / f"{number}.jpg")
    cv2.imwrite(str(folder / "photos" / "2.png"), cv2.imread(str(images[2])))
    for name, code in (("clip.mp4", "mp4v"), ("clip.avi", "MJPG")):
        writer = cv2.VideoWriter(str(folder / name), cv2.VideoWriter.fourcc(*code), 10, (96, 64))
        for image in images[:6]:
            writer.write(cv2.resize(cv2.imread(str(image)), (96, 64)))
        writer.release()
    for part in ("zipped/json", "whole"):
        (folder / part).mkdir(parents=True)
    shutil.copytree(folder / "data" / "json", folder / "zipped" / "json", dirs_exist_ok=True)
    with (
        zipfile.ZipFile(folder / "zipped" / "images.zip", "w") as bare,
        zipfile.ZipFile(folder / "whole" / "data.zip", "w", zipfile.ZIP_DEFLATED) as whole,
    ):
        for image in images:
            bare.write(image, image.name)
            whole.write(image, f"images/{image.name}")
        for file in sorted((folder / "data" / "json").iterdir()):
            whole.write(file, f"json/{file.name}")


def sweep(folder: Path) -> None:
    """Two runs to compare, as a multirun leaves them."""
    for name in ("a", "b"):
        shutil.copytree(folder / "runs/train/net", folder / "runs/train/lr" / name)
        shutil.rmtree(folder / "runs/train/lr" / name / "checkpoints")


def board(folder: Path) -> None:
    """What a board would have brought back, and the latency table made of it."""
    command("search.profile", ("name=b", *PROFILE), folder)
    (where,) = {path.parent for path in (folder / "runs/profile/b").rglob("manifest.json")}
    manifest = json.loads((where / "manifest.json").read_text())
    rng = np.random.default_rng(5)
    head = {"manifest": manifest["id"], "device": "board", "threads": 1, "runtime": "onnxruntime"}
    lines = ["#" + json.dumps(head), "file,round,milliseconds,runs"]
    for turn in range(2):
        lines += [
            f"{name},{turn},{size / 4e4 * (1 + 0.01 * rng.random()):.5f},9"
            for name, size in sizes(where, manifest)
        ]
    (folder / "measured.csv").write_text("\n".join(lines) + "\n")
    shutil.rmtree(folder / "runs/profile")
    command("search.profile", ("name=b", *PROFILE, "device.csv=measured.csv"), folder)


def sizes(where: Path, manifest: dict[str, Any]) -> list[tuple[str, int]]:
    """The board's files with their sizes in bytes, which stand in for times."""
    return [(name, (where / name).stat().st_size) for name in manifest["files"]]


def networks(folder: Path) -> None:
    """Architectures in three forms, and weights in the released form."""
    import torch

    from subnets import load
    from subnets.official import export_weights

    net = load(folder / "runs/search/s/subnets/half")
    net.arch.save(folder / "arch.yaml")
    weights = export_weights(net)
    torch.save(weights, folder / "weights.pth")
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in weights.items()}, folder / "weights.safetensors")
    golden = Path(__file__).parents[2] / "tests/golden/official_open.json.gz"
    import gzip

    record = json.loads(gzip.decompress(golden.read_bytes()))[0]
    (folder / "official.json").write_text(json.dumps(record["arch"]))
    from supernet.registry import require_conf

    for name in ("higherhrnet-w16", "lightweight-openpose"):
        shutil.copyfile(require_conf("baselines", name, "network"), folder / f"{name}.yaml")
    from supernet.pose import Skeleton

    skeleton = Skeleton.load("crowdpose")
    skeleton_file(folder / "skeleton.yaml", skeleton)


def skeleton_file(path: Path, skeleton: Any) -> None:
    """CrowdPose's joints as a file of one's own."""
    value = {"name": "mine", **{k: v for k, v in skeleton.to_dict().items() if k != "name"}}
    path.write_text(yaml.safe_dump(json.loads(json.dumps(value)), sort_keys=False))


def tabular(folder: Path) -> None:
    """A benchmark of a space that is small enough."""
    from supernet import SearchSpace

    small = {**SPACE, "name": "few", "stem": [4], "resolution": [32], "head": [[4], [4], [4]]}
    (folder / "few.yaml").write_text(yaml.safe_dump(small))
    space = SearchSpace.load(str(folder / "few.yaml"))
    grid = np.meshgrid(*[np.arange(len(gene.choices)) for gene in space.genes], indexing="ij")
    codes = np.stack([axis.ravel() for axis in grid], axis=1)
    codes = np.unique(space.encode(space.decode(codes)), axis=0)
    scores = np.random.default_rng(0).uniform(0.1, 0.6, (len(codes), 2)).astype(np.float32)
    np.savez(folder / "table.npz", codes=codes, scores=scores, metrics=np.array(["AP", "AP50"]))


def settings(folder: Path) -> None:
    """A data set of one's own as docs/data.md teaches it."""
    (folder / "settings/data").mkdir(parents=True)
    value = {"root": "data", "layout": "crowdpose", "skeleton": "crowdpose", "workers": 0, "cache": "none"}
    value["augment"] = {"rotation": 5.0, "scale": [0.9, 1.1], "flip": 0.5}
    (folder / "settings/data/mine.yaml").write_text(yaml.safe_dump(value))


def coco(folder: Path) -> None:
    """The val split in the COCO layout, people with 17 joints."""
    rng = np.random.default_rng(7)
    value = json.loads((folder / "data/json/crowdpose_val.json").read_text())
    (folder / "coco/annotations").mkdir(parents=True)
    (folder / "coco/val2017").mkdir()
    from supernet.pose import Skeleton

    for image in value["images"]:
        os.link(folder / "data/images" / image["file_name"], folder / "coco/val2017" / image["file_name"])
        image.pop("crowdIndex", None)
    for person in value["annotations"]:
        x, y, w, h = person["bbox"]
        points = np.column_stack([rng.uniform(x, x + w, 17), rng.uniform(y, y + h, 17), np.full(17, 2)])
        person |= {"keypoints": points.round(1).ravel().tolist(), "num_keypoints": 17, "area": w * h}
        person["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    joints = list(Skeleton.load("coco").joints)
    value["categories"] = [{"id": 1, "name": "person", "keypoints": joints, "skeleton": [[1, 2]]}]
    (folder / "coco/annotations/person_keypoints_val2017.json").write_text(json.dumps(value))


def detections(folder: Path) -> None:
    """Detections near the truth, for both protocols."""
    rng = np.random.default_rng(11)
    for prefix, source in (
        ("", "data/json/crowdpose_val.json"),
        ("coco-", "coco/annotations/person_keypoints_val2017.json"),
    ):
        value = json.loads((folder / source).read_text())
        (folder / f"{prefix}truth.json").write_text(json.dumps(value))
        found = []
        for person in value["annotations"]:
            points = np.array(person["keypoints"], float).reshape(-1, 3)
            points[:, :2] += rng.normal(0, 1, points[:, :2].shape)
            score = round(float(rng.random()), 3)
            found.append({"image_id": person["image_id"], "category_id": 1, "keypoints": points.round(2).ravel().tolist(), "score": score})  # fmt: skip
        (folder / f"{prefix}detections.json").write_text(json.dumps(found))

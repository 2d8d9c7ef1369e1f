"""The people that an exported page finds in headless Chromium beside those of Python, and pictures of it.

    PYTHONPATH=. python experiments/deploy/web.py EXPORT --data /data/real --name NAME --show 872 165518

EXPORT was written with `format=[onnx,web]`. Adds a row to web.json; --show makes web.jpg of two pictures.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from experiments.deploy.browser import Browser, served
from subnets.export.bundle import rendered
from subnets.portable.main import open_predictor
from supernet.data.source import DataConfig, open_split

HERE = Path(__file__).resolve().parent
LAPTOP, PHONE = (760, 800), (390, 800)
TIMES = "import('./app.js').then(page => page.shown.times)"


def main() -> None:
    """Compare, and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("export", type=Path)
    parser.add_argument("--data", help="photographs in CrowdPose's layout, test split; else rendered scenes")
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--name", required=True)
    parser.add_argument("--show", type=int, nargs=2, metavar="IMAGE")
    given = parser.parse_args()
    found, pictures = {}, dict(images(given.data, given.images))
    with served(given.export / "web") as address, Browser() as browser:
        browser.open(address)
        found = compare(browser, given.export, pictures)
        if given.show:
            show(browser, address, [pictures[number] for number in given.show])
    path = HERE / "web.json"
    rows = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(rows | {given.name: found}, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def images(data: str | None, count: int) -> Any:
    """(number, image) of the first of a test split, or of rendered scenes."""
    if data is None:
        yield from ((number, rendered(number, 256)) for number in range(count))
        return
    dataset = open_split(DataConfig(root=data, layout="crowdpose", workers=0), "test")
    for index in range(min(count, len(dataset))):
        yield int(dataset.records[index].image_id), dataset.read_image(index)


def compare(browser: Browser, export: Path, pictures: dict[int, np.ndarray]) -> dict[str, Any]:
    """How many pictures have the same people, how far their joints lie apart, and the median times."""
    predictor = open_predictor(export / "web" / "model.onnx", threads=1)
    same, people, apart, page, python = 0, 0, [0.0], [], []
    with tempfile.TemporaryDirectory() as folder:
        for number, image in pictures.items():
            path = Path(folder, f"{number}.png")
            cv2.imwrite(str(path), image[..., ::-1])
            have = browser.people(path)
            page.append(browser.evaluate(TIMES))
            start = time.perf_counter()
            want = predictor(image)
            python.append(1000 * (time.perf_counter() - start))
            joints = np.array([each["joints"] for each in have]).reshape(-1, *want.keypoints.shape[1:])
            if joints.shape != want.keypoints.shape:
                continue
            far = np.hypot(*(joints - want.keypoints)[..., :2].transpose(2, 0, 1)).max(initial=0)
            same += bool(far < 1)
            people += len(want)
            apart.append(float(far))
    return {
        "images": len(pictures),
        "people": people,
        "same people": same,
        "largest distance, pixels": round(max(apart), 3),
        "largest distance, 99 of 100 images": round(float(np.quantile(apart, 0.99)), 3),
        "page, ms (prepare, network, people)": np.round(np.median(page, axis=0), 1).tolist(),
        "Python, ms": round(float(np.median(python)), 1),
    }


def show(browser: Browser, address: str, pictures: list[np.ndarray]) -> None:
    """The page on a laptop and on a phone, side by side."""
    shots = []
    with tempfile.TemporaryDirectory() as folder:
        path, shot = Path(folder, "picture.png"), Path(folder, "shot.png")
        for (size, phone), image in zip(((LAPTOP, False), (PHONE, True)), pictures, strict=True):
            cv2.imwrite(str(path), image[..., ::-1])
            browser.open(address, size, 1, phone)
            browser.people(path)
            browser.screenshot(shot)
            shots.append(cv2.imread(str(shot)))
    height = min(len(shot) for shot in shots)
    gap = np.full((height, 24, 3), 255, np.uint8)
    sheet = np.concatenate([shots[0][:height], gap, shots[1][:height]], axis=1)
    cv2.imwrite(str(HERE / "web.jpg"), sheet, [cv2.IMWRITE_JPEG_QUALITY, 82])


if __name__ == "__main__":
    main()

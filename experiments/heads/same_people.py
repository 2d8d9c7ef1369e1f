"""The people of `onestage` in the ONNX file and in torch: python -m experiments.heads.same_people WORK RUN.

Writes WORK/openvino.npz for `run_openvino.py`, which needs nothing of this toolkit.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from subnets.folder import load
from subnets.network import fuse
from subnets.portable.predictor import Predictor
from subnets.portable.session import OnnxSession
from subnets.runtime import torch_runtime
from supernet.data.source import open_split
from supernet.pose.people import People
from supernet.training.checkpoint import load_supernet

IMAGES = 200


def difference(ours: People, theirs: People) -> tuple[int, float]:
    """How many more or fewer people, and the largest distance of a joint in pixels from the same person's."""
    if len(ours) != len(theirs):
        return abs(len(ours) - len(theirs)), 0.0
    return 0, float(np.abs(ours.keypoints[..., :2] - theirs.keypoints[..., :2]).max(initial=0))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("run")
    options = parser.parse_args()
    work = options.work.resolve()
    folder = work / "runs/export" / options.run
    session, net = OnnxSession(folder / "model.onnx", threads=1), load(folder).eval()
    manifest = session.require_manifest()
    graph = Predictor.of(session, manifest)
    # In torch the maps come out, and numpy finds the people in them.
    torch_path = Predictor.of(torch_runtime(fuse(net)), replace(manifest, peaks=0))
    dataset = open_split(load_supernet(str(work / "runs/train" / options.run), "best").data(), "test")
    kept: dict[str, Any] = {}
    people = missing = 0
    furthest = 0.0
    for index in range(IMAGES):
        image = dataset.read_image(index)
        item, inputs = graph.prepare(image)
        computed = graph.network((item, inputs))
        ours, theirs = graph.group(computed), torch_path(image)
        more, far = difference(ours, theirs)
        people, missing, furthest = people + len(theirs), missing + more, max(furthest, far)
        scores, joints = computed[1]
        kept |= {f"image_{index}": inputs[0], f"scores_{index}": scores, f"people_{index}": joints}
    np.savez_compressed(work / "openvino.npz", **kept)
    told = f"{missing} differ in number, joints by {furthest:.1e} pixels at most"
    print(f"{IMAGES} images, {people} people: {told}")


if __name__ == "__main__":
    main()

"""Peak memory of `subnets.predict` on videos of 30 and of 300 frames.

    python experiments/predict/memory.py runs/export/largest

Renders scenes, pans over them for a 640x480 video, and runs the command in a process of its own on each
video, with the network in torch and in onnxruntime. Writes memory.json beside itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from supernet.data.synthetic.options import SyntheticOptions
from supernet.data.synthetic.scene import render_scene
from supernet.runs.environment import environment

HERE = Path(__file__).resolve().parent
LENGTHS = (30, 300)
WIDTH, HEIGHT = 640, 480
# Frames that one scene lasts.
SCENE = 30


def main() -> None:
    """Measure the exported folder named on the command line."""
    arch = str(Path(sys.argv[1]).resolve())
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in LENGTHS:
            write_video(folder / f"{count}.mp4", count)
            for runtime in ("torch", "onnxruntime"):
                rows.append({"frames": count, "runtime": runtime, **peak(folder, arch, count, runtime)})
                print(rows[-1], flush=True)
    record = {"environment": environment(1), "video": f"{WIDTH}x{HEIGHT}", "runs": rows}
    (HERE / "memory.json").write_text(json.dumps(record, indent=1) + "\n")


def write_video(path: Path, count: int) -> None:
    """A pan over rendered scenes, `count` frames."""
    options = SyntheticOptions(size=round((WIDTH * HEIGHT) ** 0.5), aspect=(4 / 3, 4 / 3))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (WIDTH, HEIGHT))
    for child in np.random.SeedSequence(0).spawn(-(-count // SCENE)):
        scene = cv2.resize(render_scene(child, options).image, (WIDTH * 5 // 4, HEIGHT * 5 // 4))
        for step in range(min(SCENE, count)):
            x, y = WIDTH * step // (4 * SCENE), HEIGHT * step // (4 * SCENE)
            writer.write(np.ascontiguousarray(scene[y : y + HEIGHT, x : x + WIDTH, ::-1]))
    writer.release()


def peak(folder: Path, arch: str, count: int, runtime: str) -> dict[str, Any]:
    """Peak resident memory of one run, and what it said."""
    command = [sys.executable, "-m", "subnets.predict", f"source={count}.mp4", f"arch={arch}", "threads=1"]
    command += [f"runtime={runtime}", f"name={count}-{runtime}"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    said = process.stdout.read().decode().splitlines()[0].partition(";")[0]
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, said
    return {"peak MB": round(usage.ru_maxrss / 1024), "said": said}


if __name__ == "__main__":
    main()

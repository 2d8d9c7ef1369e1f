"""`python -m subnets.convert`: a released checkpoint becomes a network folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from subnets import load

ROOT = Path(__file__).resolve().parents[3]


def convert(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "subnets.convert", *overrides],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command(mixed: Any, tmp_path: Path) -> None:
    (tmp_path / "arch.json").write_text(json.dumps(mixed.record["arch"]))
    torch.save({"state_dict": {f"module.{n}": t for n, t in mixed.weights().items()}}, tmp_path / "a.pth.tar")
    done = convert(tmp_path, "arch=arch.json", "weights=a.pth.tar", "name=mixed")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("runs/convert/mixed")
    net = load(tmp_path / "runs/convert/mixed")
    with torch.no_grad():
        found = net(mixed.images())[1].numpy()[:, :, ::8, ::8]
    assert np.abs(found - mixed.outputs[1]).max() <= 1e-5 * np.abs(mixed.outputs[1]).max()
    before = (tmp_path / "runs/convert/mixed/model.safetensors").read_bytes()
    done = convert(tmp_path, "arch=arch.json", "weights=a.pth.tar", "name=mixed")
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert (tmp_path / "runs/convert/mixed/model.safetensors").read_bytes() == before

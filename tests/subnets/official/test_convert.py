"""`python -m subnets.convert`: a released checkpoint becomes a network folder."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from warm import Warm

from subnets import load


def test_the_command(warm: Warm, mixed: Any, tmp_path: Path) -> None:
    def convert(*overrides: str) -> subprocess.CompletedProcess[str]:
        return warm.run("subnets.convert", overrides, tmp_path)

    (tmp_path / "arch.json").write_text(json.dumps(mixed.record["arch"]))
    torch.save({"state_dict": {f"module.{n}": t for n, t in mixed.weights().items()}}, tmp_path / "a.pth.tar")
    done = convert("arch=arch.json", "weights=a.pth.tar", "name=mixed")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("runs/convert/mixed")
    net = load(tmp_path / "runs/convert/mixed")
    with torch.no_grad():
        found = net(mixed.images())[1].numpy()[:, :, ::8, ::8]
    assert np.abs(found - mixed.outputs[1]).max() <= 1e-5 * np.abs(mixed.outputs[1]).max()
    before = (tmp_path / "runs/convert/mixed/model.safetensors").read_bytes()
    done = convert("arch=arch.json", "weights=a.pth.tar", "name=mixed")
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert (tmp_path / "runs/convert/mixed/model.safetensors").read_bytes() == before

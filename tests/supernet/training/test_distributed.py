"""Two gloo ranks under torchrun, one of which is killed on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from supernet.data.loader import Loader
from supernet.data.source import open_split
from supernet.heads.embedding import EMBEDDING
from supernet.heads.losses import PoseLoss
from supernet.network import Supernet
from supernet.runs.log import read_log
from supernet.runs.snapshot import read_snapshot
from supernet.sampling import SubnetSchedule
from supernet.training.options import PrecisionOptions, SamplingOptions
from supernet.training.state import FlatGradient
from supernet.training.step import backward_all, chunks

SCRIPT = Path(__file__).parent / "ranks_script.py"


@pytest.fixture(scope="module")
def pair(micro, environment, tmp_path_factory):
    """The folder of a run of 12 steps on two ranks; rank 1 dies at step 6, torchrun starts both again."""
    folder = tmp_path_factory.mktemp("pair")
    settings = {"space": str(micro / "space.yaml"), "data": str(micro / "data"), "steps": 12, "kill_at": 6}
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1")
    arguments = [sys.executable, *torchrun, str(SCRIPT), str(folder), json.dumps(settings)]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=400)
    (folder / "stderr.txt").write_text(done.stderr)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_killed_rank_is_restarted_and_the_run_finishes(pair):
    assert (pair / "killed").exists()
    assert "from step 4 of 12" in (pair / "stderr.txt").read_text()
    assert [line["step"] for line in read_log(pair / "log.jsonl")] == [5, 10, 12, 12]


def test_ranks_stay_bit_equal(pair):
    first, second = (torch.load(pair / f"final-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert len(first) > 50
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_two_ranks_average_what_one_process_gets_from_the_two_halves(pair, data, space, batches):
    found = torch.load(pair / "gradient-0.pt", weights_only=True)
    schedule = SubnetSchedule(space, SamplingOptions(random=1))
    batch = Loader(open_split(data, "train"), batches, schedule.resolution).batch(0)
    net = Supernet(space, seed=0).train()
    flat = FlatGradient(net.parameters())
    halves = []
    for part in chunks(batch, EMBEDDING, 2, PrecisionOptions(), 2.0):
        flat.zero()
        backward_all(net, schedule.subnets(0), [part], PoseLoss(EMBEDDING))
        halves.append(flat.gradient.clone())
    expected = (halves[0] + halves[1]) / 2
    assert float((found - expected).abs().max()) <= 1e-6
    assert float(expected.abs().max()) > 1e-2


def test_validation_is_shared_and_gathered(pair):
    (line,) = [line for line in read_log(pair / "log.jsonl") if line["kind"] == "validation"]
    assert set(line) >= {"AP/smallest", "AP/largest", "AR/largest"}
    assert read_snapshot(pair / "checkpoints/best.safetensors").meta["step"] == 12

"""Two gloo ranks under torchrun, and one that dies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from supernet.run_log import read_log
from supernet.snapshot import read_snapshot

SCRIPT = Path(__file__).parent / "ranks_script.py"


@pytest.fixture(scope="module")
def run(micro, environment):
    def start(folder: Path, *, ranks: int, restarts: int = 0, **settings):
        wanted = {
            "space": str(micro / "space.yaml"),
            "data": str(micro / "data"),
            "steps": 12,
            "accumulate": 1,
        }
        torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}")
        launcher = (*torchrun, f"--max-restarts={restarts}") if ranks > 1 else ()
        arguments = [sys.executable, *launcher, str(SCRIPT), str(folder), json.dumps({**wanted, **settings})]
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-3000:]
        return done

    return start


@pytest.fixture(scope="module")
def pair(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    run(folder, ranks=2, validate=12)
    return folder


def test_ranks_stay_bit_equal(pair):
    first, second = (torch.load(pair / f"final-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert len(first) > 50
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_two_ranks_average_what_one_process_gets_from_the_two_halves(pair, run, tmp_path):
    run(tmp_path, ranks=1, accumulate=2)
    two = torch.load(pair / "gradient-0.pt", weights_only=True)
    one = torch.load(tmp_path / "gradient-0.pt", weights_only=True)
    assert float((two - one).abs().max()) <= 1e-6
    assert float(one.abs().max()) > 1e-2
    mine, theirs = read_log(pair / "log.jsonl")[0], read_log(tmp_path / "log.jsonl")[0]
    assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
    assert mine["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-2)


def test_validation_is_shared_and_gathered(pair, run, tmp_path):
    """One process that restores the same weights finds the same figures."""
    (line,) = [line for line in read_log(pair / "log.jsonl") if line["kind"] == "validation"]
    assert set(line) >= {"AP/smallest", "AP/largest", "AR/largest"}
    snapshot = read_snapshot(pair / "checkpoints/step-000000012.safetensors")
    assert snapshot.meta["best"]["best"][1] == 12
    assert (pair / "checkpoints/best.safetensors").exists()


def test_a_killed_rank_is_restarted_and_the_run_finishes(pair, run, tmp_path):
    done = run(tmp_path, ranks=2, restarts=1, kill_at=6)
    assert (tmp_path / "killed").exists()
    assert "from step 4 of 12" in done.stderr
    first = torch.load(pair / "final-0.pt", weights_only=True)
    second = torch.load(tmp_path / "final-1.pt", weights_only=True)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))

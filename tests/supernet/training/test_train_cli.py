"""The real command: killed, resumed, refused, validated, logged, swept."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from supernet import SearchSpace
from supernet.runs.log import TIME_FIELDS, read_log
from supernet.runs.snapshot import read_snapshot
from supernet.training.checkpoint import load_supernet
from supernet.training.distributed import Ranks
from supernet.training.job import TrainingJob, train_supernet
from supernet.training.options import TrainOptions

STEPS = 80
LONG = (f"train.steps={STEPS}", "train.checkpoint.every=5", "train.log_every=5", "data.workers=1")
SCORED = (
    "train.validation.every=4",
    "train.validation.images=4",
    "train.validation.calibration=4",
    "train.validation.subnets=1",
    "train.validation.pictures=2",
)


def outcome(folder: Path):
    """Tensors and counters of the last checkpoint, and the log without its time fields."""
    snapshot = read_snapshot(max((folder / "checkpoints").glob("step-*.safetensors")))
    lines = read_log(folder / "log.jsonl")
    return snapshot, [{k: v for k, v in line.items() if k not in TIME_FIELDS} for line in lines]


@pytest.fixture(scope="module")
def broken(command, environment, tmp_path_factory):
    """A run killed at a random moment, then terminated at another, then finished; with what it said."""
    folder = tmp_path_factory.mktemp("broken")
    generator = random.Random(0)
    said = []
    for kind in (signal.SIGKILL, signal.SIGTERM, None):
        process = subprocess.Popen(
            command("name=long", *LONG), cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
        )
        try:
            if kind is not None:
                while (
                    (line := process.stderr.readline()) and "steps in" not in line and "going on" not in line
                ):
                    pass
                time.sleep(generator.uniform(0.3, 1.2))
                process.send_signal(kind)
            said.append(process.communicate(timeout=200)[1])
        finally:
            process.kill()
        if kind != signal.SIGKILL:
            # Before and after the training itself, SIGTERM ends a process as it ends any other.
            assert process.returncode in (0, 128 + signal.SIGTERM, -signal.SIGTERM), said[-1]
    return folder / "runs/train/long", said


@pytest.fixture(scope="module")
def scored(launch, tmp_path_factory):
    """A run with validation and all loggers that need no account."""
    pytest.importorskip("wandb", reason="the optional package wandb is not installed")
    pytest.importorskip("tensorboard", reason="the optional package tensorboard is not installed")
    folder = tmp_path_factory.mktemp("scored")
    done = launch(folder, "name=scored", *SCORED, "logger=wandb_offline", "logger.tensorboard=true")
    assert done.returncode == 0, done.stderr
    return folder / "runs/train/scored"


def test_ended_at_random_moments_the_run_repeats_exactly(broken, data, micro, tmp_path):
    """The unbroken run is made in this process, from the same settings."""
    folder, _ = broken
    config = yaml.safe_load((folder / "config.yaml").read_text())
    settings = OmegaConf.merge(OmegaConf.structured(TrainOptions), config["train"])
    options = OmegaConf.to_object(settings)
    job = TrainingJob(tmp_path, data, options, seed=0, ranks=Ranks(torch.device("cpu")), config=config)
    train_supernet(job, SearchSpace.load(micro / "space.yaml"))
    (mine, my_log), (theirs, their_log) = outcome(tmp_path), outcome(folder)
    assert mine.meta == theirs.meta
    assert all(torch.equal(value, theirs.tensors[name]) for name, value in mine.tensors.items())
    assert my_log == their_log
    assert len(my_log) == STEPS / 5


def test_a_second_start_finds_it_done_and_other_settings_are_refused(launch, broken):
    run, _ = broken
    before = {path: path.stat().st_mtime_ns for path in (run / "checkpoints").iterdir()}
    again = launch(run.parents[2], "name=long", *LONG, "data.workers=0", "logger.project=other")
    assert again.returncode == 0, again.stderr
    assert f"is trained already ({STEPS} steps)" in again.stderr
    other = launch(run.parents[2], "name=long", *LONG, "seed=1")
    assert other.returncode == 2
    assert "started with other settings (seed: 0 there, 1 now)" in other.stderr
    assert {path: path.stat().st_mtime_ns for path in (run / "checkpoints").iterdir()} == before


def test_data_may_move_but_not_change(launch, data, tmp_path):
    """Where and how data are read is no part of a run; what their annotations say is."""
    steps = ("name=moved", "train.steps=2")
    assert launch(tmp_path, *steps).returncode == 0
    shutil.copytree(data.root, tmp_path / "there (new)")
    moved = f"data.root={tmp_path / 'there (new)'}"
    for settings in ([moved], [moved, "data.workers=1"], [moved, "data.cache=memory", "data.verify=none"]):
        again = launch(tmp_path, *steps, *settings)
        assert again.returncode == 0, again.stderr
        assert "is trained already" in again.stderr
    file = tmp_path / "there (new)/json/crowdpose_train.json"
    value = json.loads(file.read_text())
    value["annotations"][0]["keypoints"][0] += 1
    file.write_text(json.dumps(value))
    other = launch(tmp_path, *steps, moved)
    assert other.returncode == 2
    assert "was trained on other annotations" in other.stderr


def test_a_second_process_is_kept_out_of_a_run_that_goes_on(launch, command, environment, tmp_path):
    """The first one is stopped, so that it is there for sure; it then ends as if alone."""
    steps = ("train.steps=40", *LONG[1:])
    first = subprocess.Popen(
        command("name=once", *steps), cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        while (line := first.stderr.readline()) and "steps in" not in line:
            pass
        first.send_signal(signal.SIGSTOP)
        second = launch(tmp_path, "name=once", *steps, "seed=1")
        assert second.returncode == 2
        assert f"another process works in run folder {tmp_path}/runs/train/once" in second.stderr
        first.send_signal(signal.SIGCONT)
        first.communicate(timeout=200)
    finally:
        first.kill()
    assert first.returncode == 0
    assert len(outcome(tmp_path / "runs/train/once")[1]) == 40 / 5
    assert not (tmp_path / "runs/train/once/.lock").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.optimizer.lrr=1", "lrr"),
        ("train.steps=many", "train.steps"),
        ("train.sampling.rule=sandwitch", "train.sampling.rule='sandwitch' is not one of sandwich, random"),
        ("space=nowhere", "space 'nowhere' is neither a file nor a name"),
        ("data.root=nowhere", "nowhere"),
        ("accelerator=warp", "accelerator=warp cannot be used"),
        ("train.sigma=0", "sigma=0.0 must be a positive number"),
        ("seed=-1", "seed=-1 must be 0 or more"),
        ("threads=0", "threads=0 is not between 1 and 1024"),
        ("train.accumulate=3", "train.accumulate=3 does not divide"),
        ("train.optimizer.betas=[0.9]", "train.optimizer.betas=[0.9] must be two numbers"),
    ],
)
def test_bad_settings_end_in_one_line(launch, tmp_path, override, message):
    done = launch(tmp_path, override)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    # Nothing that would hold the next start to these settings.
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"config.yaml"}


def test_a_full_disk_ends_in_one_line_and_goes_on_later(launch, command, environment, tmp_path):
    """A file may hold 64 KiB, less than a checkpoint and more than the log."""
    limited = ["bash", "-c", 'ulimit -f 64 && exec "$@"', "_", *command("name=full")]
    done = subprocess.run(limited, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: nothing more can be written (File too large)")
    assert "the last good checkpoint is none" in last
    assert not any((tmp_path / "runs/train/full/checkpoints").iterdir())
    again = launch(tmp_path, "name=full")
    assert again.returncode == 0, again.stderr


def test_validation_is_logged_drawn_and_keeps_the_best(scored):
    lines = [line for line in read_log(scored / "log.jsonl") if line["kind"] == "validation"]
    assert [line["step"] for line in lines] == [4, 8]
    names = ("smallest", "largest", "random-1")
    assert all(
        {f"{metric}/{name}" for metric in ("AP", "AR") for name in names} <= set(line) for line in lines
    )
    for name in names:
        assert (scored / "pictures" / f"{name}-000000008.png").stat().st_size > 1000
    assert (scored / "curves.png").stat().st_size > 1000
    for which in ("best", "best-smallest", "best-largest"):
        assert load_supernet(scored, which).step in (4, 8)


def test_tensorboard_has_the_figures_and_pictures(scored):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(scored / "tensorboard"))
    events.Reload()
    (first, *_, last) = events.Scalars("train/loss")
    assert (first.step, last.step) == (2, 8)
    line = [line for line in read_log(scored / "log.jsonl") if line["kind"] == "train"][-1]
    assert last.value == pytest.approx(line["loss"])
    assert [event.step for event in events.Scalars("validation/AP/largest")] == [4, 8]
    assert [event.step for event in events.Images("predictions/largest")] == [4, 8]


def test_wandb_offline_keeps_a_run_to_sync(scored):
    (record,) = (scored / "wandb").glob("offline-run-*/*.wandb")
    assert record.stat().st_size > 1000
    key = (scored / "wandb-id.txt").read_text().strip()
    assert record.name == f"run-{key}.wandb"


def test_a_multirun_of_two_by_two_side_by_side_and_its_summary(launch, environment, tmp_path):
    grid = ("train.steps=4", "train.optimizer.lr=0.001,0.01", "train.loss.positive_weight=0,5")
    package = "hydra_plugins.hydra_joblib_launcher"
    pytest.importorskip(package, reason="the optional package hydra-joblib-launcher is not installed")
    settings = ("name=grid", *grid, "hydra/launcher=local_joblib")
    done = launch(tmp_path, *settings, launcher=("-m", "supernet.train", "-m"))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs/train/grid"
    assert sorted(path.parent.name for path in folder.glob("*/log.jsonl")) == [
        f"train.loss.positive_weight={weight},train.optimizer.lr={lr}"
        for weight in (0, 5)
        for lr in (0.001, 0.01)
    ]
    command = [sys.executable, "-m", "supernet.sweep", f"runs={folder}", "metric=loss/smallest"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    rows = (folder / "sweep.csv").read_text().splitlines()
    columns = "train.loss.positive_weight,train.optimizer.lr,steps,loss/largest,loss/smallest,loss"
    assert rows[0].startswith(columns)
    losses = [float(row.split(",")[4]) for row in rows[1:]]
    assert len(losses) == 4
    assert losses == sorted(losses)
    assert (folder / "sweep.png").stat().st_size > 1000
    assert "4 runs, best by loss/smallest first" in done.stdout

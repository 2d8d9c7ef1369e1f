"""Stopped anywhere, a run goes on as if it had not been; what goes wrong ends in one clear line."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from supernet import InputError
from supernet.runs.log import TIME_FIELDS, read_log
from supernet.runs.snapshot import read_snapshot
from supernet.training.checkpoint import load_supernet, supernet_about
from supernet.training.distributed import Ranks
from supernet.training.job import TrainingJob, sort_state, train_supernet
from supernet.training.options import (
    CheckpointOptions,
    GuardOptions,
    OptimizerOptions,
    SamplingOptions,
    TrainOptions,
    ValidationOptions,
)
from supernet.training.state import TrainingState
from supernet.training.trainer import Trainer

OPTIONS = TrainOptions(
    steps=8,
    batch_size=2,
    log_every=3,
    sampling=SamplingOptions(random=1),
    optimizer=OptimizerOptions(lr=1e-2, warmup=2, ema=0.9),
    checkpoint=CheckpointOptions(every=2, keep=2),
    validation=ValidationOptions(every=0),
)


class Crash(Exception):
    """A process that dies here."""


@pytest.fixture(scope="module")
def train(space, data):
    def run(folder, options=OPTIONS):
        job = TrainingJob(folder, data, options, seed=0, ranks=Ranks(torch.device("cpu")))
        return train_supernet(job, space)

    return run


@pytest.fixture(scope="module")
def whole(train, tmp_path_factory):
    """The folder of an unbroken run."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder)
    return folder


@pytest.fixture
def at_step(monkeypatch):
    """`at_step(n, action)`: call `action` when step n begins, once."""

    def install(step, action):
        original = Trainer._train_step

        def patched(self, batch, stop):
            if self.state.step == step and not done:
                done.append(step)
                action(self)
            return original(self, batch, stop)

        done = []
        monkeypatch.setattr(Trainer, "_train_step", patched)

    return install


def outcome(folder):
    """All tensors and counters of the last checkpoint, and the log without its time fields."""
    steps = sorted((folder / "checkpoints").glob("step-*.safetensors"))
    snapshot = read_snapshot(steps[-1])
    lines = [
        {k: v for k, v in line.items() if k not in TIME_FIELDS} for line in read_log(folder / "log.jsonl")
    ]
    return snapshot, lines


def assert_same(first, second):
    (mine, my_log), (theirs, their_log) = first, second
    assert mine.meta == theirs.meta
    assert mine.tensors.keys() == theirs.tensors.keys()
    for name, value in mine.tensors.items():
        assert torch.equal(value, theirs.tensors[name]), name
    assert my_log == their_log


def crash(trainer):
    raise Crash


def interrupt(trainer):
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("step", [1, 5, 7])
def test_a_crashed_run_repeats_exactly(train, whole, at_step, tmp_path, step):
    at_step(step, crash)
    with pytest.raises(Crash):
        train(tmp_path / "broken")
    assert train(tmp_path / "broken") == 0
    assert_same(outcome(whole), outcome(tmp_path / "broken"))


def test_sigterm_saves_and_the_run_goes_on_exactly(train, whole, at_step, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    at_step(4, interrupt)
    assert train(tmp_path / "broken") == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    assert outcome(tmp_path / "broken")[0].meta["step"] == 5  # the step in hand was finished
    assert train(tmp_path / "broken") == 0
    assert_same(outcome(whole), outcome(tmp_path / "broken"))


def test_channel_sorting_sgd_and_a_teacher_resume_exactly_too(train, at_step, tmp_path):
    options = replace(
        OPTIONS,
        sampling=SamplingOptions(rule="random", largest_first=4, random=1, teacher=True),
        optimizer=OptimizerOptions(name="sgd", lr=1e-2, warmup=2, ema=0.9, restart=4),
        accumulate=2,
    )
    train(tmp_path / "whole", options)
    at_step(4, crash)
    with pytest.raises(Crash):
        train(tmp_path / "broken", options)
    train(tmp_path / "broken", options)
    lines = [line for line in read_log(tmp_path / "whole" / "log.jsonl") if line["kind"] == "train"]
    assert ["distillation" in line for line in lines] == [False, True, True]
    assert outcome(tmp_path / "whole")[0].meta["channels_sorted"]
    assert_same(outcome(tmp_path / "whole"), outcome(tmp_path / "broken"))


def test_sorting_channels_keeps_what_the_largest_network_computes(whole, space):
    trained = load_supernet(whole, "last")
    state = TrainingState(trained.net, OPTIONS.optimizer, supernet_about(trained.net))
    state.restore(trained.path)
    images = torch.randn(2, 3, 64, 64)
    moments = {n: state.optimizer.state[p]["exp_avg"].clone() for n, p in state.net.named_parameters()}
    with torch.no_grad():
        before = [state.net(images, space.largest()), state.averaged(images, space.largest())]
        sort_state(state)
        after = [state.net(images, space.largest()), state.averaged(images, space.largest())]
    for old, new in zip(before, after, strict=True):
        for a, b in zip(old, new, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    moved = 0
    for name, parameter in state.net.named_parameters():
        now = state.optimizer.state[parameter]["exp_avg"]
        assert torch.equal(now.flatten().sort()[0], moments[name].flatten().sort()[0])
        moved += not torch.equal(now, moments[name])
    assert moved > 10


def test_a_finished_run_is_left_alone(train, whole, capsys):
    first = outcome(whole)
    # Killed just before it removed an old one.
    last = max((whole / "checkpoints").glob("step-*"))
    left = shutil.copy(last, last.with_name("step-000000001.safetensors"))
    train(whole)
    assert_same(first, outcome(whole))
    assert not Path(left).exists()
    assert "is trained already (8 steps)" in capsys.readouterr().err


def test_the_last_two_checkpoints_are_kept(whole):
    names = sorted(path.name for path in (whole / "checkpoints").iterdir())
    assert names == ["step-000000006.safetensors", "step-000000008.safetensors"]


def poison(trainer):
    """Weights that give nan for the next step only."""
    weight = next(trainer.state.net.parameters())
    kept = weight.detach().clone()
    weight.data.fill_(float("nan"))
    forward = trainer.task.forward

    def heal(images, arch):
        heads = forward(images, arch)
        if arch == trainer.task.schedule.subnets(trainer.state.step)[-1].arch:
            weight.data.copy_(kept)
        return heads

    trainer.task.forward = heal


def test_a_step_that_is_not_finite_is_skipped_and_counted(train, at_step, tmp_path):
    at_step(4, poison)
    train(tmp_path / "run")
    snapshot, lines = outcome(tmp_path / "run")
    assert snapshot.meta["skipped"] == [1, 0]
    assert [line["skipped"] for line in lines] == [0, 1, 1]
    assert all(torch.isfinite(value).all() for value in snapshot.tensors.values())
    assert {int(v) for n, v in snapshot.tensors.items() if n.startswith("optimizer.step.")} == {7}


def test_too_many_bad_steps_stop_the_run_and_name_the_last_good_checkpoint(train, at_step, tmp_path):
    def break_for_good(trainer):
        next(trainer.state.net.parameters()).data.fill_(float("inf"))

    at_step(5, break_for_good)
    with pytest.raises(InputError, match=r"stopped at step 6: 2 steps .*/step-000000004\.safetensors"):
        train(tmp_path / "run", replace(OPTIONS, guards=GuardOptions(in_a_row=2)))
    saved = read_snapshot(tmp_path / "run/checkpoints/step-000000004.safetensors")
    assert all(torch.isfinite(value).all() for value in saved.tensors.values())


def test_a_full_disk_ends_clearly_and_leaves_the_old_checkpoint(train, whole, at_step, tmp_path, monkeypatch):
    from supernet.runs import files

    def full(trainer):
        def write(path, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("supernet.runs.snapshot.write_bytes", write)

    at_step(5, full)
    with pytest.raises(InputError, match=r"No space left on device.*step-000000004\.safetensors; free some"):
        train(tmp_path / "run")
    monkeypatch.setattr("supernet.runs.snapshot.write_bytes", files.write_bytes)
    read_snapshot(tmp_path / "run/checkpoints/step-000000004.safetensors")
    train(tmp_path / "run")
    assert_same(outcome(whole), outcome(tmp_path / "run"))


def test_a_batch_that_does_not_divide_is_refused(train, tmp_path):
    with pytest.raises(InputError, match=r"train\.accumulate=3 does not divide the 2 images"):
        train(tmp_path / "run", replace(OPTIONS, accumulate=3))

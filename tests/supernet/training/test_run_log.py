"""The JSONL log."""

from __future__ import annotations

import json

import pytest

from supernet import InputError
from supernet.runs.log import Meters, RunLog, read_log


def test_lines_are_written_and_read_back(tmp_path):
    log = RunLog(tmp_path / "run/log.jsonl")
    log.write("train", 5, {"loss": 0.25, "note": "text"})
    log.write("validation", 5, {"AP/largest": 0.5})
    log.close()
    first, second = read_log(tmp_path / "run/log.jsonl")
    assert (first["schema"], first["kind"], first["step"], first["loss"]) == (1, "train", 5, 0.25)
    assert second["AP/largest"] == 0.5


def test_a_resumed_log_drops_what_the_checkpoint_does_not_know(tmp_path):
    path = tmp_path / "log.jsonl"
    log = RunLog(path)
    for step in (2, 4, 6):
        log.write("train", step, {})
    log.close()
    path.write_text(path.read_text() + '{"step": 7, "kind": "tr')  # killed while writing
    RunLog(path, resume_step=4).close()
    assert [line["step"] for line in read_log(path)] == [2, 4]


@pytest.mark.parametrize("cut", [0, 1])
def test_a_log_that_lost_its_end_is_told(tmp_path, cut):
    path = tmp_path / "log.jsonl"
    log = RunLog(path)
    for step in (2, 4, 6):
        log.write("train", step, {})
    log.close()
    whole = path.read_text().splitlines(keepends=True)
    RunLog(path, resume_step=5, logged=4).close()
    path.write_text("".join(whole[:cut]))
    with pytest.raises(InputError, match=f"ends at step {2 * cut} and had lines to step 4; put it back"):
        RunLog(path, resume_step=5, logged=4)
    assert path.read_text() == "".join(whole[:cut])
    path.unlink()
    RunLog(path, resume_step=5, logged=4).close()


@pytest.mark.parametrize("line", ["nonsense", "{}", "[1]", "3", '{"step": true}', '{"step": 1, "kind": []}'])
def test_a_mangled_log_is_named(tmp_path, line):
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"step": 1}) + f"\n{line}\n" + json.dumps({"step": 2}) + "\n")
    with pytest.raises(InputError, match="line 2 of log"):
        read_log(path)


class Memory:
    def __init__(self, keeps=False):
        self.keeps = keeps
        self.seen = []

    def scalars(self, step, values):
        self.seen.append((step, values))

    def picture(self, step, name, path):
        self.seen.append((step, name, path))

    def close(self):
        self.seen.append("closed")


def test_what_was_sent_before_a_kill_is_not_sent_twice(tmp_path):
    path = tmp_path / "log.jsonl"

    def write(log, steps):
        for step in steps:
            log.write("train", step, {"loss": step})
        log.write("validation", steps[-1], {"AP": 0.5})
        log.picture(steps[-1], "largest", tmp_path / "a.png")

    write(RunLog(path), [1, 2, 3])
    keeping, forgetting = Memory(keeps=True), Memory()
    write(RunLog(path, [keeping, forgetting], resume_step=1), [2, 3])
    assert keeping.seen == []
    assert [entry[0] for entry in forgetting.seen] == [2, 3, 3, 3]
    later = Memory(keeps=True)
    log = RunLog(path, [later], resume_step=2)
    write(log, [3, 4])
    assert later.seen[0] == (4, {"train/loss": 4.0})
    assert [line["step"] for line in read_log(path)] == [1, 2, 3, 4, 4]


def test_sinks_get_the_metrics_by_kind(tmp_path):
    sink = Memory()
    log = RunLog(tmp_path / "log.jsonl", [sink])
    log.write("train", 3, {"loss": 1, "note": "text"})
    log.picture(3, "largest", tmp_path / "a.png")
    log.close()
    assert sink.seen == [(3, {"train/loss": 1.0}), (3, "largest", tmp_path / "a.png"), "closed"]


def test_meters_average_and_survive_a_checkpoint():
    meters = Meters()
    meters.add({"a": 0.1, "b": 1.0})
    meters = Meters(json.loads(json.dumps(meters.state())))
    meters.add({"a": 0.2})
    assert meters.means() == {"a": 0.15, "b": 1.0}
    meters.clear()
    assert meters.means() == {}

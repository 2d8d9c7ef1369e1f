"""What someone was sent runs no code and writes nowhere but into the run: attacks, by the real commands."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "experiments" / "faults"))

import harness

MARKER = "CODE_WAS_RUN"


def refused(folder: Path, module: str, *arguments: str) -> str:
    """The one line in which a command refuses; no code was run, and no environment variable told."""
    done = harness.run(module, arguments, folder)
    assert done.verdict() == "refused", done.err
    assert not list(folder.rglob(MARKER))
    assert "geheim" not in done.out + done.err
    return done.line()


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "geheim")
    harness.import_heavy()


@pytest.mark.parametrize(
    "value",
    [
        f'!!python/object/apply:os.system ["touch {MARKER}"]',
        "!!python/name:os.system",
        f"{{_target_: os.system, command: touch {MARKER}}}",
    ],
)
def test_yaml_runs_no_code(tmp_path: Path, value: str) -> None:
    (tmp_path / "space.yaml").write_text(f"schema: 1\nname: x\nstem: {value}\n")
    refused(tmp_path, "supernet.describe", "space=space.yaml")


def test_settings_run_no_code(tmp_path: Path) -> None:
    (tmp_path / "settings" / "data").mkdir(parents=True)
    text = f"root: {{_target_: os.system, command: touch {MARKER}}}\n"
    (tmp_path / "settings" / "data" / "mine.yaml").write_text(text)
    refused(tmp_path, "supernet.audit", "--config-dir", "settings", "data=mine", "splits=[val]")


def checkpoint(folder: Path, data: dict[str, object]) -> None:
    """A checkpoint as a stranger may send it: whole but for what it says about its data."""
    from supernet import SearchSpace, Supernet
    from supernet.pose import Skeleton
    from supernet.runs.snapshot import Snapshot, write_snapshot
    from supernet.training.checkpoint import supernet_about

    net = Supernet(SearchSpace.load("nano"), 14)
    net.skeleton = Skeleton.load("crowdpose")
    tensors = {f"model.{name}": value.detach() for name, value in net.named_parameters()}
    path = folder / "run" / "checkpoints" / "step-000000001.safetensors"
    path.parent.mkdir(parents=True)
    write_snapshot(path, Snapshot(tensors, {"step": 1, "config": {"data": data}, **supernet_about(net)}))


@pytest.mark.parametrize("name", ["root", "poses"])
def test_a_checkpoint_reads_no_environment_variable(tmp_path: Path, name: str) -> None:
    (tmp_path / "here").mkdir()
    checkpoint(tmp_path / "here", {name: "${oc.env:SECRET}"})
    line = refused(tmp_path / "here", "search.run", "supernet=run", "budgets.macs=[0.5]")
    assert "config" in line or "data" in line


@pytest.mark.parametrize("way", ["absolute", "relative"])
def test_a_checkpoint_makes_no_data_elsewhere(tmp_path: Path, way: str) -> None:
    root = str(tmp_path / "elsewhere" / "set") if way == "absolute" else "../elsewhere/set"
    (tmp_path / "here").mkdir()
    small = {"train": 1, "val": 1, "test": 1, "size": 64}
    checkpoint(tmp_path / "here", {"root": root, "layout": "synthetic", "render": small})
    line = refused(tmp_path / "here", "search.run", "supernet=run", "budgets.macs=[0.5]")
    assert "where nothing is; if they moved, give data.root=..., else choose the data" in line
    assert not (tmp_path / "elsewhere").exists()


def test_what_was_planted_as_a_link_is_not_written_through(tmp_path: Path) -> None:
    from search.study.journal import Journal
    from supernet.errors import InputError
    from supernet.runs.files import remove_litter, write_text
    from supernet.runs.folders import alone_in
    from supernet.runs.log import RunLog

    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").symlink_to(victim)
    (folder / ".config.yaml.part-abcdefgh.yaml").symlink_to(victim)
    (folder / ".net.part-abcdefgh").symlink_to(tmp_path)
    os.mkfifo(folder / ".pipe.part-abcdefgh")
    remove_litter(folder)
    write_text(folder / "config.yaml", "ours")
    elsewhere = tmp_path / "elsewhere"
    for name in ("log.jsonl", ".lock", "study.journal", "a.journal.lock"):
        (folder / name).symlink_to(elsewhere)
    RunLog(folder / "log.jsonl").close()
    with pytest.raises(OSError, match="symbolic links"), alone_in(folder):
        pass
    with pytest.raises(InputError, match="is a link"):
        Journal(folder / "study.journal")
    with pytest.raises(OSError, match="symbolic links"):
        Journal(folder / "a.journal").append_logs([{"op_code": 0}])
    assert not elsewhere.exists()
    assert victim.read_text() == "mine"
    assert (folder / "config.yaml").read_text() == "ours"
    assert not (folder / "config.yaml").is_symlink()


def test_a_run_that_was_sent_leads_nowhere_else(tmp_path: Path) -> None:
    from supernet.errors import InputError
    from supernet.options import CommandOptions
    from supernet.runs.folders import claim_run_folder

    (tmp_path / "elsewhere").mkdir()
    run = tmp_path / "run"
    claim_run_folder(run, CommandOptions())
    (run / "logs" / "today").mkdir(parents=True)
    (run / "logs" / "last").symlink_to("today")
    assert claim_run_folder(run, CommandOptions())
    (run / "logs" / "checkpoints").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"logs/checkpoints leads out of the run folder"):
        claim_run_folder(run, CommandOptions())


def test_a_terminal_is_told_nothing_to_obey(tmp_path: Path) -> None:
    name = "\x1b]0;owned\x07\x1b[2J\x9b31m\rok"
    line = refused(tmp_path, "supernet.describe", f"arch={name}.yaml")
    assert r"\x1b]0;owned\x07\x1b[2J\x9b31m\x0dok" in line
    from supernet.cli import is_users
    from supernet.errors import InputError
    from supernet.pose import Skeleton
    from supernet.runs.files import write_text
    from supernet.runs.folders import alone_in

    turned = "\u202egnp\u2069\ud800"
    assert str(InputError(turned)) == r"\u202egnp\u2069\ud800"
    with pytest.raises(InputError, match=r"report cannot be written: .*gnp.*d800.* is no UTF-8; rename"):
        write_text(tmp_path / "report", turned)
    for each in (name, turned):
        joints = {"name": "mine", "joints": [each, "b"], "sigmas": [0.1, 0.1]}
        (tmp_path / "joints.yaml").write_text(json.dumps(joints))
        with pytest.raises(InputError, match="holds control characters"):
            Skeleton.load(str(tmp_path / "joints.yaml"))
    (tmp_path / ".lock").mkdir()
    with pytest.raises(IsADirectoryError) as told, alone_in(tmp_path):
        pass
    assert is_users(told.value)


def test_names_of_things_import_nothing(tmp_path: Path) -> None:
    (tmp_path / "arch.yaml").write_text("schema: 1\nfamily: os:system\ninput_shape: [64, 64]\nsettings: {}\n")
    assert "'os:system' is not known" in refused(tmp_path, "supernet.describe", "arch=arch.yaml")


@pytest.mark.parametrize("way", ["hls", "concat", "sdp"])
def test_a_playlist_in_the_place_of_a_video_reaches_nothing(tmp_path: Path, way: str) -> None:
    import socket

    from subnets.portable.frames import open_frames
    from supernet.errors import InputError

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        place = f"http://127.0.0.1:{server.getsockname()[1]}/x.ts"
        texts = {
            "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{place}\n#EXT-X-ENDLIST\n",
            "concat": f"ffconcat version 1.0\nfile {place}\n",
            "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        }
        (tmp_path / "clip.mp4").write_text(texts[way])
        with pytest.raises(InputError, match="cannot be opened"):
            open_frames(str(tmp_path / "clip.mp4"))
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_report_shows_names_as_text() -> None:
    from search.report.page import image, table

    name = '"><script>alert(1)</script>'
    assert "<script" not in table([name], [[name]]) + image(b"", name)


def test_a_zip_does_not_climb_out(tmp_path: Path) -> None:
    import zipfile

    from supernet.data.images.store import Store
    from supernet.errors import InputError

    (tmp_path / "secret.jpg").write_text("geheim")
    (tmp_path / "data").mkdir()
    with zipfile.ZipFile(tmp_path / "data" / "images.zip", "w") as archive:
        archive.writestr("../../planted.jpg", "x")
    store = Store(tmp_path / "data")
    with pytest.raises(InputError, match="does not exist"):
        store.read("images/1.jpg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "secret.jpg"]


def test_onnx_data_elsewhere_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    from subnets.portable.session import OnnxSession
    from supernet.errors import InputError

    (tmp_path / "secret.bin").write_bytes(bytes(16))
    (tmp_path / "here").mkdir()
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../secret.bin"), ("offset", "0"), ("length", "16")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    node = helper.make_node("Add", ["x", "w"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy"]
    model = helper.make_model(helper.make_graph([node], "g", values[:1], values[1:], [tensor]))
    (tmp_path / "here" / "model.onnx").write_bytes(model.SerializeToString())
    assert onnx is not None
    with pytest.raises(InputError):
        OnnxSession(tmp_path / "here" / "model.onnx", threads=1)

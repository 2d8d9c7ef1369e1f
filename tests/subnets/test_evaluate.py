"""The evaluate command: rows side by side, files, what is kept between starts, what is refused."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from search import profile
from search.devices.options import ProfileCommand
from subnets import Subnet, build, save
from subnets.benchmark import __main__ as benchmark
from subnets.benchmark.options import BenchmarkCommand, BenchmarkOptions
from subnets.evaluate.__main__ import EvaluateCommand, run
from subnets.export.onnx_graph import export_onnx
from subnets.network import fuse
from subnets.portable.manifest import Manifest
from supernet import Arch, InputError, audit, evaluation
from supernet.audit import AuditCommand
from supernet.data.source import DataConfig, ensure_data
from supernet.options import EvaluationOptions
from supernet.pose import Skeleton, score
from supernet.pose.diagnosis import JOINT_TYPES
from supernet.pose.grouping import MATCHING

NINE = ["AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP_easy", "AP_medium", "AP_hard"]


def command(data: DataConfig, arch: Any, **settings: Any) -> EvaluateCommand:
    options = settings.pop("evaluation", EvaluationOptions(images=3))
    return EvaluateCommand(arch=arch, name="x", threads=1, data=data, evaluation=options, **settings)


@pytest.fixture
def folder(small_folder: Path, small_onnx: Path, tmp_path: Path) -> Path:
    """The small network with its ONNX file."""
    target = tmp_path / "net"
    shutil.copytree(small_folder, target)
    shutil.copy(small_onnx, target / "model.onnx")
    return target


def test_several_networks_side_by_side(
    folder: Path, tiny_data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = command(tiny_data, [str(folder), str(folder / "model.onnx")])
    run(config, tmp_path / "out")
    shown = capsys.readouterr().out
    for text in ("AP_hard", "GMACs", "inversion", "left_shoulder", "3 images"):
        assert text in shown, text
    rows = list(csv.DictReader((tmp_path / "out" / "results.csv").open()))
    assert [row["name"] for row in rows] == ["net", "net-2"]
    assert list(rows[0])[1:10] == NINE
    assert [rows[0][key] for key in NINE] == [rows[1][key] for key in NINE]
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["environment"]["runtime"] for row in record["networks"]] == ["torch", "onnxruntime"]
    assert record["networks"][0]["images"] == 3
    assert isinstance(json.loads((tmp_path / "out" / "detections" / "net.json").read_text()), list)
    assert cv2.imread(str(tmp_path / "out" / "results.png")) is not None


def test_what_is_left_out_is_counted_and_listed(
    folder: Path, tiny_data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_data(tiny_data)
    root = tmp_path / "set"
    shutil.copytree(tiny_data.root, root)
    broken = sorted(json.loads((root / "json/crowdpose_test.json").read_text())["images"], key=id_of)[1]
    (root / "images" / broken["file_name"]).write_bytes(b"no picture")
    data = DataConfig(root=str(root), on_error="skip", verify="none", workers=0)
    run(command(data, [str(folder), str(folder / "model.onnx")], runtime="onnxruntime"), tmp_path / "out")
    assert "1 records were left out; results.json lists them" in " ".join(capsys.readouterr().out.split())
    for network in json.loads((tmp_path / "out" / "results.json").read_text())["networks"]:
        assert network["images"] == 2
        assert [one["record"] for one in network["skipped"]] == [f"image {broken['id']}"]
        assert broken["file_name"] in network["skipped"][0]["reason"]
    assert [row["skipped"] for row in csv.DictReader((tmp_path / "out" / "results.csv").open())] == ["1", "1"]


def id_of(image: dict[str, Any]) -> int:
    return int(image["id"])


def test_a_second_start_scores_only_what_is_missing(
    folder: Path, tiny_data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = command(tiny_data, str(folder))
    run(config, tmp_path / "out")
    kept = tmp_path / "out" / "networks" / "net.json"
    marked = {**json.loads(kept.read_text()), "images": 77}
    kept.write_text(json.dumps(marked))
    run(config, tmp_path / "out")
    assert "what it had was reused" in " ".join(capsys.readouterr().out.split())
    assert json.loads((tmp_path / "out" / "results.json").read_text())["networks"][0]["images"] == 77
    with pytest.raises(InputError, match=r"other settings \(split: 'test' there, 'val' now"):
        run(command(tiny_data, str(folder), split="val"), tmp_path / "out")


def test_a_score_of_other_weights_is_not_taken_for_this_ones(
    folder: Path, small_arch: Arch, tiny_data: DataConfig, tmp_path: Path
) -> None:
    config = command(tiny_data, str(folder))
    run(config, tmp_path / "out")
    shutil.rmtree(folder)
    other: Subnet = build(small_arch, num_joints=14, seed=4)
    other.skeleton = Skeleton.load("crowdpose")
    save(other, folder)
    with pytest.raises(InputError, match="is the score of other weights than net has now"):
        run(config, tmp_path / "out")


def test_a_fixed_shape_is_scored_in_its_square_alone(
    small_net: Subnet, tiny_data: DataConfig, tmp_path: Path
) -> None:
    for name, shape in (("square", (96, 96)), ("wide", (64, 96))):
        manifest = Manifest("x", 96, Skeleton.load("crowdpose"), shape, arch=small_net.arch.to_dict())
        export_onnx(fuse(small_net), tmp_path / f"{name}.onnx", manifest)
    run(command(tiny_data, str(tmp_path / "square.onnx")), tmp_path / "out")
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert record["networks"][0]["images"] == 3
    with pytest.raises(InputError, match="fixed shape 64 x 96 is not scored, only the square of 96"):
        run(command(tiny_data, str(tmp_path / "wide.onnx")), tmp_path / "out2")


def test_random_weights_and_other_joints_are_refused(
    small_arch: Arch, tiny_data: DataConfig, tmp_path: Path
) -> None:
    small_arch.save(tmp_path / "plain.yaml")
    with pytest.raises(InputError, match="plain has random weights"):
        run(command(tiny_data, str(tmp_path / "plain.yaml")), tmp_path / "out")
    coco: Subnet = build(small_arch, num_joints=17)
    coco.skeleton = Skeleton.load("coco")
    save(coco, tmp_path / "coco")
    with pytest.raises(InputError, match=r"finds the 17 joints of 'coco', .* labels the 14 of 'crowdpose'"):
        run(command(tiny_data, str(tmp_path / "coco")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_scorer_and_suppression_are_settings(
    folder: Path, tiny_data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for settings, told in (
        ({"scorer": "mine"}, "unknown scorer 'mine'"),
        ({"scorer": "pycocotools"}, "unknown scorer 'pycocotools' for this protocol"),
        ({"scorer": "crowdposetools"}, "crowdposetools is not installed"),
        ({"oks_nms": 2.0}, "oks_nms must lie between 0 and 1"),
    ):
        with pytest.raises(InputError, match=told):
            run(command(tiny_data, str(folder), **settings), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    asked = []
    monkeypatch.setattr(evaluation, "score", lambda *given: asked.append(given[3]) or score(*given))
    found = {}
    for name, oks_nms, rule in (("all", None, None), ("some", 0.01, "greedy")):
        options = EvaluationOptions(matching=rule)
        settings = {"scorer": "faster-coco-eval", "oks_nms": oks_nms, "evaluation": options}
        run(command(tiny_data, str(folder), **settings), tmp_path / name)
        found[name] = json.loads((tmp_path / name / "detections" / "net.json").read_text())
        environment = json.loads((tmp_path / name / "networks" / "net.json").read_text())["environment"]
        assert environment["matching"] == (rule or MATCHING)
    assert set(asked) == {"faster-coco-eval"}
    assert 0 < len(found["some"]) < len(found["all"])


def test_a_folder_without_onnx_file_is_told_to_export(
    small_folder: Path, tiny_data: DataConfig, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="small has no file for onnxruntime; export it first"):
        run(command(tiny_data, str(small_folder), runtime="onnxruntime"), tmp_path / "out")


@pytest.mark.parametrize(
    "damage",
    [
        3,
        [],
        {"stats": {"AP": "x"}},
        {"stats": {}},
        {"macs": None},
        {"name": {"e": "e"}},
        {"skipped": 3},
        {"diagnosis": {"joints": {"neck": 3}}},
        {"diagnosis": {"people": "1"}},
        {"diagnosis": {"metrics": {"miss": 0.6}}},
        {"diagnosis": {"metrics": {"as it is": 0.5, "miss": None}}},
        {"diagnosis": {"metrics": 3}},
    ],
)
def test_a_damaged_score_is_named(damage: Any) -> None:
    from subnets.evaluate.report import NetScore

    joints = {"neck": dict.fromkeys(JOINT_TYPES, 1)}
    people = {"people": 1, "matched": 1, "background": 0, "misordered": 0}
    diagnosis = {"joints": joints, **people, "metrics": {"as it is": 0.5, "miss": 0.6}}
    score = NetScore("e", {"AP": 0.5}, 1, 2.5, 1, 1, 1, 0.5, 0.25, diagnosis, {})
    whole = score.to_dict()
    assert NetScore.from_dict(whole, "e.json") == score
    broken = {**whole, **damage} if isinstance(damage, dict) else damage
    if isinstance(damage, dict) and "diagnosis" in damage:
        broken["diagnosis"] = {**whole["diagnosis"], **damage["diagnosis"]}
    with pytest.raises(InputError, match=r"^e\.json"):
        NetScore.from_dict(broken, "e.json")


def test_one_process_at_a_time_works_in_a_folder(
    small_folder: Path, tiny_data: DataConfig, tmp_path: Path
) -> None:
    """A record lock is the process's: another one has to hold it."""
    timing = BenchmarkOptions(rounds=1, warmup=0)
    measuring = BenchmarkCommand(arch=str(small_folder), runtime="torch", threads=1, benchmark=timing)
    starts: dict[str, Callable[[Path], None]] = {
        "evaluate": lambda folder: run(command(tiny_data, str(small_folder)), folder),
        "audit": lambda folder: audit.run(AuditCommand(splits=["val"], data=tiny_data), folder),
        "benchmark": lambda folder: benchmark.run(measuring, folder),
        "profile": lambda folder: profile.run(ProfileCommand(space="nano"), folder),
    }
    code = (
        "import contextlib, pathlib, sys; from supernet.runs.folders import alone_in\n"
        "with contextlib.ExitStack() as stack:\n"
        "    [stack.enter_context(alone_in(pathlib.Path(name))) for name in sys.argv[1:]]\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    pipe, words = subprocess.PIPE, [sys.executable, "-c", code, *starts]
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, cwd=tmp_path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        for name, start in starts.items():
            with pytest.raises(InputError, match=f"another process works in run folder .*{name}; wait"):
                start(tmp_path / name)
        other.communicate("")
    # One after the other: an audit looks anew, measurements are kept.
    for _ in range(2):
        starts["audit"](tmp_path / "audit")
    starts["benchmark"](tmp_path / "benchmark")
    with pytest.raises(InputError, match="holds measurements already"):
        starts["benchmark"](tmp_path / "benchmark")

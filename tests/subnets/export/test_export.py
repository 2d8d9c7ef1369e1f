"""The export command: complete folders, proof before "done", nothing overwritten."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from subnets import Subnet, load, save
from subnets.benchmark.__main__ import run as benchmark
from subnets.benchmark.options import BenchmarkCommand, BenchmarkOptions
from subnets.compare import CompareCommand
from subnets.compare import run as compare
from subnets.export import onnx_graph
from subnets.export.__main__ import run
from subnets.export.formats import FORMATS, check_formats, relative_difference
from subnets.export.options import ExportCommand, ExportOptions
from subnets.portable.main import open_predictor
from subnets.portable.session import OnnxSession
from subnets.runtime import manifest_of, open_runtime
from subnets.source import open_source
from supernet import Arch, InputError
from supernet.data.source import DataConfig


def command(folder: Path, **settings: object) -> ExportCommand:
    options = ExportOptions(latency_rounds=0, bundle=False)
    return ExportCommand(**{"arch": str(folder), "name": "x", "export": options, **settings})  # type: ignore[arg-type]


def test_an_export_is_complete_and_the_same_network(
    small_net: Subnet,
    small_folder: Path,
    web_package: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "out"
    given = {"web": {"package": str(web_package)}}
    options = ExportOptions(latency_rounds=0, bundle=False, options=given)
    config = command(small_folder, format="onnx,torch_export,web", export=options)
    run(config, folder)
    names = {path.name for path in folder.iterdir()}
    assert {"arch.yaml", "model.safetensors", "meta.json", "model.onnx", "model.pt2", "export.json"} <= names
    assert load(folder).arch == small_net.arch
    images = np.random.default_rng(0).standard_normal((1, 3, 96, 128), dtype=np.float32)
    expected = open_runtime(small_net)(images)
    files = (("model.onnx", "onnxruntime"), ("model.pt2", "torch.export"), ("web/model.onnx", "onnxruntime"))
    for file, kind in files:
        assert relative_difference(open_runtime(folder / file, kind)(images), expected) < 1e-4
    record = json.loads((folder / "export.json").read_text())
    assert [item["difference"] < 1e-4 for item in record["formats"]] == [True, True, True]
    assert record["formats"][2]["bytes"] == sum(path.stat().st_size for path in (folder / "web").iterdir())
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    run(config, folder)
    assert "holds this export already" in " ".join(capsys.readouterr().out.split())
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_an_existing_export_is_not_overwritten(small_folder: Path, small_net: Subnet, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    run(command(small_folder), folder)
    kept = (folder / "model.onnx").read_bytes()
    with pytest.raises(InputError, match="started with other settings"):
        run(command(small_folder, export=ExportOptions(shapes="fixed")), folder)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="exists already; nothing was written"):
        run(command(small_folder), tmp_path / "full")
    changed = load(small_folder)
    next(changed.parameters()).data.add_(1)
    source = tmp_path / "source"
    save(changed, source)
    config = command(source)
    run(config, tmp_path / "second")
    next(changed.parameters()).data.add_(1)
    source.rename(tmp_path / "moved")
    save(changed, source)
    with pytest.raises(InputError, match="exported from other weights"):
        run(config, tmp_path / "second")
    assert (folder / "model.onnx").read_bytes() == kept


def test_a_difference_beyond_the_tolerance_leaves_nothing(small_folder: Path, tmp_path: Path) -> None:
    options = ExportOptions(tolerance=1e-12, latency_rounds=0, bundle=False)
    with pytest.raises(InputError, match=r"onnx in onnxruntime differs from torch by .* nothing was written"):
        run(command(small_folder, export=options), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_fixed_shape_is_the_only_one_taken(small_folder: Path, small_net: Subnet, tmp_path: Path) -> None:
    shape = {"shapes": "fixed", "input_shape": [64, 96], "latency_rounds": 0, "bundle": False}
    options = ExportOptions(**shape, matching="greedy", opset=11)  # type: ignore[arg-type]
    run(command(small_folder, export=options), tmp_path / "out")
    assert onnx.load(tmp_path / "out" / "model.onnx").opset_import[0].version == 11
    # The rule of grouping travels along, in the file and in the folder.
    assert open_predictor(tmp_path / "out" / "model.onnx").options.decode.matching == "greedy"
    for path in (tmp_path / "out", tmp_path / "out" / "model.onnx"):
        opened = open_source(str(path))
        assert opened.matching == manifest_of(opened, "onnxruntime").matching == "greedy"
        assert manifest_of(opened, "onnxruntime").input_shape == (64, 96)
    session = open_runtime(tmp_path / "out" / "model.onnx", "onnxruntime")
    images = np.random.default_rng(0).standard_normal((1, 3, 64, 96), dtype=np.float32)
    assert relative_difference(session(images), open_runtime(small_net)(images)) < 1e-4
    with pytest.raises(InputError, match=r"does not run on images of shape \(1, 3, 96, 96\)"):
        session(np.zeros((1, 3, 96, 96), np.float32))


def test_a_fixed_shape_is_timed_on_its_own_input(small_folder: Path, tmp_path: Path) -> None:
    options = ExportOptions(shapes="fixed", input_shape=[64, 96], latency_rounds=0, bundle=False)
    run(command(small_folder, export=options), tmp_path / "fixed")
    run(
        command(small_folder, export=ExportOptions(peaks=5, latency_rounds=0, bundle=False)),
        tmp_path / "peaks",
    )
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((90, 120, 3), np.uint8))
    archs = [str(tmp_path / name) for name in ("fixed", "peaks")]
    for name, image in (("network", None), ("whole", str(tmp_path / "photo.png"))):
        wanted = BenchmarkOptions(rounds=1, warmup=0, image=image)
        benchmark(
            BenchmarkCommand(arch=archs, runtime="onnxruntime", threads=1, benchmark=wanted), tmp_path / name
        )
        rows = json.loads((tmp_path / name / "results.json").read_text())["rows"]
        assert [row["network"] for row in rows] == ["fixed", "peaks"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shapes": "square"}, "export.shapes='square' is not one of dynamic, fixed"),
        ({"input_shape": [64, 64]}, "needs export.shapes=fixed"),
        ({"shapes": "fixed", "input_shape": [64]}, "is \\[height, width\\]"),
        ({"tolerance": 0.0}, "must lie between 0 and 1"),
        ({"peaks": -1}, "export.peaks=-1 must be 0 or more"),
        ({"opset": 10}, "export.opset=10 is not between 11 and 18"),
    ],
)
def test_wrong_options_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ExportOptions(**settings)  # type: ignore[arg-type]


def test_an_unknown_rule_is_named(small_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="matching rule 'nearest' is not known; choose from hungarian, greedy"
    ):
        run(command(small_folder, export=ExportOptions(matching="nearest")), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_input_shape_off_the_grid_is_named(small_folder: Path, tmp_path: Path) -> None:
    options = ExportOptions(shapes="fixed", input_shape=[64, 90])
    with pytest.raises(InputError, match=r"input_shape=\[64, 90\] must be two multiples of 16"):
        run(command(small_folder, export=options), tmp_path / "out")


def test_formats() -> None:
    assert check_formats("onnx, torch_export") == ["onnx", "torch_export"]
    assert check_formats(["onnx", "onnx"]) == ["onnx"]
    for wrong, message in (
        ("trt", "format 'trt' is not known"),
        ([], "one or more names"),
        (3, "one or"),
    ):
        with pytest.raises(InputError, match=message):
            check_formats(wrong)


@pytest.mark.parametrize("formats", [["int8", "onnx"], ["int8"]])
def test_what_formats_need_is_written_once(
    small_folder: Path,
    tiny_data: DataConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    formats: list[str],
) -> None:
    traced = []
    trace = onnx_graph.trace
    monkeypatch.setattr(onnx_graph, "trace", lambda *args: traced.append(args) or trace(*args))
    options = ExportOptions(latency_rounds=0, calibration_images=1, bundle=False)
    folder = tmp_path / "out"
    run(command(small_folder, format=formats, export=options, data=tiny_data), folder)
    assert len(traced) == 1
    assert {path.name for path in folder.glob("*.onnx")} == {FORMATS.get(name).file for name in formats}


def test_several_networks_get_folders_of_their_own(
    small_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    save(load(small_folder), other, {"name": "other"})
    config = command(small_folder, arch=[str(small_folder), str(other)])
    run(config, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["other", "small"]
    shutil.rmtree(tmp_path / "out" / "other")
    capsys.readouterr()
    run(config, tmp_path / "out")
    shown = " ".join(capsys.readouterr().out.split())
    assert "small holds this export already" in shown
    assert "exported other" in shown


def test_an_export_in_peaks_says_so_and_compares_with_itself(
    small_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ExportOptions(peaks=10, latency_rounds=0)
    run(command(small_folder, export=options), tmp_path / "out")
    session = OnnxSession(tmp_path / "out" / "model.onnx")
    assert session.require_manifest().peaks == 10
    assert session(np.zeros((1, 3, 96, 96), np.float32))[0].shape == (1, 14, 10)
    assert "`positions` (B, J, K, 2)" in (tmp_path / "out" / "card.md").read_text()
    capsys.readouterr()
    compare(
        CompareCommand(folder=str(tmp_path / "out"), other=str(tmp_path / "out" / "model.onnx")), tmp_path
    )
    said = capsys.readouterr().out
    assert ("scores: largest" in said, "the same in 2 of 2 pictures" in said) == (True, True)
    with pytest.raises(InputError, match="int8 needs heatmaps"):
        run(command(small_folder, export=options, format="int8"), tmp_path / "second")


def test_a_missing_extra_is_named_and_leaves_nothing(
    small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = ExportOptions(shapes="fixed", latency_rounds=0, bundle=False)
    extras = {
        "openvino": "openvino",
        "litert_torch": "tflite",
        "executorch": "executorch",
        "coremltools": "coreml",
    }
    for module, extra in extras.items():
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(InputError, match=rf"pip install 'litepose-ofa\[{extra}\]'"):
            run(command(small_folder, format=extra, export=fixed), tmp_path / "out")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    for file in ("model.tflite", "model.pte"):
        with pytest.raises(InputError, match=r"is not installed; pip install 'litepose-ofa\["):
            open_runtime(file)
    assert list(tmp_path.iterdir()) == []


def test_random_weights_are_named_on_the_card(small_arch: Arch, tmp_path: Path) -> None:
    small_arch.save(tmp_path / "plain.yaml")
    run(command(tmp_path / "plain.yaml"), tmp_path / "out")
    assert "**Its weights are random**" in (tmp_path / "out" / "card.md").read_text()
    assert not open_source(str(tmp_path / "out")).trained


def test_a_place_that_cannot_be_written_is_named(small_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((InputError, OSError), match=r"cannot be made|File exists|Not a directory"):
        run(command(small_folder), tmp_path / "file" / "out")


def test_one_process_at_a_time_exports_a_folder(small_folder: Path, tmp_path: Path) -> None:
    """A record lock is the process's: another one has to hold it."""
    code = (
        "import pathlib, sys; from supernet.runs.folders import alone_in\n"
        f"with alone_in(pathlib.Path({str(tmp_path / 'out')!r}), beside=True):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=r"another process works in run folder .*out; wait"):
            run(command(small_folder), tmp_path / "out")
        other.communicate("")
    run(command(small_folder), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_files_have_the_mode_of_the_umask(small_folder: Path) -> None:
    modes = {path.stat().st_mode & 0o777 for path in small_folder.iterdir()}
    assert modes == {(small_folder / "arch.yaml").stat().st_mode & 0o777}


def test_a_full_disk_is_an_error_of_the_system(
    small_net: Subnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            save(small_net, tmp_path / "net")
    assert list(tmp_path.iterdir()) == []
    save(small_net, tmp_path / "net")


@pytest.mark.parametrize("text", ["[]", "3", '{"weights_sha256": 5}'])
def test_a_damaged_record_is_named(small_folder: Path, tmp_path: Path, text: str) -> None:
    run(command(small_folder), tmp_path / "out")
    (tmp_path / "out" / "export.json").write_text(text)
    with pytest.raises(InputError, match="was exported from other weights"):
        run(command(small_folder), tmp_path / "out")


def test_shapes_of_usual_pictures_are_fixed_and_told(small_folder: Path, tmp_path: Path) -> None:
    options = ExportOptions(shapes="16x9", latency_rounds=0, vectors=1)
    run(command(small_folder, export=options), tmp_path / "out")
    model = onnx.load(tmp_path / "out" / "model.onnx")
    (entry,) = model.metadata_props
    said = json.loads(entry.value)
    assert said["input_shape"] == [96, 192]
    assert said["preprocessing"]["resize"].startswith("as large as it fits into 96 x 192")
    assert said["preprocessing"]["resize"] in (tmp_path / "out" / "card.md").read_text()
    assert "96 x 192" in (tmp_path / "out" / "porting.md").read_text()
    with np.load(tmp_path / "out" / "vectors.npz") as vectors:
        assert vectors["pixels_0"].shape == (96, 192, 3)


def test_sides_off_the_grid_are_named(small_onnx: Path) -> None:
    with pytest.raises(InputError, match=r"sides are multiples of 16, none of shape \(1, 3, 96, 90\)"):
        OnnxSession(small_onnx)(np.zeros((1, 3, 96, 90), np.float32))


def test_programs_end_in_peaks_as_well(small_folder: Path, small_net: Subnet, tmp_path: Path) -> None:
    options = ExportOptions(peaks=4, shapes="fixed", opset=13, latency_rounds=0, bundle=False)
    run(command(small_folder, export=options, format=["torch_export", "onnx"]), tmp_path / "out")
    images = np.random.default_rng(0).standard_normal((1, 3, 96, 96), dtype=np.float32)
    program, graph = (open_runtime(tmp_path / "out" / name)(images) for name in ("model.pt2", "model.onnx"))
    assert [value.shape for value in program] == [(1, 14, 4), (1, 14, 4, 2), (1, 14, 4)]
    assert relative_difference(program[:1], graph[:1]) < 1e-4
    # What converters stumble over: Constant nodes, nameless nodes, several opsets, sizes that are computed.
    model = onnx.load(tmp_path / "out" / "model.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    names = [node.name for node in model.graph.node]
    assert "" not in names
    assert len(set(names)) == len(names)
    assert not {"Constant", "Shape", "Split"} & {node.op_type for node in model.graph.node}

"""compare: outputs of other runtimes against an exported folder's vectors."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from subnets import Subnet
from subnets.compare import CompareCommand, run
from subnets.export.bundle import write_porting
from subnets.export.formats import ended_differences
from subnets.export.onnx_graph import export_onnx
from subnets.network import fuse
from subnets.portable.manifest import Manifest
from subnets.runtime import open_runtime, torch_runtime
from supernet.data.source import DataConfig
from supernet.errors import InputError
from supernet.pose import Skeleton
from supernet.pose.preprocess import normalise


@pytest.fixture(scope="module")
def folder(small_net: Subnet, small_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export")
    manifest = Manifest("small", 96, Skeleton.load("crowdpose"), arch=small_net.arch.to_dict())
    write_porting(path, manifest, torch_runtime(small_net), 2)
    shutil.copy(small_onnx, path / "model.onnx")
    return path


def outputs(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "vectors.npz") as vectors:
        return {key: vectors[key] for key in vectors if key.startswith(("quarter", "half"))}


def compare(folder: Path, other: Path, **settings: object) -> None:
    run(CompareCommand(folder=str(folder), other=str(other), **settings), folder)  # type: ignore[arg-type]


def test_the_same_network(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(folder, folder / "model.onnx", threads=1)
    assert "the same in 2 of 2 pictures" in capsys.readouterr().out
    last = {key: np.moveaxis(value, 1, -1) for key, value in outputs(folder).items()}
    np.savez(tmp_path / "last.npz", **last)
    compare(folder, tmp_path / "last.npz")
    said = capsys.readouterr().out
    assert "half: largest difference 0.0e+00" in said
    assert "the same in 2 of 2 pictures" in said
    assert said.count("NHWC") == 1, "once, not per picture"
    assert "quarter, half: NHWC (channels last); transpose to NCHW before decoding" in said


def test_a_split_is_scored_from_a_file_and_from_outputs(
    folder: Path,
    small_folder: Path,
    tiny_data: DataConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path in small_folder.iterdir():
        shutil.copy(path, folder / path.name)
    compare(folder, folder / "model.onnx", split="test", images=3, data=tiny_data, threads=1)
    said = capsys.readouterr().out
    assert "the same in 3 of 3 pictures" in said
    assert re.search(r"AP on .*, 3 images: (\d+\.\d) as exported, \1 of the other, \+0\.0 \(", said)
    command = CompareCommand(
        folder=str(folder), write=str(tmp_path / "in.npz"), split="test", images=3, data=tiny_data
    )
    run(command, folder)
    network, found = open_runtime(folder / "model.onnx", threads=1), {}
    with np.load(tmp_path / "in.npz") as pixels:
        assert sorted(pixels) == ["pixels_0", "pixels_1", "pixels_2"]
        for key, value in pixels.items():
            outputs = network(normalise([value]))
            found |= dict(
                zip((key.replace("pixels", name) for name in ("quarter", "half")), outputs, strict=True)
            )
    np.savez(tmp_path / "outputs.npz", **found)
    compare(folder, tmp_path / "outputs.npz", split="test", images=3, data=tiny_data)
    assert "the same in 3 of 3 pictures" in capsys.readouterr().out
    others = DataConfig(str(tmp_path / "none"), "synthetic", skeleton="coco")
    with pytest.raises(InputError, match="choose data of its joints"):
        compare(folder, tmp_path / "outputs.npz", split="test", data=others)
    assert not (tmp_path / "none").exists()
    with pytest.raises(InputError, match="give other=FILE to compare with, or write=FILE"):
        CompareCommand(folder=str(folder))


def test_what_differs(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rough = {key: value + 0.3 * np.abs(value).max() * (value > 0) for key, value in outputs(folder).items()}
    np.savez(tmp_path / "rough.npz", **rough)
    compare(folder, tmp_path / "rough.npz", tolerance=None)
    assert "the same in 0 of 2 pictures" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"rough.npz differs by 3.0e-01 \(tolerance 1e-03\)"):
        compare(folder, tmp_path / "rough.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: np.moveaxis(v, 1, -1).reshape(v.shape), "shape of NCHW but holds NHWC"),
        (lambda v: v.swapaxes(2, 3), "has height and width swapped"),
        (lambda v: v.reshape(np.moveaxis(v, 1, -1).shape), "shape of NHWC but holds NCHW"),
        (lambda v: v[:, :17], r"is \(1, 17, \d+, \d+\), this network gives \(1, 28, .*another network"),
        (lambda v: v[:, :, 1:], "gives .*: outputs for pictures of another size than pixels_n"),
        (lambda v: v * np.nan, "quarter_0 holds NaN or infinities"),
        (lambda v: v.astype(str), "holds <U32, no numbers"),
        (lambda v: (100 * v).astype(np.int8), "holds int8: undo its scale and zero point"),
        (None, "lacks quarter_0; it holds half_0, half_1, quarter_1"),
    ],
)
def test_wrong_outputs_are_named(folder: Path, tmp_path: Path, change: object, message: str) -> None:
    given = outputs(folder)
    quarter = given.pop("quarter_0")
    if callable(change):
        given["quarter_0"] = change(quarter)
    np.savez(tmp_path / "other.npz", **given)
    with pytest.raises(InputError, match=message):
        compare(folder, tmp_path / "other.npz")


@pytest.mark.parametrize("noise", [0, 0.2, 0.36])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: np.moveaxis(v, 1, -1).reshape(v.shape), "shape of NCHW but holds NHWC"),
        (lambda v: v.reshape(np.moveaxis(v, 1, -1).shape), "shape of NHWC but holds NCHW"),
        (lambda v: v.swapaxes(2, 3), "height and width swapped: NCWH instead of NCHW"),
        (lambda v: v.transpose(0, 3, 2, 1), "height and width swapped: NWHC instead of NHWC"),
        (lambda v: np.where(v > 0.1, np.nan, v), "holds NaN or infinities"),
    ],
)
def test_layouts_are_told_apart_where_nothing_is_judged(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], noise: float, change: Any, message: str
) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "int8.npz"
    rough = {
        key: v + noise * abs(v).max() * rng.uniform(-1, 1, v.shape) for key, v in outputs(folder).items()
    }
    np.savez(path, **rough)
    compare(folder, path, tolerance=None)
    np.savez(path, **{key: np.moveaxis(value, 1, -1) for key, value in rough.items()})
    compare(folder, path, tolerance=None)
    assert "quarter, half: NHWC (channels last)" in capsys.readouterr().out
    for name in ("quarter_0", "half_1"):
        np.savez(path, **{**rough, name: change(rough[name])})
        with pytest.raises(InputError, match=f"{name} .*{message}"):
            compare(folder, path, tolerance=None)


def test_a_file_of_one_shape_is_told_apart(folder: Path, small_net: Subnet, tmp_path: Path) -> None:
    manifest = Manifest("small", 96, Skeleton.load("crowdpose"), (64, 64), arch=small_net.arch.to_dict())
    export_onnx(fuse(small_net), tmp_path / "fixed.onnx", manifest)
    with pytest.raises(
        InputError, match=r"pictures are \(1, 3, 96, \d+\): compare a file that takes one shape"
    ):
        compare(folder, tmp_path / "fixed.onnx")


def test_wrong_files_are_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes((folder / "vectors.npz").read_bytes()[:5000])
    (tmp_path / "model.engine").write_bytes(b"engine")
    np.savez(tmp_path / "object.npz", quarter_0=np.array([{}], object))
    for other, message in (
        (tmp_path / "none.npz", "does not exist"),
        (tmp_path / "none.tflite", "none.tflite does not exist; check the path"),
        (tmp_path / "broken.npz", "is no .npz file of plain arrays"),
        (tmp_path / "object.npz", "is no .npz file of plain arrays"),
        (tmp_path / "model.engine", r"of no format that runs here \(.onnx, .*register a format"),
    ):
        with pytest.raises(InputError, match=message):
            compare(folder, other)
    with pytest.raises(InputError, match=r"export it again with export.vectors=2"):
        compare(tmp_path, folder / "model.onnx")


def test_peaks_are_compared_with_their_places_and_tags() -> None:
    rng = np.random.default_rng(0)
    scores = -np.sort(-rng.uniform(0.1, 1, (1, 14, 30))).astype(np.float32)
    places = rng.uniform(0, 96, (1, 14, 30, 2)).astype(np.float32)
    wanted = [scores, places, rng.standard_normal((1, 14, 30)).astype(np.float32)]
    wanted[0][..., 3] = wanted[0][..., 4]
    changed = [value[:, :, [0, 1, 2, 4, 3, *range(5, 30)]] for value in wanted]
    assert ended_differences(changed, wanted) == [0, 0, 0], "equal peaks in another order"
    changed[1] = changed[1].copy()
    changed[1][..., 29, :] += 50
    assert ended_differences(changed, wanted) == [0, 0, 0], "another one comes just in"
    changed[1][0, 0, 7] += 50
    assert ended_differences(changed, wanted) == [0, 0, 0], "one in a hundred has no equal"
    moved = [wanted[0], wanted[1] + np.float32(0.96), wanted[2]]
    (score, place, tag) = ended_differences(moved, wanted)
    assert (score, place > 0.005, tag) == (0, True, 0)
    assert max(ended_differences([*wanted[:2], 2 * wanted[2]], wanted)) > 0.1
    assert ended_differences([scores * np.nan, *wanted[1:]], wanted) == [np.inf] * 3

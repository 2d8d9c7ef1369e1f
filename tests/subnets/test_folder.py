"""Network folders: whole or not at all, bit for bit, and clear about what is wrong with one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from subnets import Subnet, build, load, save
from subnets.folder import read_meta
from subnets.portable.session import OnnxSession, file_digest
from supernet import Arch, InputError, SearchSpace
from supernet.pose.skeletons import Skeleton

SMALL = SearchSpace.load("tiny").smallest()


@pytest.fixture
def net(disturb: Callable[[Any, int], None]) -> Subnet:
    net = build(SMALL, seed=2).eval()
    disturb(net, 0)
    net.unit("stem.conv").norm.num_batches_tracked.fill_(7)  # type: ignore[union-attr, operator]
    net.skeleton = Skeleton.load("crowdpose")
    return net


@pytest.fixture
def folder(net: Subnet, tmp_path: Path) -> Path:
    save(net, tmp_path / "net", {"source": "a test", "ap": 0.25})
    return tmp_path / "net"


def test_round_trip(net: Subnet, folder: Path) -> None:
    again = load(folder)
    assert (again.arch, again.num_joints, again.fused) == (net.arch, 14, False)
    assert not again.training
    assert again.about == {"source": "a test", "ap": 0.25}
    assert net.about == {}
    assert again.skeleton == Skeleton.load("crowdpose")
    state = again.state_dict()
    assert state.keys() == net.state_dict().keys()
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, state[name])
        assert tensor.dtype == state[name].dtype
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(net(x)[0], again(x)[0])
    sum(output.sum() for output in again.train()(torch.randn(2, 3, 64, 64))).backward()
    assert all(parameter.grad is not None for parameter in again.parameters())


def test_three_readable_files(folder: Path) -> None:
    assert sorted(file.name for file in folder.iterdir()) == ["arch.yaml", "meta.json", "model.safetensors"]
    assert Arch.load(folder / "arch.yaml") == SMALL
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["schema"] == 1
    assert meta["skeleton"]["name"] == "crowdpose"
    assert "stem.conv.conv.weight" in load_file(folder / "model.safetensors")
    mode = os.stat(folder).st_mode & 0o777
    assert mode == 0o777 & ~_umask()
    assert os.listdir(folder.parent) == [folder.name]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_half_precision_stays(net: Subnet, tmp_path: Path) -> None:
    save(net.half(), tmp_path / "half")
    again = load(tmp_path / "half")
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float16}
    assert torch.equal(again.state_dict()["stem.conv.conv.weight"], net.state_dict()["stem.conv.conv.weight"])


def test_values_and_layouts_travel(tmp_path: Path) -> None:
    net = build(SMALL, 3)
    net.skeleton = Skeleton.from_dict({"name": "arm", "joints": ["a", "b", "c"], "sigmas": [0.1, 0.1, 0.1]})
    net.about = {"source": "x", "kept": [1, {"two": 2.5}]}
    save(net, tmp_path / "net", {"source": "y"})
    again = load(tmp_path / "net")
    assert again.skeleton == net.skeleton
    assert again.about == {"source": "y", "kept": [1, {"two": 2.5}]}
    net.skeleton = Skeleton.load("coco")
    with pytest.raises(InputError, match="3 joints, skeleton 'coco' has 17"):
        save(net, tmp_path / "wrong")
    net.skeleton = None
    with pytest.raises(InputError, match=r"about: .*JSON"):
        save(net, tmp_path / "wrong", {"path": Path("x")})
    assert os.listdir(tmp_path) == ["net"]


def test_nothing_is_overwritten(net: Subnet, folder: Path, tmp_path: Path) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(InputError, match="exists already"):
        save(net, folder)
    assert before == {file.name: file.read_bytes() for file in folder.iterdir()}
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        save(net, tmp_path / "file")
    with pytest.raises(InputError, match="cannot be made"):
        save(net, tmp_path / "file" / "below")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="exists already"):
        save(net, tmp_path / "link")


def test_a_failure_leaves_nothing(net: Subnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("safetensors.torch.save", fail)
    with pytest.raises(OSError, match="no space left"):
        save(net, tmp_path / "net")
    assert os.listdir(tmp_path) == []


def change_json(file: Path, **changes: Any) -> None:
    value = json.loads(file.read_text())
    file.write_text(json.dumps({**value, **changes}))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def drop_one(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["stem.project.conv.weight"]


def reshape_one(tensors: dict[str, torch.Tensor]) -> None:
    tensors["stem.conv.norm.bias"] = torch.zeros(5)


def change_one(tensors: dict[str, torch.Tensor]) -> None:
    tensors["stem.conv.norm.bias"].view(torch.int32)[3] ^= 1


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no weights": (lambda f: (f / "model.safetensors").unlink(), r"model\.safetensors do not exist"),
    "no arch": (lambda f: (f / "arch.yaml").unlink(), r"arch\.yaml does not exist"),
    "no meta": (lambda f: (f / "meta.json").unlink(), r"meta\.json does not exist"),
    "empty weights": (lambda f: (f / "model.safetensors").write_bytes(b""), "no valid safetensors"),
    "pickle": (lambda f: torch.save({}, f / "model.safetensors"), "no valid safetensors"),
    "other arch": (
        lambda f: SearchSpace.load("tiny").largest().save(f / "arch.yaml"),
        "do not fit.*and .* more",
    ),
    "other joints": (lambda f: change_json(f / "meta.json", num_joints=17, skeleton=None), "do not fit"),
    "fused flag": (lambda f: change_json(f / "meta.json", fused=True), "do not fit"),
    "fused text": (lambda f: change_json(f / "meta.json", fused="no"), "fused: expected true or false"),
    "future schema": (lambda f: change_json(f / "meta.json", schema=2), "schema 2 is not 1"),
    "skeleton": (lambda f: change_json(f / "meta.json", skeleton=3), "skeleton"),
    "wrong skeleton": (
        lambda f: change_json(f / "meta.json", num_joints=17),
        "17 joints, skeleton 'crowdpose' has 14",
    ),
    "unknown key": (lambda f: change_json(f / "meta.json", extra=3), "unknown key 'extra'"),
    "dropped": (lambda f: change_weights(f, drop_one), "missing: stem.project.conv.weight 8x32x1x1"),
    "reshaped": (lambda f: change_weights(f, reshape_one), "stem.conv.norm.bias has 5, the network 32"),
    "one bit": (lambda f: change_weights(f, change_one), "are not those that were saved"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_in_one_line(kind: str, folder: Path) -> None:
    damage, message = DAMAGE[kind]
    damage(folder)
    with pytest.raises(InputError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["arch.yaml", "meta.json", "model.safetensors"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
def test_truncated_files(name: str, share: float, folder: Path) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError):
        load(folder)


def test_what_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="meta"):
        load(tmp_path)


def test_meta_is_read_without_torch(folder: Path) -> None:
    import subprocess
    import sys

    read = f"read_meta({str(folder)!r}).num_joints"
    code = f"import sys; from subnets.folder import read_meta; print({read}, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["14", "False"]
    assert read_meta(folder).about["ap"] == 0.25


def test_a_flipped_bit_in_the_weights_is_found(small_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "net"
    shutil.copytree(small_folder, folder)
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1000] ^= 64
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"model\.safetensors are not those that were saved"):
        load(folder)


def test_an_onnx_file_is_compared_with_its_export(small_onnx: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    shutil.copyfile(small_onnx, file)
    record = {"formats": [{"file": "model.onnx", "sha256": file_digest(file)}]}
    (tmp_path / "export.json").write_text(json.dumps(record))
    OnnxSession(file, threads=1)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 64
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"model\.onnx is damaged or of another export: export\.json"):
        OnnxSession(file, threads=1)

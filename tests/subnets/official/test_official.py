"""Released weights: the released implementation's outputs, every form of file, clear refusals."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from subnets import Subnet, build, load
from subnets.network import fuse
from subnets.official import convert, export_weights, import_weights, read_official
from subnets.source import open_source
from supernet import Arch, InputError, SearchSpace
from supernet.cost import count_macs, count_params


def snapshot(net: Subnet) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_released_implementation_is_reproduced(golden: Any) -> None:
    record = golden.record
    arch, joints = Arch.from_dict(record["arch"]), record["joints"]
    assert arch.to_official() == record["arch"]
    assert count_params(arch, joints) == record["params"]
    assert count_macs(arch, joints) == record["macs"]
    net = build(arch, joints)
    import_weights(net, golden.weights())
    with torch.no_grad():
        outputs = net.eval()(golden.images())
        fused = fuse(net)(golden.images())
    assert [list(output.shape) for output in outputs] == record["output_shapes"]
    for results in (outputs, fused):
        for output, expected in zip(results, golden.outputs, strict=True):
            found = output.numpy()[:, :, ::8, ::8]
            assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    for output, total, absolute in zip(
        outputs, record["output_sums"], record["output_abs_sums"], strict=True
    ):
        assert abs(output.double().sum().item() - total) <= 1e-5 * absolute


def test_names_and_shapes_are_the_released_ones(golden: Any) -> None:
    net = build(Arch.from_dict(golden.record["arch"]), golden.record["joints"])
    exported = {name: list(tensor.shape) for name, tensor in export_weights(net).items()}
    assert exported == golden.record["state_dict"]


class Odd:
    """Something that weights_only refuses."""


def forms(weights: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Every form in which released weights come, by name."""
    prefixed = {f"module.{name}": tensor for name, tensor in weights.items()}
    found: dict[str, Any] = {
        "plain": weights,
        "prefixed": prefixed,
        "wrapped": {"state_dict": prefixed, "epoch": 3},
    }
    found["without counters"] = {name: t for name, t in weights.items() if "num_batches" not in name}
    torch.save(weights, folder / "a.pth.tar")
    torch.save(
        {"state_dict": prefixed, "epoch": 7, "perf": np.float64(0.5), "model": "pose"}, folder / "b.pth.tar"
    )
    torch.save(weights, folder / "c.pth", _use_new_zipfile_serialization=False)
    save_file(weights, folder / "d.safetensors")
    return found | {file.name: file for file in sorted(folder.iterdir())}


def test_every_form_is_read(mixed: Any, tmp_path: Path) -> None:
    arch = Arch.from_dict(mixed.record["arch"])
    weights = mixed.weights()
    expected = build(arch)
    import_weights(expected, weights)
    for form in forms(weights, tmp_path).values():
        net = build(arch, seed=5)
        import_weights(net, form)
        assert_same(snapshot(net), snapshot(expected))
        if isinstance(form, Path):
            net = build(arch, seed=5)
            import_weights(net, str(form))
            assert_same(snapshot(net), snapshot(expected))


def test_half_precision_becomes_the_network_s_type(mixed: Any, tmp_path: Path) -> None:
    arch = Arch.from_dict(mixed.record["arch"])
    half = {n: t.half() if t.is_floating_point() else t for n, t in mixed.weights().items()}
    torch.save(half, tmp_path / "half.pth")
    net = build(arch)
    import_weights(net, tmp_path / "half.pth")
    name = "first.0.0.weight"
    assert torch.equal(export_weights(net)[name], half[name].float())
    assert all(parameter.dtype == torch.float32 for parameter in net.parameters())


def test_round_trip() -> None:
    arch = SearchSpace.load("litepose_expand").smallest()
    source, target = build(arch, 17, seed=1), build(arch, 17, seed=2)
    import_weights(target, export_weights(source))
    assert_same(snapshot(source), snapshot(target))


@pytest.fixture
def small() -> Subnet:
    return build(SearchSpace.load("tiny").smallest())


def refused(net: Subnet, weights: Any, match: str) -> str:
    before = snapshot(net)
    with pytest.raises(InputError, match=match) as caught:
        import_weights(net, weights)
    assert_same(snapshot(net), before)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_mismatches_are_listed_by_name_and_shape(small: Subnet) -> None:
    weights = dict(export_weights(build(small.arch, seed=3)))
    del weights["first.2.weight"]
    weights["deconv_raw.0.weight"] = torch.zeros(3, 4)
    weights["fc.weight"] = torch.zeros(5, 6)
    weights["first.3.bias"] = torch.zeros(8, dtype=torch.int64)
    message = refused(small, weights, "do not fit")
    assert "missing: first.2.weight 8x32x1x1" in message
    assert "not in the network: fc.weight 5x6" in message
    assert "deconv_raw.0.weight has 3x4, the network 24x16x4x4" in message
    assert "first.3.bias is torch.int64, the network's torch.float32" in message


def test_another_architecture_lists_a_few_and_counts_the_rest(small: Subnet) -> None:
    weights = export_weights(build(SearchSpace.load("tiny").largest()))
    message = refused(small, weights, r"and \d+ more")
    assert len(message) < 4000
    refused(small, export_weights(build(small.arch, 17)), r"final_refined\.0\.conv\.3\.weight has 34x16x1x1")


def test_values_that_are_not_finite(small: Subnet) -> None:
    weights = {name: tensor.clone() for name, tensor in export_weights(small).items()}
    weights["first.0.1.running_var"][3] = float("nan")
    refused(small, weights, r"first\.0\.1\.running_var holds values that are not finite")


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({}, "expected a mapping"),
        ({"epoch": 3}, "'epoch' is no plain tensor"),
        ({3: torch.zeros(1)}, "expected names of tensors"),
        ({"a": torch.zeros(2, 2).to_sparse()}, "no plain tensor"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "no plain tensor"),
        ({"a": torch.empty(2, device="meta")}, "no plain tensor"),
        ({"state_dict": {}}, "expected a mapping"),
    ],
)
def test_things_that_are_no_state_dict(small: Subnet, value: Any, match: str) -> None:
    refused(small, value, match)


def test_files_that_are_no_weights(small: Subnet, tmp_path: Path) -> None:
    refused(small, tmp_path / "nowhere.pth", "do not exist")
    refused(small, tmp_path / "nowhere.safetensors", "do not exist")
    refused(small, tmp_path, "do not exist")
    for name in ("empty.pth", "empty.safetensors"):
        (tmp_path / name).write_bytes(b"")
        refused(small, tmp_path / name, "empty")
    (tmp_path / "text.pth").write_text("hello")
    refused(small, tmp_path / "text.pth", "damaged")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    refused(small, tmp_path / "list.pth", "expected a mapping")
    torch.save({"a": Odd()}, tmp_path / "odd.pth")
    refused(small, tmp_path / "odd.pth", "cannot be read without running code")


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def test_no_code_is_run(small: Subnet, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    weights = dict(export_weights(small))
    for number, value in enumerate(
        (Bomb(marker), {"state_dict": Bomb(marker)}, {**weights, "x": Bomb(marker)})
    ):
        files = [tmp_path / f"{number}-{kind}.pth" for kind in ("zip", "legacy", "raw")]
        torch.save(value, files[0])
        torch.save(value, files[1], _use_new_zipfile_serialization=False)
        files[2].write_bytes(pickle.dumps(value))
        for file in files:
            refused(small, file, "cannot be read without running code")
    assert not marker.exists()
    # The bomb is live.
    pickle.loads((tmp_path / "0-raw.pth").read_bytes())
    assert marker.exists()


def test_a_fused_network_is_refused(small: Subnet) -> None:
    fused = fuse(small)
    with pytest.raises(InputError, match="before fusing"):
        import_weights(fused, export_weights(small))
    with pytest.raises(InputError, match="fused"):
        export_weights(fused)


def test_conversion_to_a_folder(mixed: Any, tmp_path: Path) -> None:
    torch.save({"state_dict": mixed.weights()}, tmp_path / "final_state.pth.tar")
    Arch.from_dict(mixed.record["arch"]).save(tmp_path / "arch.json")
    net = convert(tmp_path / "arch.json", tmp_path / "final_state.pth.tar", tmp_path / "nets" / "mixed")
    again = load(tmp_path / "nets" / "mixed")
    assert_same(snapshot(net), snapshot(again))
    assert again.about["weights"] == "final_state.pth.tar"
    # Released weights are scored by the reference's rule of matching, whatever the default.
    assert open_source(str(tmp_path / "nets" / "mixed")).matching == "hungarian"
    with torch.no_grad():
        output = again(mixed.images())[0].numpy()[:, :, ::8, ::8]
    assert np.abs(output - mixed.outputs[0]).max() <= 1e-5 * np.abs(mixed.outputs[0]).max()
    with pytest.raises(InputError, match="exists already"):
        convert(tmp_path / "arch.json", tmp_path / "final_state.pth.tar", tmp_path / "nets" / "mixed")
    with pytest.raises(InputError, match="do not fit"):
        convert("litepose-xs", tmp_path / "final_state.pth.tar", tmp_path / "nets" / "xs", num_joints=17)
    assert not (tmp_path / "nets" / "xs").exists()


def test_a_flipped_bit_is_found_by_the_files_own_checksum(mixed: Any, tmp_path: Path) -> None:
    """torch itself reads past it, and gives another network."""
    file = tmp_path / "w.pth"
    torch.save(mixed.weights(), file)
    whole = file.read_bytes()
    read_official(file)
    file.write_bytes(
        whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 64]) + whole[len(whole) // 2 + 1 :]
    )
    torch.load(file, weights_only=True)
    with pytest.raises(InputError, match=r"w\.pth are damaged: .* has another checksum now"):
        read_official(file)

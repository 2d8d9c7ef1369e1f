"""The format coreml: what is written and told where Core ML does not exist, and what is run where it does."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from subnets.export.__main__ import run
from subnets.export.formats import FORMATS
from subnets.export.options import ExportCommand, ExportOptions
from subnets.folder import load
from supernet.errors import InputError

FIXED: dict[str, Any] = {"shapes": "fixed", "bundle": False}


class Model:
    """What coremltools.convert returns, as far as the format goes."""

    def __init__(self) -> None:
        self.user_defined_metadata: dict[str, str] = {}

    def save(self, path: str) -> None:
        folder = Path(path) / "Data"
        folder.mkdir(parents=True)
        (Path(path) / "Manifest.json").write_text("{}")
        (Path(path) / "executorch_debug_handle_mapping.json").write_text("{}")
        (folder / "model.mlmodel").write_text(json.dumps(self.user_defined_metadata))
        (folder / "model.mlmodel").chmod(0o600)


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in for coremltools, which records how it was called."""
    fake: Any = ModuleType("coremltools")
    fake.__spec__ = SimpleNamespace(name="coremltools")
    fake.precision = SimpleNamespace(FLOAT32="32", FLOAT16="16")
    fake.target = SimpleNamespace(iOS15="ios15")
    fake.TensorType = lambda name: name
    fake.called = []
    fake.convert = lambda program, **settings: fake.called.append(settings) or Model()

    def load_spec(path: str) -> Any:
        said = json.loads((Path(path) / "Data" / "model.mlmodel").read_text())
        return SimpleNamespace(description=SimpleNamespace(metadata=SimpleNamespace(userDefined=said)))

    fake.utils = SimpleNamespace(load_spec=load_spec)
    monkeypatch.setitem(sys.modules, "coremltools", fake)
    monkeypatch.setattr(sys, "platform", "linux")
    return fake  # type: ignore[no-any-return]


def command(arch: Path, **options: Any) -> ExportCommand:
    return ExportCommand(arch=str(arch), format="coreml", export=ExportOptions(**FIXED, **options))


def test_what_cannot_run_here_is_written_and_told(
    small_folder: Path, tmp_path: Path, tools: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    # Timed and scored is only what runs.
    run(command(small_folder, latency_rounds=1), out)
    assert "NOT RUN, since coreml does not exist for this system" in " ".join(capsys.readouterr().out.split())
    (record,) = json.loads((out / "export.json").read_text())["formats"]
    assert (record["file"], record["difference"]) == ("coreml/model.mlpackage", None)
    card = (out / "card.md").read_text()
    assert "| `coreml/model.mlpackage` | coreml (fp32 arithmetic) | 0.00 MB | not run |" in card
    assert "inside `coreml/model.mlpackage`" in card
    assert "torch (" not in card
    (settings,) = tools.called
    assert settings["outputs"] == ["quarter", "half"]
    assert (settings["compute_precision"], settings["convert_to"]) == ("32", "mlprogram")
    files = [path for path in (out / "coreml").rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["Manifest.json", "model.mlmodel"]
    assert {path.stat().st_mode for path in files} == {(out / "card.md").stat().st_mode}


def test_half_precision_is_an_option(small_folder: Path, tmp_path: Path, tools: Any) -> None:
    run(command(small_folder, latency_rounds=0, options={"coreml": {"precision": "fp16"}}), tmp_path / "out")
    assert tools.called[0]["compute_precision"] == "16"
    assert "coreml (fp16 arithmetic)" in (tmp_path / "out" / "card.md").read_text()
    with pytest.raises(InputError, match="precision is 'int4'; choose from fp32, fp16"):
        run(command(small_folder, options={"coreml": {"precision": "int4"}}), tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_packages_run_on_apples_systems_alone(
    tmp_path: Path, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = FORMATS.get("coreml")
    assert not form.runs_here
    with pytest.raises(InputError, match="runs on Apple's systems alone"):
        form.open(tmp_path / "model.mlpackage", None)
    spec = SimpleNamespace(
        description=SimpleNamespace(
            input=[SimpleNamespace(name="images")],
            output=[SimpleNamespace(name="quarter"), SimpleNamespace(name="half")],
        )
    )

    class Opened:
        def __init__(self, path: str, compute_units: str) -> None:
            if not Path(path).exists():
                raise RuntimeError("unable to open")

        def get_spec(self) -> Any:
            return spec

        def predict(self, given: dict[str, Any]) -> dict[str, Any]:
            if given["images"].shape != (1, 3, 4, 4):
                raise RuntimeError("wrong shape")
            return {"half": given["images"] * 2, "quarter": given["images"].astype(np.float16)}

    tools.models = SimpleNamespace(MLModel=Opened)
    tools.ComputeUnit = SimpleNamespace(CPU_ONLY="cpu")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert form.runs_here
    with pytest.raises(InputError, match=r"is no Core ML package \(unable to open\)"):
        form.open(tmp_path / "model.mlpackage", None)
    (tmp_path / "model.mlpackage").mkdir()
    network = form.open(tmp_path / "model.mlpackage", None)
    found = network(np.ones((1, 3, 4, 4), np.float32))
    assert [(value.dtype, float(value.max())) for value in found] == [(np.float32, 1), (np.float32, 2)]
    with pytest.raises(InputError, match=r"does not run on images of shape \(1, 3, 8, 8\) \(wrong shape\)"):
        network(np.ones((1, 3, 8, 8), np.float32))


def test_coremltools_converts(small_folder: Path, tmp_path: Path) -> None:
    tools = pytest.importorskip("coremltools", reason="the extra litepose-ofa[coreml] is not installed")
    out = tmp_path / "out"
    run(command(small_folder, latency_rounds=0), out)
    manifest = FORMATS.get("coreml").manifest(out / "coreml" / "model.mlpackage")
    assert manifest is not None
    assert manifest.input_shape == (load(small_folder).arch.resolution,) * 2
    spec = tools.utils.load_spec(str(out / "coreml" / "model.mlpackage"))
    assert [each.name for each in spec.description.input] == ["images"]
    assert [each.name for each in spec.description.output] == ["quarter", "half"]

"""The ablations' report: differences, intervals, verdicts, and what it refuses."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.ablations import report as reporting
from experiments.ablations import results
from experiments.ablations.claims import Claim, verdict
from experiments.ablations.plan import Ablation, Run
from experiments.ablations.report import compare, report, table
from experiments.ablations.results import Difference, by_image, by_seed, ground_truth, read_run
from supernet.errors import InputError

GOLDEN = Path(__file__).resolve().parent / "golden"
TRUTH = json.loads(gzip.decompress((GOLDEN / "crowdpose_open_gt.json.gz").read_bytes()))
FOUND = json.loads(gzip.decompress((GOLDEN / "crowdpose_open_dt.json.gz").read_bytes()))
ABLATION = Ablation("kernel", ("ablation-kernel3", "ablation-kernel7"), (0, 1))
CLAIM = Claim("kernel3", "kernel7", "41.7 to 54.7")
AP = {"kernel3": (0.25, 0.27), "kernel7": (0.5, 0.53)}


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Run, dict[str, Any]]:
    """Two networks of two seeds, in the current folder; the worse one finds nobody in every second image."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(results, "SAMPLES", 50)
    results.resampled.cache_clear()
    write("data/json/crowdpose_val.json", TRUTH)
    for run in ABLATION.runs:
        step = {"schema": 1, "kind": "train", "time": 0.0, "seconds": 2.0}
        for name in ("config.yaml", "log.jsonl"):
            (run.folder / name).parent.mkdir(parents=True, exist_ok=True)
        run.network.mkdir()
        lines = [{**step, "step": n, "loss": 1.0 / n} for n in (1, 2, 3, 4)]
        (run.folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        for folder in (run.folder, run.scores):
            own = {"arch": run.arch, "name": run.name, "seed": run.seed}
            write(str(folder / "config.yaml"), {**own, "data": {"root": "data", "workers": run.seed}})
        stats = {"AP": AP[run.arm][run.seed], "AP50": 0.5, "AR": 0.5}
        row = {"stats": stats, "params": 10, "macs": 20}
        write(str(run.scores / "results.json"), {"networks": [row]})
        kept = FOUND if run.arm == "kernel7" else [one for one in FOUND if one["image_id"] % 2]
        write(str(run.scores / "detections/subnet.json"), kept)
    return {run: read_run(run) for run in ABLATION.runs}


def write(path: str, value: Any) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(yaml.safe_dump(value) if path.endswith(".yaml") else json.dumps(value))


def test_intervals_and_verdicts() -> None:
    # The 97.5% quantile of Student's t with two degrees of freedom is 4.3027; the deviations are 0.1.
    found = by_seed([0.1, 0.2, 0.3], [0.2, 0.4, 0.6])
    assert found.value == pytest.approx(0.2)
    assert found.high - found.value == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)
    assert found.sign == 0
    up, down = Difference(0.1, 0.05, 0.2), Difference(-0.1, -0.2, -0.05)
    pairs = ([up, up], [down, down], [up, found], [up, down])
    words = [verdict(CLAIM, pair) for pair in pairs]
    assert words == ["agrees", "disagrees", "cannot tell", "cannot tell"]
    # Nobody can agree with a paper that says nothing.
    words = [verdict(Claim("a", "b"), pair) for pair in pairs]
    assert words == ["higher", "lower", "cannot tell", "cannot tell"]


def test_figures_of_a_run(finished: dict[Run, dict[str, Any]]) -> None:
    row = finished[ABLATION.runs[3]]
    assert (row["AP"], row["steps"], row["seconds"], row["loss"]) == (0.53, 4, 8.0, 0.25)
    assert (row["arm"], row["seed"], row["macs"], row["params"]) == ("kernel7", 1, 20, 10)
    # Names, seeds and numbers of workers are no part of the recipe.
    assert len({one["recipe"] for one in finished.values()}) == 1


def test_compare_takes_differences_seed_by_seed_and_image_by_image(
    finished: dict[Run, dict[str, Any]],
) -> None:
    found = compare(ABLATION, CLAIM, finished)
    assert found is not None
    assert found["seeds"] == 2
    assert found["difference"] == pytest.approx(0.255)
    # Two seeds: the 97.5% quantile of Student's t is 12.706, the differences 0.25 and 0.26.
    low, high = found["over_seeds"]
    assert high - low == pytest.approx(2 * 12.706 * 0.005, rel=1e-3)
    assert 0 < found["over_images"][0] < found["over_images"][1]
    assert (found["loss"]["value"], found["verdict"]) == (0.0, "agrees")
    back = by_image([ABLATION.runs[2]], [ABLATION.runs[0]], ground_truth(ABLATION.runs[0]))
    forth = by_image([ABLATION.runs[0]], [ABLATION.runs[2]], ground_truth(ABLATION.runs[0]))
    assert (back.value, back.low, back.high) == pytest.approx((-forth.value, -forth.high, -forth.low))
    one_seed = {run: row for run, row in finished.items() if run.seed == 0 or run.arm == "kernel3"}
    assert compare(ABLATION, CLAIM, one_seed) is None


@pytest.mark.usefixtures("finished")
def test_report_of_finished_runs(tmp_path: Path) -> None:
    report({"kernel": ABLATION}, tmp_path / "out", need_all=True)
    text = (tmp_path / "out/report.md").read_text()
    assert "| kernel7 | 0.0 M | 10 | 4 | 8 | 50.0 53.0 | 51.5 | 50.0 | 0.2500 |" in text
    written = json.loads((tmp_path / "out/results.json").read_text())["ablations"]["kernel"]
    assert [arm["steps"] for arm in written["networks"]] == [[4, 4], [4, 4]]
    assert (tmp_path / "out/kernel.png").is_file()
    assert "verdict" not in table(written["networks"], [])


@pytest.mark.usefixtures("finished")
def test_runs_by_another_recipe_are_not_compared(tmp_path: Path) -> None:
    other = ABLATION.runs[3]
    config = yaml.safe_load((other.folder / "config.yaml").read_text())
    write(str(other.folder / "config.yaml"), {**config, "train": {"steps": 9}})
    with pytest.raises(InputError, match="kernel7-1 and ablation-kernel3-0 cannot be compared: recipe"):
        report({"kernel": ABLATION}, tmp_path / "out", need_all=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("finished")
def test_a_part_of_the_runs_is_no_record(tmp_path: Path) -> None:
    (ABLATION.runs[3].scores / "results.json").unlink()
    with pytest.raises(InputError, match=r"kernel: 1 runs are not finished \(ablation-kernel7-1"):
        report({"kernel": ABLATION}, tmp_path / "out", need_all=True)
    report({"kernel": ABLATION}, tmp_path / "out", need_all=False)
    assert json.loads((tmp_path / "out/results.json").read_text())["ablations"]["kernel"]["claims"] == []


def test_without_runs_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = (reporting.RECORD / "results.json").read_bytes()
    for arguments in ([], ["--record"]):
        monkeypatch.setattr("sys.argv", ["report", *arguments])
        with pytest.raises(SystemExit) as stopped:
            reporting.main()
        assert stopped.value.code == 2
    assert not any(tmp_path.iterdir())
    assert (reporting.RECORD / "results.json").read_bytes() == before


def test_one_ablation_does_not_replace_the_record_of_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["report", "--record", "--only", "kernel"])
    with pytest.raises(SystemExit) as stopped:
        reporting.main()
    assert stopped.value.code == 2
    assert "leave --only out" in capsys.readouterr().err

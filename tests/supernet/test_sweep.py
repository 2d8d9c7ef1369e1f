"""The table over the runs of a sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from supernet.runs.log import LOG, RunLog
from supernet.sweep import choose_metric, read_sweep


@pytest.mark.parametrize("metric", ["AP", "PCK10"])
def test_runs_are_ranked_by_the_main_metric_of_their_protocol(tmp_path: Path, metric: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/config.yaml").write_text("name: a\n")
    log = RunLog(tmp_path / "a" / LOG)
    log.write("train", 1, {"loss": 2.0, "loss/largest": 1.0})
    log.write("validation", 1, {f"{metric}/smallest": 0.25, f"{metric}/largest": 0.75})
    log.close()
    (run,) = read_sweep(tmp_path)
    assert choose_metric([run], None) == "best"
    assert run.metrics["best"] == 0.5
    assert run.curves[f"{metric}/largest"] == [(1, 0.75)]

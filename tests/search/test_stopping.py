"""Stopping a search of several processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from command import settings

from search.run import data_of, help_out
from supernet.options import EvaluationOptions


def test_helpers_stop_with_the_first_worker(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """They do not see the terminal's Ctrl-C; told to stop, they give back what they were at."""
    from search.session import open_session, open_study
    from search.study.worker import helpers

    # One evaluation takes minutes.
    slow = EvaluationOptions(batch_size=1, calibration_images=4, scales=[1.0] * 5000)
    config = settings(trained, workers=2, evaluation=slow)
    data, folder = data_of(config), tmp_path / "s"
    study = open_study(config, open_session(config, data), folder)
    arguments = (config, data, folder, os.getpid())

    def stop_once_it_works(helper: int) -> None:
        end = time.monotonic() + 120
        while not any(one.state == "running" and one.lease for one in study.candidates()):
            assert time.monotonic() < end
            os.kill(helper, signal.SIGINT)
            time.sleep(0.2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), helpers(1, help_out, *arguments) as found:
        stop_once_it_works(found[0].pid or 0)
    assert [helper.exitcode for helper in found] == [128 + signal.SIGTERM]
    leases = [one.lease for one in study.candidates() if one.state == "running"]
    assert [(lease.until, lease.attempt, lease.returned) for lease in leases if lease] == [(0.0, 1, 1)]
    assert "Traceback" not in capfd.readouterr().err

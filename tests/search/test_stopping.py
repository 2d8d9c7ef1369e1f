"""Stopping a search of several processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from command import settings

from search.run import take_part_too
from search.study.candidate import tries_of
from supernet.options import EvaluationOptions


def test_helpers_stop_with_the_first_worker(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """They do not see the terminal's Ctrl-C; told to stop, they give back what they were at."""
    from search.session import open_session, open_study
    from search.study.worker import worker_processes

    # One evaluation takes minutes.
    slow = EvaluationOptions(batch_size=1, calibration_images=4, scales=[1.0] * 5000)
    config = settings(trained, workers=2, evaluation=slow)
    folder = tmp_path / "s"
    study = open_study(config, open_session(config), folder)
    arguments = (config, folder, os.getpid())

    def stop_once_it_works(helper: int) -> None:
        end = time.monotonic() + 120
        while not any(one.state == "running" and one.lease for one in study.candidates()):
            assert time.monotonic() < end
            os.kill(helper, signal.SIGINT)
            time.sleep(0.2)
        # Past the moment between taking one and beginning it; a worker that dies there is seen to be dead.
        time.sleep(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), worker_processes(1, take_part_too, *arguments) as found:
        stop_once_it_works(found[0].pid or 0)
    assert [helper.exitcode for helper in found] == [128 + signal.SIGTERM]
    assert not [one for one in study.candidates() if one.state == "running"]
    waiting = [one.trial_id for one in study.candidates() if one.state == "planned"]
    # Had once and given back once, which is not the candidate's fault.
    assert (2, 1) in [tuple(tries_of(study._storage.trial(one))) for one in waiting]
    assert "Traceback" not in capfd.readouterr().err

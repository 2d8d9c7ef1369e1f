"""Bar 5 by the real command: three workers on one storage, killed and started again.

    python experiments/search_workers/run.py NAME ADDRESS [NAME ADDRESS ...]

An ADDRESS is what `search.storage=` takes (`journal` stands for a journal file in the scratch folder). Needs
runs/train/nano. Writes result.json beside this file; what it holds of other storages is kept.

Every worker is a `python -m search.run` of its own, in a folder of its own, as on hosts of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import optuna

from search.study.storage import open_storage, quiet_optuna
from supernet.runs.files import write_json

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SETTINGS = (
    *("supernet=nano", "threads=1", "budgets.macs=[0.5,0.8]", "budgets.names=[small,large]"),
    *("strategy=evolution", "+strategy_options.initial=6", "search.evaluations=18", "search.batch=6"),
    *(
        "search.baseline=2",
        "evaluation.images=16",
        "evaluation.calibration_images=8",
        "search.lease=60",
    ),
)


class Workers:
    """Commands on one storage, each in its own folder."""

    def __init__(self, scratch: Path, storage: str, name: str) -> None:
        self.scratch, self.storage, self.name = scratch, storage, name
        self.running: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(self, count: int) -> None:
        """Start `count` more."""
        for _ in range(count):
            folder = self.scratch / f"{self.name}-{len(list(self.scratch.iterdir()))}"
            (folder / "runs").mkdir(parents=True)
            (folder / "data").symlink_to((ROOT / "data").resolve())
            (folder / "runs" / "train").symlink_to((ROOT / "runs" / "train").resolve())
            command = [sys.executable, "-m", "search.run", f"name={self.name}", *SETTINGS]
            with open(folder / "stderr", "wb") as log:
                process = subprocess.Popen(
                    [*command, f"search.storage={self.storage}"],
                    cwd=folder,
                    env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                )
            self.running.append((process, folder))

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """What the storage holds by now."""
        storage = open_storage(self.storage)
        try:
            return optuna.load_study(study_name=self.name, storage=storage).get_trials(deepcopy=False)
        except KeyError:
            return []

    def wait_for(self, count: int) -> None:
        """Until `count` candidates are evaluated and another one is running."""
        while True:
            states = [trial.state.name for trial in self.trials()]
            if states.count("COMPLETE") >= count and "RUNNING" in states:
                return
            assert all(process.poll() is None for process, _ in self.running), "a worker ended early"
            time.sleep(0.05)

    def kill(self, process_of: int | None = None) -> None:
        """SIGKILL to the worker with that process id, or to all."""
        for process, _ in list(self.running):
            if process_of in (None, process.pid):
                process.kill()
                process.wait()
                self.running = [pair for pair in self.running if pair[0] is not process]

    def kill_a_busy_one(self) -> None:
        """SIGKILL to a worker that is evaluating."""
        while True:
            leases = [t.user_attrs.get("lease") for t in self.trials() if t.state.name == "RUNNING"]
            for lease in filter(None, leases):
                pid = int(lease["worker"]["process"].partition(".")[0])
                if any(process.pid == pid for process, _ in self.running):
                    self.kill(pid)
                    return

    def end(self) -> list[dict[str, Any]]:
        """Wait for all of them; the candidates that they report, which must be equal."""
        found = []
        for process, folder in self.running:
            assert process.wait(timeout=900) == 0, (folder / "stderr").read_text()
            file = folder / "runs" / "search" / self.name / "candidates.json"
            candidates = json.loads(file.read_text())["candidates"]
            # How long it took is the one thing that may differ between storages.
            found.append([{k: v for k, v in one.items() if k != "seconds"} for one in candidates])
        assert all(one == found[0] for one in found)
        return list(found[0])


def scenario(scratch: Path, storage: str, how: str) -> dict[str, Any]:
    """One search; `alone`, `three`, `one killed` or `all killed`."""
    workers = Workers(scratch, storage, f"{how.replace(' ', '-')}-{uuid.uuid4().hex[:6]}")
    begin = time.monotonic()
    workers.start(1 if how == "alone" else 3)
    if how == "one killed":
        workers.wait_for(4)
        workers.kill_a_busy_one()
    if how == "all killed":
        workers.wait_for(7)
        workers.kill()
        workers.start(3)
    candidates = workers.end()
    trials = workers.trials()
    by_number = {trial.number: trial for trial in trials}
    leases = [trial.user_attrs["lease"] for trial in trials]
    return {
        "candidates": candidates,
        "trials": len(trials),
        "states": sorted({trial.state.name for trial in trials}),
        "distinct": len({tuple(trial.user_attrs["codes"]) for trial in trials}),
        "workers that finished one": len({lease["worker"]["key"] for lease in leases}),
        "taken over": sum(lease["attempt"] > 1 for lease in leases),
        "report equals storage": all(
            by_number[one["number"]].user_attrs["codes"] == one["codes"]
            and by_number[one["number"]].values[0] == one["stats"]["AP"]
            for one in candidates
        )
        and len(candidates) == len(trials),
        "seconds": round(time.monotonic() - begin, 1),
    }


def main() -> None:
    """Every scenario on every storage, compared with one worker alone on a journal."""
    quiet_optuna()
    file = HERE / "result.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    wanted = list(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "work"
        scratch.mkdir()
        journal = str(Path(folder) / "study.journal")
        alone = scenario(scratch, journal, "alone")
        reference = alone.pop("candidates")
        results["one worker, journal"] = alone
        for name, address in wanted:
            for how in ("three", "one killed", "all killed"):
                found = scenario(scratch, journal if address == "journal" else address, how)
                found["equal to one worker"] = found.pop("candidates") == reference
                results[f"{name}, {how}"] = found
                print(name, how, found)
                write_json(file, results)


if __name__ == "__main__":
    main()

"""Small settings of `search.run`, and the command in this process."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from search.options import SearchCommand, SearchOptions
from supernet.options import EvaluationOptions


def settings(trained: Path, **changes: Any) -> SearchCommand:
    options = SearchOptions(evaluations=6, batch=3, baseline=1)
    for key in [key for key in changes if hasattr(options, key)]:
        setattr(options, key, changes.pop(key))
    values: dict[str, Any] = {
        "name": "s",
        "supernet": str(trained / "run"),
        "strategy": "random",
        "budgets": {"macs": [0.5, 0.8], "names": ["small", "large"]},
        "search": options,
        "evaluation": EvaluationOptions(batch_size=4, calibration_images=4),
        "accelerator": "cpu",
        "threads": 1,
    }
    return SearchCommand(**{**values, **changes})


def run(config: SearchCommand, folder: Path) -> None:
    from search.run import run as run_command

    run_command(config, folder)


def found_by(folder: Path) -> dict[str, Any]:
    """What a search found, but for the seconds that it took."""
    found: dict[str, Any] = json.loads((folder / "candidates.json").read_text())
    for candidate in found["candidates"]:
        del candidate["seconds"]
    return found


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])

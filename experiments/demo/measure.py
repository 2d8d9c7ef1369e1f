"""Run a command and record its wall time and the peak memory of all its processes together (Linux).

python experiments/demo/measure.py runs/demo/measured.json make demo
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

INTERVAL_S = 0.5


def parents() -> dict[int, int]:
    """Every process's parent."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            found[int(entry.name)] = int(fields[1])
    return found


def tree(root: int) -> set[int]:
    """`root` and all its descendants."""
    above = parents()
    members = {root}
    while True:
        more = {pid for pid, parent in above.items() if parent in members} - members
        if not more:
            return members
        members |= more


def memory_kib(pid: int) -> int:
    """Proportional set size: pages shared by several processes count once in the sum."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def main() -> int:
    """Run `sys.argv[2:]`, write its record to `sys.argv[1]`."""
    out, command = Path(sys.argv[1]), sys.argv[2:]
    start = time.monotonic()
    process = subprocess.Popen(command)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(memory_kib(pid) for pid in tree(process.pid)))
        time.sleep(INTERVAL_S)
    record = {
        "command": command,
        "status": process.returncode,
        "minutes": round((time.monotonic() - start) / 60, 2),
        "peak_gib": round(peak / 2**20, 2),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())

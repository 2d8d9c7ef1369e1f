"""Run the commands of docs/tutorial.md one after the other, as they stand there.

python experiments/readme/tutorial.py            in the folder of the repository, best after `make demo`
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from supernet.runs.files import write_json

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs/tutorial.md"
# The steps up to here need nothing of the reader's own.
LAST = "## 7."


def steps() -> list[tuple[str, str]]:
    """(heading, command) of every command in the numbered steps."""
    text = PAGE.read_text().replace("\\\n", " ").partition(LAST)[0]
    found, heading = [], ""
    for line in text.splitlines():
        heading = line.lstrip("# ") if line.startswith("## ") else heading
        if re.match(r"\s+python -m ", line):
            found.append((heading, " ".join(line.split())))
    return found


def main() -> int:
    """Run everything, write tutorial.json, print a table; the number of commands that failed."""
    rows = []
    for heading, command in steps():
        start = time.monotonic()
        words = [sys.executable, *shlex.split(command)[1:]]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        lines = [line for line in (done.stdout or done.stderr).splitlines() if line.strip()]
        row = {
            "step": heading,
            "command": command,
            "status": done.returncode,
            "seconds": round(time.monotonic() - start),
            "last_line": lines[-1].replace(f"{Path.cwd()}/", "") if lines else "",
        }
        rows.append(row)
        print(f"| `{command}` | {row['status']} | {row['seconds']} |", flush=True)
    write_json(HERE / "tutorial.json", {"schema": 1, "steps": rows})
    return sum(row["status"] != 0 for row in rows)


if __name__ == "__main__":
    sys.exit(main())

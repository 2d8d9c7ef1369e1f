# ruff: noqa: E402, E501
"""What a machine forbids: full disks, read-only folders, few open files, and twenty starts on one name, for every command.

    python experiments/faults/limits.py [--what disk readonly files crowd] [--job train] [--parts 6] [--output DIR]

disk      a file system (tmpfs; needs the right to mount) with room for 1/12, 3/12, ... of what the command writes
readonly  its inputs read-only; the folder of all runs; its own run folder, new and finished
files     40 open files
crowd     20 starts of the same command at once

Each has to end as an unbroken run, or in one line and with status 2. Afterwards, without the limit, the same command has
to end as an unbroken run, with no file more.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import argparse
import ctypes
import json
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT)]

import harness
from jobs import JOBS, Jobs, end_group, kilobytes, said, wait

OPEN_FILES = 40
STARTS = 20
# (what was done, how it ended, how it ended afterwards)
Answer = tuple[str, str, str]
# Linux's numbers: the rights to ignore the modes of files, by whom the superuser is not stopped.
_IGNORING_MODES = (1, 2)
_DROP_BOUND, _CAPABILITIES_3 = 24, 0x20080522


def obey_modes() -> None:
    """Let the modes of files count for this process, its children and their programs, whoever the user is."""
    if os.geteuid():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for right in _IGNORING_MODES:
        libc.prctl(_DROP_BOUND, right, 0, 0, 0)
    header, sets = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0), (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    for place in (0, 1):  # effective, permitted
        sets[place] &= ~sum(1 << right for right in _IGNORING_MODES)
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))


def set_writable(folder: Path, writable: bool) -> None:
    """Set the modes of `folder` and all in it."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IWUSR if writable else mode & ~0o222)


def limited(jobs: Jobs, name: str, folder: Path, limit: harness.Limit | None = None) -> str:
    """Run the command under a limit: "refused", or as `Jobs.compared`."""
    code = wait(jobs.start(name, folder, limit))
    if code is None:
        return "hangs"
    if code == 0:
        return jobs.compared(name, folder)
    out, err = (path.read_text(errors="replace") for path in harness.outputs(folder))
    done = harness.Run(code, 0, 0, False, out, err)
    verdict = done.verdict()
    return verdict if verdict == "refused" else f"{verdict}, status {code} {done.place()}: {said(folder)}"


def full_disk(jobs: Jobs, name: str, parts: int) -> Iterator[Answer]:
    size = jobs.unbroken(name).kilobytes
    for part in range(parts):
        room = max(4, size * (2 * part + 1) // (2 * parts))
        folder = jobs.fresh(JOBS[name])
        where = folder / JOBS[name].where
        kept = [
            (need, folder / need) for need in JOBS[name].needs if Path(need).is_relative_to(JOBS[name].where)
        ]
        where.mkdir(parents=True, exist_ok=True)
        mounted = [
            "mount",
            "-t",
            "tmpfs",
            "-o",
            f"size={room + sum(kilobytes(file) for _, path in kept for file in path.rglob('*'))}k",
            "tmpfs",
            str(where),
        ]
        subprocess.run(mounted, check=True)
        try:
            for need, path in kept:
                shutil.copytree(jobs.world / need, path, dirs_exist_ok=True)
            ended = limited(jobs, name, folder)
            line = said(folder) if ended == "refused" else ""
            subprocess.run(["mount", "-o", "remount,size=64m", str(where)], check=True)
            yield f"{room} of {size} kB", told(ended, line), jobs.ending(name, folder)
        finally:
            subprocess.run(["umount", "-l", str(where)], check=True)


def read_only(jobs: Jobs, name: str, parts: int) -> Iterator[Answer]:
    del parts
    job = JOBS[name]

    def case(what: str, folder: Path, *closed: Path) -> Answer:
        for each in closed:
            set_writable(each, False)
        ended = limited(jobs, name, folder, obey_modes)
        line = said(folder) if ended == "refused" else ""
        for each in closed:
            set_writable(each, True)
        return what, told(ended, line), jobs.ending(name, folder)

    jobs.unbroken(name)
    folder = jobs.fresh(job)
    inputs = [folder / need for need in job.needs if need != job.where]
    if inputs:
        yield case("inputs", folder, *inputs)
    folder = jobs.fresh(job)
    (folder / job.where).mkdir(parents=True, exist_ok=True)
    yield case("the folder of its results", folder, folder / job.where)
    folder = jobs.fresh(job)
    jobs.ending(name, folder)
    yield case("the folder of its results, finished", folder, folder / job.where)
    folder = jobs.fresh(job)
    yield case("everything", folder, folder)


def few_open_files(jobs: Jobs, name: str, parts: int) -> Iterator[Answer]:
    del parts
    jobs.unbroken(name)
    folder = jobs.fresh(JOBS[name])
    ended = limited(jobs, name, folder, few_files)
    yield f"{OPEN_FILES}", told(ended, said(folder) if ended == "refused" else ""), jobs.ending(name, folder)


def crowd(jobs: Jobs, name: str, parts: int) -> Iterator[Answer]:
    """Every start ends well or in one line, and one at least ends well."""
    del parts
    jobs.unbroken(name)
    folder = jobs.fresh(JOBS[name])
    children = []
    for number in range(STARTS):
        # Each has files of its own for what it prints, beside those of the others.
        printing = [folder.with_name(f"{folder.name}-{number}.{end}") for end in ("out", "err")]
        children.append((jobs.start(name, folder, printing=printing), printing))
    endings: Counter[str] = Counter()
    for child, printing in children:
        code = wait(child)
        end_group(child)
        out, err = (path.read_text(errors="replace") for path in printing)
        if code is None:
            endings["hangs"] += 1
            continue
        done = harness.Run(code, 0, 0, False, out, err)
        verdict = done.verdict()
        endings[
            verdict if verdict in ("accepted", "refused") else f"{verdict} {done.place()}: {done.line()}"
        ] += 1
    good = endings["accepted"] > 0 and endings["accepted"] + endings["refused"] == STARTS
    text = ", ".join(f"{count} {how}" for how, count in endings.items())
    yield f"{STARTS} starts: {text}", jobs.compared(name, folder) if good else text, jobs.ending(name, folder)


def told(ended: str, line: str) -> str:
    return f"{ended}: {line}" if line else ended


WHAT: dict[str, Callable[[Jobs, str, int], Iterator[Answer]]] = {
    "disk": full_disk, "readonly": read_only, "files": few_open_files, "crowd": crowd
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--what", nargs="+", choices=list(WHAT), default=list(WHAT))
    parser.add_argument("--job", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--parts", type=int, default=6)
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="limits-") as scratch:
        jobs = Jobs(Path(scratch))
        for what in chosen.what:
            for name in chosen.job:
                for done, ended, afterwards in WHAT[what](jobs, name, chosen.parts):
                    well = ended.startswith(("well", "refused")) and afterwards == "well"
                    rows.append(
                        {
                            "what": what,
                            "job": name,
                            "done": done,
                            "ended": ended,
                            "afterwards": afterwards,
                            "well": well,
                        }
                    )
                    print(
                        f"{'' if well else 'WRONG '}{what} {name}, {done}: {ended} -> {afterwards}",
                        flush=True,
                    )
    print("| limit | commands | cases | as unbroken | refused | wrong |\n|---|---|---|---|---|---|")
    for what in chosen.what:
        mine = [row for row in rows if row["what"] == what]
        ends = Counter("wrong" if not row["well"] else str(row["ended"]).split(":")[0] for row in mine)
        print(
            f"| {what} | {len({row['job'] for row in mine})} | {len(mine)} | {ends['well']} | {ends['refused']} | {ends['wrong']} |"
        )
    if chosen.output:
        chosen.output.mkdir(parents=True, exist_ok=True)
        (chosen.output / "limits.json").write_text(json.dumps({"schema": 1, "cases": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

# ruff: noqa: E402, E501
"""Every folder of small damaged files with the command that reads it, and what becomes of it.

    python experiments/faults/cases.py FOLDER [--case journal-no-op]

FOLDER is `cases/faults` of the data folder beside the checkout. A journal is tried three times: as it is (an
older form), with the same damage in a journal of today (search.repair=true has to lead to the undamaged result),
and with checksums that fit, as nobody's disk makes it. Writes a table.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import argparse
import contextlib
import json
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT)]

import harness
from kills import group
from kinds import (
    HALF,
    NET,
    RUN,
    SEARCH_AGAIN,
    candidates,
    load_tabular,
    score_detections,
    search,
    train,
)
from run import digest_of, undamaged
from world import DATA, EVALUATE, EXPORT

NOTHING: tuple[str, ...] = ()
PHOTOS = ("arch=runs/export/e", "source=photos", "name=p", "threads=1")


@dataclass
class Case:
    """One folder of damaged files on its way through a command.

    Attributes:
        given: the folder.
        here: where the command runs.
        world: the undamaged files.
    """

    given: Path
    here: Path
    world: Path

    def take(self, *needs: str) -> None:
        """Copy undamaged files."""
        for need in needs:
            source, target = self.world / need, self.here / need
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)

    def put(self, name: str, target: str) -> None:
        """Put a damaged file to its place."""
        (self.here / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.given / name, self.here / target)

    def run(self, entry: harness.Entry, *arguments: str) -> harness.Run:
        """Run a command."""
        return harness.run(entry, arguments, self.here)


Answers = list[tuple[str, harness.Run, str]]
CASES: dict[str, Callable[[Case], Answers]] = {}


def case(*names: str) -> Callable[[Callable[[Case], Answers]], Callable[[Case], Answers]]:
    """Register what is done with a folder: it gives (what was done, how it ended, what else was found)."""

    def add(work: Callable[[Case], Answers]) -> Callable[[Case], Answers]:
        CASES.update(dict.fromkeys(names, work))
        return work

    return add


def one_file(
    name: str, needs: Sequence[str], file: str, target: str, entry: harness.Entry, *arguments: str
) -> None:
    """Register a folder whose file takes the place of another."""

    def work(case: Case) -> Answers:
        case.take(*needs)
        case.put(file, target)
        return [("", case.run(entry, *arguments), "")]

    CASES[name] = work


one_file(
    "detections-huge-integer",
    ("truth.json",),
    "detections.json",
    "d.json",
    score_detections,
    "truth.json",
    "d.json",
    "crowdpose",
)
one_file(
    "export-json-list",
    ("data", RUN, "runs/export/e"),
    "export.json",
    "runs/export/e/export.json",
    "subnets.export",
    *EXPORT,
)
one_file(
    "log-line-without-step",
    ("data", "space.yaml", HALF),
    "log.jsonl",
    f"{HALF}/log.jsonl",
    "supernet.train",
    *train("half"),
)
for _score in ("score-joint-number", "score-scalar", "score-stat-text"):
    one_file(
        _score,
        ("data", "runs/export/e", "runs/evaluate/v"),
        "e0.json",
        "runs/evaluate/v/networks/e.json",
        "subnets.evaluate",
        *EVALUATE,
    )
for _unread in ("unread-list-of-numbers", "unread-number"):
    one_file(
        _unread,
        ("photos", "runs/export/e", "runs/predict/p"),
        "unread.json",
        "runs/predict/p/unread.json",
        "subnets.predict",
        *PHOTOS,
    )
for _table in ("tabular-cut", "tabular-empty"):
    one_file(_table, ("few.yaml",), "t.npz", "t.npz", load_tabular, "t.npz")
one_file(
    "skeleton-laughs-name",
    ("photos", "arch.yaml", "weights.pth"),
    "s.yaml",
    "s.yaml",
    "subnets.predict",
    "arch=arch.yaml",
    "weights=weights.pth",
    "skeleton=s.yaml",
    "source=photos",
    "name=q",
    "threads=1",
)


@case("manifest-peaks-infinite")
def manifest(case: Case) -> Answers:
    import onnx

    case.take("photos", "runs/export/e/model.onnx")
    model = onnx.load(case.here / "runs/export/e/model.onnx")
    for entry in model.metadata_props:
        if entry.value[:1] == "{":
            entry.value = (case.given / "manifest.json").read_text()
    onnx.save(model, case.here / "m.onnx")
    return [("", case.run("subnets.predict", "arch=m.onnx", "source=photos", "name=q", "threads=1"), "")]


@case("settings-yaml-typo")
def typo(case: Case) -> Answers:
    shutil.copytree(case.given / "settings", case.here / "settings")
    return [("", case.run("supernet.train", "--config-dir", "settings", "data=typo"), "")]


@case("sweep-loss-text")
def sweep(case: Case) -> Answers:
    shutil.copytree(case.given / "a", case.here / "s/a")
    return [("", case.run("supernet.sweep", "runs=s"), "")]


JOURNALS = sorted(f"journal-{what}" for what in (
    "ap-is-a-list", "codes-too-long", "done-without-stats", "lease-without-worker", "no-distributions", "no-op", "unknown-op",
))  # fmt: skip


@case(*JOURNALS)
def journal(case: Case) -> Answers:
    case.take("data", NET, RUN)
    file = case.here / RUN / "study.journal"
    today = file.read_bytes().splitlines(keepends=True)
    results = found(case, candidates("s"))
    shutil.copyfile(case.given / "study.journal", file)
    answers = [("older form", case.run("search.run", *SEARCH_AGAIN), "")]
    # The same kind of record of today, changed in the same way.
    row, changed = changed_record(case.given.name, today)
    for signed, said in ((False, "today's form"), (True, "and fitting checksums")):
        lines = [*today[:row], changed, *today[row + 1 :]]
        file.write_bytes(b"".join(signed_again(lines) if signed else lines))
        for path in (case.here / RUN).glob("candidates*"):
            path.unlink()
        done = case.run("search.run", *SEARCH_AGAIN)
        named = (
            "" if signed else f"line {row + 1} {'named' if f'line {row + 1};' in done.err else 'not named'}"
        )
        answers.append((f"{said}, line {row + 1}", done, named))
        if not signed:
            repaired = case.run("search.run", *SEARCH_AGAIN, "search.repair=true")
            same = "same result" if found(case, candidates("s")) == results else "another result"
            answers.append(("search.repair=true", repaired, same))
            # One more start finds nothing to do.
            file.with_name("study.journal.damaged").unlink()
    return answers


def changed_record(name: str, lines: Sequence[bytes]) -> tuple[int, bytes]:
    """Which line of a journal of today is changed, and to what, so that it has a folder's fault."""
    records = [json.loads(line) for line in lines]
    attributes = [record.get("user_attr") or {} for record in records]
    made = next(i for i, record in enumerate(records) if record["op_code"] == 4 and "codes" in str(record))
    stats = next(i for i, each in enumerate(attributes) if "stats" in each)
    lease = next(i for i, each in enumerate(attributes) if each.get("lease"))
    what = name.removeprefix("journal-")
    row = {"ap-is-a-list": stats, "done-without-stats": stats, "codes-too-long": made, "no-distributions": made, "lease-without-worker": lease}.get(what, lease)  # fmt: skip
    record = records[row]
    if what == "ap-is-a-list":
        record["user_attr"]["stats"]["AP"] = [0.5]
    elif what == "done-without-stats":
        record["user_attr"] = {"other": 1}
    elif what == "codes-too-long":
        holder = record["user_attrs"]
        holder["codes"] = [*holder["codes"], 0]
    elif what == "no-distributions":
        record["distributions"] = {}
    elif what == "lease-without-worker":
        record["user_attr"]["lease"]["worker"] = {}
    elif what == "no-op":
        del record["op_code"]
    else:
        record["op_code"] = 77
    return row, json.dumps(record, separators=(",", ":")).encode() + b"\n"


def signed_again(lines: Sequence[bytes]) -> list[bytes]:
    """The lines with checksums that fit."""
    from search.study.journal import END, KEY

    crc, out = 0, []
    for line in lines:
        record = json.loads(line)
        record.pop("crc32", None)
        text = json.dumps(record, separators=(",", ":")).encode()
        out.append(text[:-1] + KEY + b"%08x" % zlib.crc32(text, crc) + END)
        crc = zlib.crc32(out[-1], crc)
    return out


def found(case: Case, patterns: Sequence[str]) -> dict[str, str]:
    return {
        str(path.relative_to(case.here)): digest_of(path)
        for pattern in patterns
        for path in case.here.glob(pattern)
    }


@case("config-litter")
def litter(case: Case) -> Answers:
    case.take("data", "space.yaml", NET, RUN, "runs/export/e", "photos")
    answers = []
    for where, entry, arguments in (
        ("train/lit", "supernet.train", train("lit", "train.steps=1")),
        ("search/lit", "search.run", search("lit", "search.evaluations=1")),
        ("evaluate/lit", "subnets.evaluate", ("arch=runs/export/e", "name=lit", "threads=1", *DATA)),
        ("predict/lit", "subnets.predict", (*PHOTOS[:2], "name=lit", "threads=1")),
    ):
        folder = case.here / "runs" / where
        folder.mkdir(parents=True)
        (folder / ".config.yaml.abc123.yaml").write_text("name: l\n")
        (folder / ".config.yaml.part-abc12345.yaml").write_text("name: l\n")
        done = case.run(entry, *arguments)
        left = (folder / ".config.yaml.part-abc12345.yaml").exists()
        answers.append((entry, done, "litter stays" if left else ""))
    return answers


@case("data-worker-killed")
def worker_killed(case: Case) -> Answers:
    case.take("data", "space.yaml")
    arguments = train("w", "data.workers=2", "train.steps=2000", "train.checkpoint.every=1000")
    child = harness.start("supernet.train", arguments, case.here)
    victims: list[int] = []
    begin = time.monotonic()
    while not (log := case.here / "runs/train/w/log.jsonl").exists() or log.stat().st_size < 200:
        time.sleep(0.02)
        if time.monotonic() - begin > 100:
            break
    victims = [pid for pid in group(child) if pid != child]
    os.kill(max(victims), signal.SIGKILL)
    done = ended(child, case.here)
    return [(f"one of {len(victims)} killed", done, "processes stay" if group(child) else "")]


def ended(child: int, folder: Path) -> harness.Run:
    """Wait for a started command."""
    _, status, usage = os.wait4(child, 0)
    texts = [path.read_text(errors="replace") for path in harness.outputs(folder)]
    code = os.waitstatus_to_exitcode(status)
    return harness.Run(code, usage.ru_utime, usage.ru_maxrss * 1024, False, *texts)


@case("fifo")
def fifo(case: Case) -> Answers:
    case.take("photos", RUN, "data", "space.yaml")
    os.mkfifo(case.here / "photos/a.jpg")
    (case.here / "photos/b.jpg").symlink_to("/dev/zero")
    first = case.run("subnets.predict", "arch=runs/search/s:half", "source=photos", "name=q", "threads=1")
    image = sorted((case.here / "data/images").glob("*.jpg"))[0]
    image.unlink()
    os.mkfifo(image)
    again = case.run("supernet.train", *train("f"))
    return [
        ("predict", first, "others done" if (case.here / "runs/predict/q/0.jpg").exists() else ""),
        ("train", again, ""),
    ]


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """A file system of that size at `folder`; needs the right to mount."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@case("full-disk-picture", "full-disk-safetensors")
def full_disk(case: Case) -> Answers:
    case.take("data", "space.yaml", NET, RUN)
    pictures = train("d", "train.validation.every=2", "train.validation.pictures=1")
    jobs = {
        "train": ("supernet.train", pictures),
        "search": ("search.run", search("d")),
        "export": ("subnets.export", (*EXPORT, "name=d")),
    }
    chosen = ("train",) if case.given.name.endswith("picture") else ("search", "export")
    answers = []
    for name in chosen:
        for size in (12, 40, 60, 100, 124, 180, 260):
            with small_disk(case.here / "runs" / name, size):
                if name == "search":
                    shutil.copytree(case.world / NET, case.here / NET, dirs_exist_ok=True)
                answers.append((f"{name}, {size} kB", case.run(jobs[name][0], *jobs[name][1]), ""))
    return answers


@case("grpc-password")
def password(case: Case) -> Answers:
    case.take("data", NET)
    done = case.run("search.run", *search("g", "search.storage=grpc://me:geheim@h"))
    return [("", done, "password shown" if "geheim" in done.out + done.err else "password hidden")]


@case("lease-clock")
def clock(case: Case) -> Answers:
    """A lease holds no moment of any clock: tests/search/test_leases.py."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-k",
        "clock or silent or lease",
        "-p",
        "no:cacheprovider",
        str(ROOT / "tests/search/test_leases.py"),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return [
        (
            "tests/search/test_leases.py",
            harness.Run(done.returncode, 0, 0, False, done.stdout, done.stderr),
            done.stdout.splitlines()[-1].strip("= "),
        )
    ]


@case("name-300-letters")
def long_name(case: Case) -> Answers:
    return [("", case.run("supernet.train", f"name={'x' * 300}"), "")]


@case("predict-killed")
def predict_killed(case: Case) -> Answers:
    case.take("data", "runs/export/e")
    arguments = ("arch=runs/export/e", "source=data/images", "name=k", "threads=1")
    child = harness.start("subnets.predict", arguments, case.here)
    folder = case.here / "runs/predict/k"
    while len(list(folder.glob("*.jpg"))) < 4:
        time.sleep(0.002)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    done = case.run("subnets.predict", *arguments)
    names = {path.name for path in folder.iterdir()}
    expected = {path.name for path in (case.here / "data/images").iterdir()} | {
        "config.yaml",
        "images.json",
        "predictions.json",
    }
    return [("after SIGKILL", done, "as unbroken" if names == expected else str(sorted(names ^ expected)))]


@case("predictor-planning-time")
def planning_time(case: Case) -> Answers:
    """Measured by experiments/benchmarks; here one ask at 100 known."""
    code = (
        "import sys, time; sys.path.insert(0, 'tests/search')\n"
        "import numpy as np\nfrom analytic import Formula, tiny_problem\n"
        "from search.strategies.contract import load_strategy\nfrom search.strategies.problem import History\n"
        "p = tiny_problem(); f = Formula(p.space); g = np.random.default_rng(0)\n"
        "for n in (50, 100, 200):\n"
        " c = p.space.canonical(p.space.sample_codes(g, n)); s = load_strategy('predictor', p, {})\n"
        " h = History.of(p, c, f.ap(c)); t = time.process_time(); s.ask(h, 8, np.random.default_rng(1))\n"
        " print(f'{n}: {time.process_time() - t:.1f} s', end='; ')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return [
        ("one ask of 8", harness.Run(done.returncode, 0, 0, False, done.stdout, done.stderr), done.stdout)
    ]


@case("symlink-overwritten")
def planted(case: Case) -> Answers:
    case.take("photos", "clip.mp4", "runs/export/e")
    victim = case.here / "victim"
    victim.write_text("mine")
    answers = []
    for source, names in (
        ("photos", (".0.jpg.part", ".1.jpg.part-abcdefgh.jpg")),
        ("clip.mp4", (".part.video.mp4", "clip.mp4")),
    ):
        folder = case.here / "runs/predict" / Path(source).stem
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).symlink_to(victim)
        done = case.run(
            "subnets.predict", "arch=runs/export/e", f"source={source}", f"name={folder.name}", "threads=1"
        )
        answers.append(
            (source, done, "victim intact" if victim.read_text() == "mine" else "victim overwritten")
        )
    return answers


@case("ulimit-n")
def few_descriptors(case: Case) -> Answers:
    case.take("data", "space.yaml")
    answers = []
    for count in (40, 64):
        command = f"ulimit -n {count}; exec {sys.executable} -m supernet.train " + " ".join(
            f"'{each}'" for each in train(f"u{count}", "data.workers=2")
        )
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=case.here,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        answers.append((f"{count}", harness.Run(done.returncode, 0, 0, False, done.stdout, done.stderr), ""))
    return answers


@case("weights-private")
def private(case: Case) -> Answers:
    case.take("data", RUN)
    done = case.run("subnets.export", *EXPORT)
    modes = {
        stat.filemode(path.stat().st_mode)
        for path in (case.here / "runs/export/e").iterdir()
        if path.is_file()
    }
    return [("", done, " ".join(sorted(modes)))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--case", action="append", default=[])
    chosen = parser.parse_args()
    names = chosen.case or sorted(path.name for path in chosen.folder.iterdir() if path.is_dir())
    print("| folder | done | verdict | found | said |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="cases-") as scratch:
        world = undamaged(Path(scratch))
        harness.import_learned(world / "modules.txt")
        for name in names:
            here = Path(scratch) / "case"
            shutil.rmtree(here, ignore_errors=True)
            here.mkdir()
            if name not in CASES:
                print(f"| {name} | | not known | | |")
                continue
            for what, done, more in CASES[name](Case(chosen.folder / name, here, world)):
                line = done.line().replace("|", "/") if done.code else ""
                print(f"| {name} | {what} | {done.verdict()} | {more} | {line[:160]} |", flush=True)


if __name__ == "__main__":
    main()

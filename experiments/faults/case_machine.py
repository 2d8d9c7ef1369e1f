"""What a machine does to a run: kills, pipes, links, full disks, few descriptors, clocks, modes of files."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import harness
from case import ROOT, Answers, Case, case
from kinds import NET, RUN, search, train
from world import DATA, EXPORT


@case("config-litter")
def litter(case: Case) -> Answers:
    case.take("data", "space.yaml", NET, RUN, "runs/export/e", "photos")
    answers = []
    for where, entry, arguments in (
        ("train/lit", "supernet.train", train("lit", "train.steps=1")),
        ("search/lit", "search.run", search("lit", "search.evaluations=1")),
        ("evaluate/lit", "subnets.evaluate", ("arch=runs/export/e", "name=lit", "threads=1", *DATA)),
        ("predict/lit", "subnets.predict", ("arch=runs/export/e", "source=photos", "name=lit", "threads=1")),
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
    begin = time.monotonic()
    while not (log := case.here / "runs/train/w/log.jsonl").exists() or log.stat().st_size < 200:
        time.sleep(0.02)
        if time.monotonic() - begin > 100:
            break
    victims = [pid for pid in harness.group(child) if pid != child]
    os.kill(max(victims), signal.SIGKILL)
    done = ended(child, case.here)
    return [(f"one of {len(victims)} killed", done, "processes stay" if harness.group(child) else "")]


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


@case("lease-clock")
def clock(case: Case) -> Answers:
    """A lease holds no moment of any clock: tests/search/test_leases.py."""
    test = str(ROOT / "tests/search/test_leases.py")
    words = ("-q", "-k", "clock or silent or lease", "-p", "no:cacheprovider", "--rootdir", str(ROOT), test)
    done = case.program(sys.executable, "-m", "pytest", *words)
    return [("tests/search/test_leases.py", done, done.out.splitlines()[-1].strip("= "))]


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
        f"import sys, time; sys.path.insert(0, {str(ROOT / 'tests/search')!r})\n"
        "import numpy as np\nfrom analytic import Formula, tiny_problem\n"
        "from search.strategies.contract import load_strategy\n"
        "from search.strategies.contract import History\n"
        "p = tiny_problem(); f = Formula(p.space); g = np.random.default_rng(0)\n"
        "for n in (50, 100, 200):\n"
        " c = p.space.canonical(p.space.sample_codes(g, n)); s = load_strategy('predictor', p, {})\n"
        " h = History.of(p, c, f.ap(c)); t = time.process_time(); s.ask(h, 8, np.random.default_rng(1))\n"
        " print(f'{n}: {time.process_time() - t:.1f} s', end='; ')\n"
    )
    done = case.program(sys.executable, "-c", code)
    return [("one ask of 8", done, done.out)]


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
        answers.append((f"{count}", case.program("bash", "-c", command), ""))
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

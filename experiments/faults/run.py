# ruff: noqa: E501, E402
"""A campaign of faults: damaged files of 18 kinds, read by the real commands.

    python experiments/faults/run.py --mutations 500 --seed 1 [--kind journals] [--first 0] [--output DIR]
    python experiments/faults/run.py --kind journals --seed 1 --index 17        # one case again, with its output

A case is a kind, a seed and an index; nothing else is random. Writes result.json, cases.csv and a table.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import argparse
import csv
import gc
import hashlib
import json
import shutil
import sys
import tempfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT)]

import harness
import mutations
import numpy as np
import world
from damage import MARKER
from kinds import KINDS, Kind, Variant, files_of, kind_of, quick

VERDICTS = ("refused", "accepted", "accepted, other result", "traceback", "unclear", "silently wrong", "hang", "memory", "ran code")  # fmt: skip
BAD = VERDICTS[3:]
# What may differ between two runs of the same.
_VOLATILE = ("second", "time", "date", "version", "rate", "host", "pid", "created", "source", "supernet", "path", "sha256")  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What became of one damaged file."""

    kind: str
    seed: int
    index: int
    variant: int
    file: str
    damage: str
    verdict: str
    seconds: float
    megabytes: int
    place: str
    message: str


class Campaign:
    """Undamaged files, what the commands make of them, and the damage."""

    def __init__(self, scratch: Path, quick: bool = False) -> None:
        self.scratch = scratch
        self.quick = quick
        harness.import_heavy()
        if quick:
            harness.draw_nothing()
        self.world = undamaged(scratch, quick)
        self.modules = self.world / "modules.txt"
        harness.import_learned(self.modules)
        gc.freeze()
        self._composed: dict[str, Any] = {}
        self._references: dict[str, tuple[harness.Run, dict[str, str]]] = {}

    def case(self, kind: Kind, seed: int, index: int, show: bool = False) -> Case:
        """One case: damage a file, run the command that reads it, and judge."""
        rng = np.random.default_rng([seed, zlib.crc32(kind.name.encode()), index])
        number = int(rng.integers(len(kind.variants)))
        variant = kind.variants[number]
        reference, results = self._reference(kind, number)
        folder = self._copied(variant)
        files = files_of(variant, folder)
        file = files[int(rng.integers(len(files)))]
        others = [path for path in sorted(self.world.iterdir()) if path.is_file()]
        damage = mutations.mutate(rng, file, others)
        done = harness.run(variant.entry, variant.arguments, folder, self._settings(kind, number))
        verdict = done.verdict(reference)
        if any(folder.rglob(MARKER)):
            verdict = "ran code"
        elif verdict == "accepted" and digests(variant, folder, done) != results:
            told = variant.checksum or (damage.endswith("doubled") and "key " in damage)
            verdict = "silently wrong" if told else "accepted, other result"
        if show:
            print(
                f"in {folder}: {file.relative_to(folder)}: {damage}\n{variant.entry} {' '.join(variant.arguments)}"
            )
            print(
                f"--- status {done.code}, {done.seconds:.1f} s, {done.memory >> 20} MB\n{done.out}\n---\n{done.err}"
            )
        return Case(
            kind.name, seed, index, number, str(file.relative_to(folder)), damage, verdict,
            round(done.seconds, 2), done.memory >> 20, done.place(), done.line(),
        )  # fmt: skip

    def _settings(self, kind: Kind, number: int) -> Any:
        """The command's settings, composed once."""
        key = f"{kind.name}-{number}"
        if key not in self._composed:
            variant = kind.variants[number]
            self._composed[key] = harness.compose(variant.entry, variant.arguments)
        return self._composed[key]

    def _reference(self, kind: Kind, number: int) -> tuple[harness.Run, dict[str, str]]:
        """How the command ends with the undamaged file, and what it makes; kept beside the files."""
        key = f"{kind.name}-{number}"
        kept = self.world / "references" / f"{key}.json"
        if key not in self._references and kept.is_file():
            value = json.loads(kept.read_text())
            self._references[key] = harness.Run(**value["run"]), value["digests"]
        if key not in self._references:
            variant = kind.variants[number]
            folder = self._copied(variant)
            if not files_of(variant, folder):
                raise SystemExit(f"{key}: there is no {variant.file}")
            settings = self._settings(kind, number)
            done = harness.learn_modules(variant.entry, variant.arguments, folder, self.modules, settings)
            if done.code:
                raise SystemExit(f"{key}: the undamaged file fails:\n{done.err}")
            if not self.quick:
                # Once more, now that nothing has to be imported: its memory is the measure.
                folder = self._copied(variant)
                done = harness.run(variant.entry, variant.arguments, folder, settings)
            self._references[key] = done, digests(variant, folder, done)
            gc.freeze()  # what was imported for it
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(json.dumps({"run": asdict(done), "digests": self._references[key][1]}))
        return self._references[key]

    def _copied(self, variant: Variant) -> Path:
        """A folder of its own with what the command needs."""
        folder = self.scratch / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for need in variant.needs:
            target = folder / need
            target.parent.mkdir(parents=True, exist_ok=True)
            source = self.world / need
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
        for pattern in variant.drop:
            for path in folder.glob(pattern):
                path.unlink()
        return folder


def undamaged(scratch: Path, quick: bool = False) -> Path:
    """The undamaged files, from this machine's cache when the code is the same."""
    digest = hashlib.sha256()
    for package in ("supernet", "search", "subnets", "conf"):
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in (".py", ".yaml"):
                digest.update(path.read_bytes())
    for module in (world, sys.modules["kinds"]):
        digest.update(Path(str(module.__file__)).read_bytes())
    if quick:
        made = scratch / "world"
        made.mkdir()
        world.make(made, quick)
        return made
    cache = Path(tempfile.gettempdir()) / f"litepose-faults-{os.getuid()}-{digest.hexdigest()[:12]}"
    if not cache.is_dir():
        made = scratch / "world"
        made.mkdir()
        world.make(made)
        try:
            shutil.move(made, cache)
        except OSError:  # another campaign was faster
            return cache
    return cache


def digests(variant: Variant, folder: Path, done: harness.Run) -> dict[str, str]:
    """What the command made: files by content (times and the like left out), or its output."""
    if not variant.results:
        return {"output": hashlib.sha256(done.out.encode()).hexdigest()}
    found = {}
    for pattern in variant.results:
        for path in sorted(folder.glob(pattern)):
            found[str(path.relative_to(folder))] = digest_of(path)
    return found


def digest_of(path: Path) -> str:
    if path.suffix == ".json":
        try:
            return hashlib.sha256(json.dumps(plain(json.loads(path.read_text()))).encode()).hexdigest()
        except ValueError:
            return "no JSON"
    if path.suffix == ".safetensors":
        from safetensors.numpy import load

        tensors = load(path.read_bytes())
        text = b"".join(name.encode() + tensors[name].tobytes() for name in sorted(tensors))
        return hashlib.sha256(text).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def plain(value: Any) -> Any:
    """`value` without what may differ between two runs of the same."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if not any(word in k.lower() for word in _VOLATILE)}
    return [plain(item) for item in value] if isinstance(value, list) else value


def cases(kinds: list[Kind], count: int, first: int) -> Iterator[tuple[Kind, int]]:
    """`count` cases in turn over the kinds."""
    for number in range(first, first + count):
        yield kinds[number % len(kinds)], number // len(kinds)


def table(found: list[Case]) -> str:
    """Verdicts by kind as Markdown."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for case in found:
        counts[case.kind][case.verdict] += 1
        counts["all"][case.verdict] += 1
    lines = ["| kind | mutations | " + " | ".join(VERDICTS) + " |", "|---" * (2 + len(VERDICTS)) + "|"]
    for kind, row in counts.items():
        if kind != "all":
            lines.append(
                f"| {kind} | {row.total()} | " + " | ".join(str(row[v] or "") for v in VERDICTS) + " |"
            )
    row = counts["all"]
    return "\n".join([*lines, f"| all | {row.total()} | " + " | ".join(str(row[v]) for v in VERDICTS) + " |"])


def distinct(found: list[Case]) -> list[tuple[int, Case]]:
    """One case for each way of going wrong, the most frequent first."""
    ways: dict[tuple[str, str, str], list[Case]] = defaultdict(list)
    for case in found:
        if case.verdict in BAD:
            ways[
                case.verdict, case.place, case.message.partition(":")[0][:60] if case.place else case.kind
            ].append(case)
    return sorted(((len(group), group[0]) for group in ways.values()), key=lambda pair: -pair[0])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutations", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="number of the first case, to go on from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", default=[])
    parser.add_argument("--index", type=int, help="only this case of the one kind, with its output")
    parser.add_argument("--output", type=Path, help="folder of result.json and cases.csv")
    parser.add_argument("--quick", action="store_true", help="only what takes little time, as in the tests")
    chosen = parser.parse_args()
    kinds = [kind_of(name) for name in chosen.kind] or list(KINDS)
    if chosen.quick:
        kinds = [short for kind in kinds if (short := quick(kind)).variants]
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        campaign = Campaign(Path(scratch), chosen.quick)
        if chosen.index is not None:
            case = campaign.case(kinds[0], chosen.seed, chosen.index, show=True)
            print(json.dumps(asdict(case), indent=1))
            return
        found = []
        for kind, index in cases(kinds, chosen.mutations, chosen.first):
            case = campaign.case(kind, chosen.seed, index)
            found.append(case)
            if chosen.output:
                append(chosen.output / "cases.csv", case)
            if case.verdict in BAD:
                print(f"{case.verdict}: --kind {case.kind} --seed {case.seed} --index {index}: {case.file}: "
                      f"{case.damage[:80]} -> {case.place} {case.message[:160]}", flush=True)  # fmt: skip
    print(table(found))
    for count, case in distinct(found):
        print(
            f"{count} x {case.verdict} at {case.place}: {case.message[:120]} (--kind {case.kind} --index {case.index})"
        )
    if chosen.output:
        write(chosen.output, found, chosen.seed)


def append(path: Path, case: Case) -> None:
    """One case more in a CSV, so that a campaign that is broken off has told what it found."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(case)))
        if not file.tell():
            writer.writeheader()
        writer.writerow(asdict(case))


def write(folder: Path, found: list[Case], seed: int) -> None:
    """The counts and the distinct failures of these cases as JSON."""
    counts = {kind.name: Counter(c.verdict for c in found if c.kind == kind.name) for kind in KINDS}
    result = {
        "schema": 1, "seed": seed, "mutations": len(found), "verdicts": Counter(case.verdict for case in found),
        "by kind": {name: row for name, row in counts.items() if row},
        "failures": [{"count": count, **asdict(case)} for count, case in distinct(found)],
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Damaged files in the place of good ones: scores, exports, logs, tables, skeletons, settings, journals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence

import harness
from case import Answers, Case, case
from kinds import HALF, NET, RUN, SEARCH_AGAIN, candidates, load_tabular, score_detections, search, train
from run import digest_of
from world import EVALUATE, EXPORT

from search.study.journal import Journal

# Folders whose file takes the place of another: what else is there, the file, its place, and who reads it.
ONE_FILE: list[tuple[Sequence[str], Sequence[str], str, str, harness.Entry, Sequence[str]]] = [
    (
        ("detections-huge-integer",),
        ("truth.json",), "detections.json", "d.json",
        score_detections, ("truth.json", "d.json", "crowdpose"),
    ),
    (
        ("export-json-list",),
        ("data", RUN, "runs/export/e"), "export.json", "runs/export/e/export.json",
        "subnets.export", EXPORT,
    ),
    (
        ("log-line-without-step",),
        ("data", "space.yaml", HALF), "log.jsonl", f"{HALF}/log.jsonl",
        "supernet.train", train("half"),
    ),
    (
        ("score-joint-number", "score-scalar", "score-stat-text"),
        ("data", "runs/export/e", "runs/evaluate/v"), "e0.json", "runs/evaluate/v/networks/e.json",
        "subnets.evaluate", EVALUATE,
    ),
    (
        ("unread-list-of-numbers", "unread-number"),
        ("photos", "runs/export/e", "runs/predict/p"), "unread.json", "runs/predict/p/unread.json",
        "subnets.predict", ("arch=runs/export/e", "source=photos", "name=p", "threads=1"),
    ),
    (
        ("tabular-cut", "tabular-empty"),
        ("few.yaml",), "t.npz", "t.npz",
        load_tabular, ("t.npz",),
    ),
    (
        ("skeleton-laughs-name",),
        ("photos", "arch.yaml", "weights.pth"), "s.yaml", "s.yaml",
        "subnets.predict",
        ("arch=arch.yaml", "weights=weights.pth", "skeleton=s.yaml", "source=photos", "name=q", "threads=1"),
    ),
]  # fmt: skip


def replacing(
    needs: Sequence[str], file: str, target: str, entry: harness.Entry, arguments: Sequence[str]
) -> Callable[[Case], Answers]:
    """What is done with a folder whose file takes the place of another."""

    def work(case: Case) -> Answers:
        case.take(*needs)
        case.put(file, target)
        return [("", case.run(entry, *arguments), "")]

    return work


for _names, *_rest in ONE_FILE:
    case(*_names)(replacing(*_rest))


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


@case("name-300-letters")
def long_name(case: Case) -> Answers:
    return [("", case.run("supernet.train", f"name={'x' * 300}"), "")]


@case("grpc-password")
def password(case: Case) -> Answers:
    case.take("data", NET)
    done = case.run("search.run", *search("g", "search.storage=grpc://me:geheim@h"))
    return [("", done, "password shown" if "geheim" in done.out + done.err else "password hidden")]


# The kinds of damage, by the record that has it: that of an evaluation, its scores, or its lease.
DAMAGED = {
    "codes-too-long": "made",
    "no-distributions": "made",
    "ap-is-a-list": "stats",
    "done-without-stats": "stats",
    "lease-without-worker": "lease",
    "no-op": "lease",
    "unknown-op": "lease",
}


@case(*(f"journal-{what}" for what in DAMAGED))
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
        file.write_bytes(b"" if signed else b"".join(lines))
        if signed:
            records = [json.loads(line) for line in lines]
            for record in records:
                record.pop("crc32", None)
            Journal(file).append_logs(records)
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
    what = name.removeprefix("journal-")
    has = {
        "made": lambda i: records[i]["op_code"] == 4 and "codes" in str(records[i]),
        "stats": lambda i: "stats" in attributes[i],
        "lease": lambda i: bool(attributes[i].get("lease")),
    }[DAMAGED[what]]
    row = next(i for i in range(len(records)) if has(i))
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


def found(case: Case, patterns: Sequence[str]) -> dict[str, str]:
    return {
        str(path.relative_to(case.here)): digest_of(path)
        for pattern in patterns
        for path in case.here.glob(pattern)
    }

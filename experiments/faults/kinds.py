# ruff: noqa: E501
"""The 18 kinds of files that are read, and the commands that read them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import harness
from world import DATA, EVALUATE, EXPORT, FINETUNE, PROFILE, SEARCH, TRAIN


@dataclass(frozen=True)
class Variant:
    """One file and the command that reads it.

    Attributes:
        file: which is damaged (a glob), relative to the folder in which the command runs.
        entry: the command.
        arguments: its command line.
        needs: what is copied of the undamaged files.
        drop: what is removed before (globs), so that a second start has something to do.
        results: what it makes (globs); compared with what it makes of undamaged files.
        checksum: whether the file has a checksum, so that a change of its content has to be refused.
    """

    file: str
    entry: harness.Entry
    arguments: Sequence[str]
    needs: Sequence[str]
    drop: Sequence[str] = ()
    results: Sequence[str] = ()
    checksum: bool = False


def score_detections(arguments: Sequence[str]) -> None:
    """The library's `score` of files, its error as the commands print theirs."""
    from supernet import InputError
    from supernet.pose import score

    truth, detections, dataset = arguments
    try:
        found = score(truth, detections, dataset=dataset)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print({key: round(value, 6) for key, value in found.items()})


def load_tabular(arguments: Sequence[str]) -> None:
    """The reading of a tabular benchmark."""
    sys.path.append(str(Path(__file__).resolve().parents[1] / "search"))
    from tabular import TabularBenchmark

    from supernet import InputError, SearchSpace

    try:
        table = TabularBenchmark.load(arguments[0], SearchSpace.load("few.yaml"))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(table.hypervolume(table.codes[::3]), table.ap.sum())


AUDIT = ("name=a", *DATA, "pixels=false")
PREDICT = ("arch=runs/search/s:half", "name=q", "threads=1")
EXPORTED = ("arch=runs/export/e", "name=q", "threads=1")
NET, HALF, RUN = "runs/train/net", "runs/train/half", "runs/search/s"
SEARCH_AGAIN = (
    "name=s", "supernet=runs/train/net", "budgets.macs=[0.6,0.9]", "budgets.names=[half,most]", *SEARCH
)  # fmt: skip
PEOPLE = ("runs/predict/q/predictions.json",)
SCORES = ("runs/evaluate/*/results.json", "runs/evaluate/*/networks/*.json")


def train(name: str, *more: str) -> tuple[str, ...]:
    return (f"name={name}", *TRAIN, *more)


def search(name: str, *more: str) -> tuple[str, ...]:
    return (f"name={name}", *SEARCH_AGAIN[1:], *more)


def candidates(run: str) -> tuple[str, ...]:
    return (f"runs/search/{run}/candidates.json", f"runs/search/{run}/subnets/*/model.safetensors")


@dataclass(frozen=True)
class Kind:
    """A kind of files."""

    name: str
    variants: Sequence[Variant] = field(default_factory=tuple)


KINDS = (
    Kind("annotations", (
        Variant("data/json/crowdpose_train.json", "supernet.audit", (*AUDIT, "splits=[train]"), ("data",), results=("runs/audit/a/audit.json",)),
        Variant("data/json/crowdpose_train.json", "supernet.audit", (*AUDIT, "splits=[train]", "data.on_error=skip"), ("data",), results=("runs/audit/a/audit.json",)),
        Variant("data/json/crowdpose_train.json", "supernet.train", train("a", "train.steps=1"), ("data", "space.yaml"), results=("runs/train/a/checkpoints/step*",)),
        Variant("data/json/crowdpose_test.json", "subnets.evaluate", ("arch=runs/export/e", "name=w", "threads=1", *DATA), ("data", "runs/export/e"), results=SCORES),
        Variant("coco/annotations/person_keypoints_val2017.json", "supernet.audit", ("name=c", "data=coco", "data.root=coco", "splits=[val]", "pixels=false"), ("coco",), results=("runs/audit/c/audit.json",)),
        Variant("data/json/crowdpose_val.json", "search.run", search("t", "search.evaluations=1"), ("data", NET), results=candidates("t")),
    )),
    Kind("pictures", (
        Variant("photos/*", "subnets.predict", (*PREDICT, "source=photos"), ("photos", RUN), results=PEOPLE),
        Variant("photos/0.jpg", "subnets.predict", (*PREDICT, "source=photos/0.jpg"), ("photos", RUN), results=PEOPLE),
        Variant("data/images/*.jpg", "supernet.audit", (*AUDIT[:-1], "pixels=true"), ("data",), results=("runs/audit/a/audit.json",)),
        Variant("data/images/*.jpg", "supernet.train", train("a", "train.steps=3"), ("data", "space.yaml"), results=("runs/train/a/checkpoints/step*",)),
        Variant("data/images/*.jpg", "supernet.train", train("a", "train.steps=3", "data.on_error=skip"), ("data", "space.yaml"), results=("runs/train/a/checkpoints/step*",)),
        Variant("data/images/*.jpg", "subnets.evaluate", ("arch=runs/export/e", "name=w", "threads=1", *DATA), ("data", "runs/export/e"), results=SCORES),
    )),
    Kind("videos", (
        Variant("clip.mp4", "subnets.predict", (*PREDICT, "source=clip.mp4"), ("clip.mp4", RUN), results=PEOPLE),
        Variant("clip.avi", "subnets.predict", (*PREDICT, "source=clip.avi"), ("clip.avi", RUN), results=PEOPLE),
    )),
    Kind("zips", (
        Variant("zipped/images.zip", "supernet.audit", ("name=a", "data=crowdpose", "data.root=zipped"), ("zipped",), results=("runs/audit/a/audit.json",), checksum=True),
        Variant("whole/data.zip", "supernet.audit", ("name=a", "data=crowdpose", "data.root=whole/data.zip"), ("whole",), results=("runs/audit/a/audit.json",), checksum=True),
        Variant("whole/data.zip", "supernet.train", train("a", "train.steps=2", "data.root=whole/data.zip"), ("whole", "space.yaml"), results=("runs/train/a/checkpoints/step*",)),
    )),
    Kind("architectures", (
        Variant("arch.yaml", "supernet.describe", ("arch=arch.yaml",), ("arch.yaml",)),
        Variant("official.json", "supernet.describe", ("arch=official.json",), ("official.json",)),
        Variant("higherhrnet-w16.yaml", "subnets.costs", ("arch=higherhrnet-w16.yaml",), ("higherhrnet-w16.yaml",)),
        Variant("lightweight-openpose.yaml", "subnets.costs", ("arch=lightweight-openpose.yaml",), ("lightweight-openpose.yaml",)),
        Variant("arch.yaml", "subnets.convert", ("arch=arch.yaml", "weights=weights.pth", "name=c"), ("arch.yaml", "weights.pth"), results=("runs/convert/c/model.safetensors",)),
        Variant("official.json", "subnets.export", ("arch=official.json", "name=o", "format=[onnx]", "export.latency_rounds=0", *DATA), ("official.json",), results=("runs/export/o/model.safetensors",)),
    )),
    Kind("spaces", (
        Variant("space.yaml", "supernet.describe", ("space=space.yaml",), ("space.yaml",)),
        Variant("space.yaml", "supernet.train", train("a", "train.steps=1"), ("space.yaml", "data"), results=("runs/train/a/checkpoints/step*",)),
        Variant("space.yaml", "search.profile", ("name=c", *PROFILE, "device.csv=measured.csv"), ("space.yaml", "measured.csv"), results=("runs/profile/c/latency.json",)),
    )),
    Kind("skeletons", (
        Variant("skeleton.yaml", "supernet.audit", (*AUDIT, "splits=[val]", "data.skeleton=skeleton.yaml"), ("data", "skeleton.yaml"), results=("runs/audit/a/audit.json",)),
        Variant("skeleton.yaml", "subnets.predict", ("arch=arch.yaml", "weights=weights.pth", "skeleton=skeleton.yaml", "name=q", "source=photos", "threads=1"), ("photos", "arch.yaml", "weights.pth", "skeleton.yaml"), results=PEOPLE),
        Variant("skeleton.yaml", "supernet.train", train("a", "train.steps=1", "data.skeleton=skeleton.yaml"), ("data", "space.yaml", "skeleton.yaml"), results=("runs/train/a/checkpoints/step*",)),
    )),
    Kind("checkpoints", (
        Variant(f"{HALF}/checkpoints/step-000000002.safetensors", "supernet.train", train("half"), ("data", "space.yaml", HALF), results=(f"{HALF}/checkpoints/step*4.safetensors",), checksum=True),
        Variant(f"{NET}/checkpoints/step-000000004.safetensors", "search.run", search("t", "search.evaluations=1"), ("data", NET), results=candidates("t"), checksum=True),
        Variant(f"{NET}/checkpoints/step-000000004.safetensors", "subnets.export", ("arch=smallest", "supernet=runs/train/net", "name=m", "export.latency_rounds=0", *DATA), ("data", NET), results=("runs/export/m/model.safetensors",), checksum=True),
        Variant(f"{NET}/checkpoints/step-000000004.safetensors", "subnets.evaluate", ("arch=largest", "supernet=runs/train/net", "name=m", "threads=1", *DATA), ("data", NET), results=SCORES, checksum=True),
    )),
    Kind("weights", (
        Variant(f"{RUN}/subnets/half/model.safetensors", "subnets.predict", ("arch=runs/search/s:half", "name=q", "threads=1", "source=photos"), ("photos", RUN), results=PEOPLE, checksum=True),
        Variant(f"{RUN}/subnets/half/model.safetensors", "subnets.finetune", FINETUNE, ("data", RUN), results=("runs/finetune/f/subnet/model.safetensors",), checksum=True),
        Variant("weights.pth", "subnets.convert", ("arch=arch.yaml", "weights=weights.pth", "name=c"), ("arch.yaml", "weights.pth"), results=("runs/convert/c/model.safetensors",), checksum=True),
        Variant("weights.safetensors", "subnets.convert", ("arch=arch.yaml", "weights=weights.safetensors", "name=c"), ("arch.yaml", "weights.safetensors"), results=("runs/convert/c/model.safetensors",)),
        Variant("weights.pth", "subnets.evaluate", ("arch=arch.yaml", "weights=weights.pth", "name=c", "threads=1", *DATA), ("data", "arch.yaml", "weights.pth"), results=SCORES, checksum=True),
    )),
    Kind("exports", (
        Variant("runs/export/e/*.json", "subnets.predict", (*EXPORTED, "source=photos"), ("photos", "runs/export/e"), results=PEOPLE),
        Variant("runs/export/e/*.yaml", "subnets.predict", (*EXPORTED, "source=photos"), ("photos", "runs/export/e"), results=PEOPLE),
        Variant("runs/export/e/model.onnx", "subnets.predict", ("arch=runs/export/e/model.onnx", "name=q", "threads=1", "source=photos"), ("photos", "runs/export/e"), results=PEOPLE, checksum=True),
        Variant("runs/export/e/model.onnx", "subnets.evaluate", ("arch=runs/export/e/model.onnx", "name=w", "threads=1", *DATA), ("data", "runs/export/e"), results=SCORES, checksum=True),
        Variant("runs/export/e/model.safetensors", "subnets.evaluate", ("arch=runs/export/e", "name=w", "threads=1", *DATA), ("data", "runs/export/e"), results=SCORES, checksum=True),
        Variant("runs/export/e/*.json", "subnets.export", EXPORT, ("data", RUN, "runs/export/e")),
        Variant("runs/export/e/*.yaml", "subnets.export", EXPORT, ("data", RUN, "runs/export/e")),
    )),
    Kind("runs", (
        Variant(f"{HALF}/config.yaml", "supernet.train", train("half"), ("data", "space.yaml", HALF), results=(f"{HALF}/checkpoints/step*4.safetensors",)),
        Variant(f"{HALF}/log.jsonl", "supernet.train", train("half"), ("data", "space.yaml", HALF), results=(f"{HALF}/checkpoints/step*4.safetensors",)),
        Variant("runs/train/lr/a/config.yaml", "supernet.sweep", ("runs=runs/train/lr",), ("runs/train/lr",)),
        Variant("runs/train/lr/a/log.jsonl", "supernet.sweep", ("runs=runs/train/lr",), ("runs/train/lr",)),
        Variant("runs/evaluate/v/*.json", "subnets.evaluate", EVALUATE, ("data", "runs/export/e", "runs/evaluate/v")),
        Variant("runs/evaluate/v/*.yaml", "subnets.evaluate", EVALUATE, ("data", "runs/export/e", "runs/evaluate/v")),
        Variant("runs/evaluate/v/networks/*.json", "subnets.evaluate", EVALUATE, ("data", "runs/export/e", "runs/evaluate/v")),
        Variant("runs/predict/p/*.json", "subnets.predict", ("arch=runs/export/e", "source=photos", "name=p", "threads=1"), ("photos", "runs/export/e", "runs/predict/p")),
        Variant("runs/predict/p/*.yaml", "subnets.predict", ("arch=runs/export/e", "source=photos", "name=p", "threads=1"), ("photos", "runs/export/e", "runs/predict/p")),
        Variant(f"{RUN}/config.yaml", "search.run", SEARCH_AGAIN, ("data", NET, RUN), results=candidates("s")),
        Variant("runs/finetune/f/*.json", "subnets.finetune", FINETUNE, ("data", RUN, "runs/finetune/f")),
    )),
    Kind("journals", (
        Variant(f"{RUN}/study.journal", "search.run", SEARCH_AGAIN, ("data", NET, RUN), (f"{RUN}/candidates*", f"{RUN}/report*"), candidates("s"), True),
    )),
    Kind("candidates", (
        Variant(f"{RUN}/candidates.json", "search.run", search("t", "search.evaluations=2", f"search.warm_start=[{RUN}/candidates.json]"), ("data", NET, RUN), results=candidates("t")),
        Variant(f"{RUN}/candidates.json", "search.run", SEARCH_AGAIN, ("data", NET, RUN), results=candidates("s")),
        Variant(f"{RUN}/subnets/half/meta.json", "subnets.predict", ("arch=runs/search/s:half", "name=q", "threads=1", "source=photos"), ("photos", RUN), results=PEOPLE),
        Variant(f"{RUN}/subnets/half/arch.yaml", "subnets.predict", ("arch=runs/search/s:half", "name=q", "threads=1", "source=photos"), ("photos", RUN), results=PEOPLE),
    )),
    Kind("latency", (
        Variant("runs/profile/b/latency.json", "search.run", ("name=t", "supernet=runs/train/net", "latency=runs/profile/b/latency.json", "budgets.latency_ms=['80%']", *SEARCH, "search.evaluations=1"), ("data", NET, "runs/profile/b"), results=candidates("t")),
        Variant("runs/profile/b/*", "search.profile", ("name=b", *PROFILE, "device.csv=measured.csv"), ("space.yaml", "measured.csv", "runs/profile/b")),
    )),
    Kind("boards", (
        Variant("measured.csv", "search.profile", ("name=c", *PROFILE, "device.csv=measured.csv"), ("space.yaml", "measured.csv"), results=("runs/profile/c/latency.json",)),
    )),
    Kind("detections", (
        Variant("detections.json", score_detections, ("truth.json", "detections.json", "crowdpose"), ("truth.json", "detections.json")),
        Variant("truth.json", score_detections, ("truth.json", "detections.json", "crowdpose"), ("truth.json", "detections.json")),
        Variant("coco-detections.json", score_detections, ("coco-truth.json", "coco-detections.json", "coco"), ("coco-truth.json", "coco-detections.json")),
    )),
    Kind("tabular", (
        Variant("table.npz", load_tabular, ("table.npz",), ("table.npz", "few.yaml"), checksum=True),
    )),
    Kind("settings", (
        Variant("settings/data/mine.yaml", "supernet.train", (f"name={'m'}", *TRAIN[3:], "train.steps=1", "data=mine", "--config-dir", "settings"), ("data", "space.yaml", "settings"), results=("runs/train/m/checkpoints/step*",)),
        Variant("settings/data/mine.yaml", "supernet.audit", ("name=m", "data=mine", "splits=[val]", "pixels=false", "--config-dir", "settings"), ("data", "settings"), results=("runs/audit/m/audit.json",)),
        Variant("settings/data/mine.yaml", "supernet.train", ("data=mine", "--config-dir", "settings", "--cfg", "job"), ("settings",)),
    )),
)  # fmt: skip


# What takes long to make, and what takes long to run.
SLOW_FILES = ("runs/export/e", "runs/evaluate/v", "runs/predict/p", "runs/finetune/f")
SLOW = ("search.run", "subnets.export", "subnets.finetune")
# Of each kind, in the quick form: every variant costs an undamaged run.
VARIANTS = 1


def quick(kind: Kind) -> Kind:
    """The variants that take little time; a journal has no other reader than the search."""
    fast = [v for v in kind.variants if not set(v.needs) & set(SLOW_FILES) and v.entry not in SLOW]
    # Auditing every pixel starts processes of its own; nothing else can be spared of settings in files.
    only = {
        "pictures": "subnets.predict", "videos": "subnets.predict", "zips": "supernet.train", "settings": "supernet.audit"
    }.get(kind.name)  # fmt: skip
    fast = [v for v in fast if only in (None, v.entry)][:VARIANTS]
    return Kind(kind.name, tuple(fast) or (kind.variants if kind.name == "journals" else ()))


def kind_of(name: str) -> Kind:
    for kind in KINDS:
        if kind.name == name:
            return kind
    raise SystemExit(f"kind {name!r} is not one of {', '.join(kind.name for kind in KINDS)}")


def files_of(variant: Variant, folder: Path) -> list[Path]:
    """The files of which one is damaged."""
    return sorted(path for path in folder.glob(variant.file) if path.is_file())

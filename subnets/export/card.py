"""The card of an exported network: what it is, what it costs, how well it does, where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from supernet.cost import Passes, count_macs, count_params, scored_macs
from supernet.family import Architecture
from supernet.heads.contract import head_of
from supernet.memory import memory_of
from supernet.runs.environment import environment_line

from ..benchmark.timing import Timing
from ..portable.manifest import METADATA_KEY, Manifest, outputs_of, preprocessing_of

PICTURE = "picture.jpg"
PORTED = (
    "For other languages and runtimes: `porting.md` writes down every step from picture to people, "
    "`decode.h` decodes in C99 without allocation, `vectors.npz` holds pictures with what becomes of them."
)


@dataclass(frozen=True)
class SplitScores:
    """Metrics of one precision on one split.

    Attributes:
        what: which network, such as `fp32 (torch)`.
        data: the split and how many of its images.
        protocol: flip, scales.
        macs: exact multiply-accumulates of the test for an image; None where nobody recorded them.
        decoding: milliseconds per image from the outputs to people; None where nobody measured them.
        stats: the metrics in 0..1.
    """

    what: str
    data: str
    protocol: str
    macs: float | None
    decoding: float | None
    stats: Mapping[str, float]


@dataclass(frozen=True)
class Written:
    """One format that was written and found to run.

    Attributes:
        format: its name.
        file: relative to the export's folder.
        size: of all its files in bytes.
        difference: from torch, relative to the largest output; None where it was not run.
        runtime: the runtime that ran it, or would.
        describes_itself: whether the file holds the manifest.
        notes: what a reader of the card should know.
    """

    format: str
    file: str
    size: int
    difference: float | None
    runtime: str
    describes_itself: bool = False
    notes: Sequence[str] = ()

    @property
    def proof(self) -> str:
        """How well it was found to compute what torch computes."""
        if self.difference is None:
            return f"NOT RUN, since {self.runtime} does not exist for this system"
        return f"within {self.difference:.1e} of torch in {self.runtime}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "format": self.format,
            "file": self.file,
            "bytes": self.size,
            "difference": self.difference,
            "runtime": self.runtime,
        }


@dataclass(frozen=True)
class Card:
    """All that a card tells.

    Attributes:
        manifest: what files of the network say of themselves.
        arch: the architecture.
        trained: False for random weights.
        written: the formats.
        timings: measured latencies, by format.
        environment: of the measurement.
        scores: measured or inherited metrics.
        about: provenance.
        picture: whether there is one.
        bundle: whether the folder runs by itself.
        porting: whether it tells how to use the network without the toolkit's code.
    """

    manifest: Manifest
    arch: Architecture
    trained: bool
    written: Sequence[Written]
    timings: Sequence[Timing] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    scores: Sequence[SplitScores] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    picture: bool = False
    bundle: bool = True
    porting: bool = False


def card_text(card: Card) -> str:
    """The card as Markdown."""
    parts = [
        f"# {card.manifest.name}",
        _summary(card),
        f"![People found by this network]({PICTURE})" if card.picture else "",
        "## Size and cost",
        _costs(card.arch, card.manifest.skeleton.num_joints),
        "## Files",
        _files(card.written),
        *(["## Latency", _latency(card)] if card.timings else []),
        *(["## Scores", *(_scores(card.scores))] if card.scores else []),
        *(["## Use", _use(card)] if card.bundle else []),
        "## Input and output",
        _interface(card),
        *([PORTED] if card.porting else []),
        "## Where it comes from",
        _provenance(card.about),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(card: Card) -> str:
    text = (
        f"A network of family {card.arch.family} for 2D pose estimation, {card.arch.resolution} pixels, "
        f"{card.manifest.skeleton.num_joints} joints ({card.manifest.skeleton.name})."
    )
    return (
        text
        if card.trained
        else f"{text} **Its weights are random**: size and speed are real, what it finds is not."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _costs(arch: Architecture, joints: int) -> str:
    (height, width), plain, flip = arch.input_shape, Passes(flip=False), Passes()
    ((wide, _),) = plain.shapes(arch.resolution).items()
    rows = [
        ["parameters", f"{count_params(arch, joints):,}"],
        [f"exact MACs, 4:3 image ({wide[1]} x {wide[0]})", _giga(scored_macs(arch, plain, joints))],
        ["exact MACs, 4:3 image with a flip test", _giga(scored_macs(arch, flip, joints))],
        [f"exact MACs, {height} x {width}", _giga(count_macs(arch, joints))],
        [
            "MACs by the LitePose paper's counting, the same input",
            _giga(count_macs(arch, joints, "litepose")),
        ],
    ]
    for name, precision in (("INT8", "int8"), ("INT8 on an Arm Ethos-U", "ethos_u"), ("float32", "float32")):
        memory = memory_of(arch, joints, precision)
        if memory is not None:
            sizes = " and ".join(f"{size / 1e6:.3g} MB" for size in memory)
            rows.append([f"RAM and flash in {name}, {height} x {width}", sizes])
    note = (
        "Exact MACs are the multiply-accumulates of convolutions and transposed convolutions. The paper "
        "counts transposed convolutions at their output positions, and batch norms and activations besides. "
        "RAM is the peak of the maps that are live at once; what a runtime adds is not in it."
    )
    return f"{_table(['', ''], rows)}\n\n{note}"


def _giga(macs: float) -> str:
    return f"{macs / 1e9:.4f} G"


def _files(written: Sequence[Written]) -> str:
    rows = [["`arch.yaml`, `model.safetensors`, `meta.json`", "weights for this toolkit", "", ""]]
    for item in written:
        notes = "; ".join(item.notes)
        size = f"{item.size / 1e6:.2f} MB"
        rows.append(
            [
                f"`{item.file}`",
                f"{item.format}{f' ({notes})' if notes else ''}",
                size,
                "not run" if item.difference is None else f"{item.difference:.1e}",
            ]
        )
    table = _table(["file", "what", "size", "largest difference from torch"], rows)
    note = "Differences are relative to the largest output; they were measured during the export."
    unrun = [f"`{item.file}` was {item.proof}." for item in written if item.difference is None]
    if unrun:
        unrun.append("Compare with `subnets.compare` where it runs, before it is used.")
    return "\n\n".join([table, " ".join([note, *unrun])])


def _latency(card: Card) -> str:
    rows = [
        [t.name, f"{t.median:.1f}", f"{t.low:.1f} to {t.high:.1f}", f"{t.best:.1f}"] for t in card.timings
    ]
    head = ["runtime", "median ms", "10th to 90th percentile", "fastest"]
    rounds = len(card.timings[0].milliseconds)
    height, width = card.manifest.input_shape or card.arch.input_shape
    note = f"One {height} x {width} image, network alone, {rounds} interleaved rounds."
    return f"{_table(head, rows)}\n\n{note} {environment_line(card.environment)}."


def _scores(scores: Sequence[SplitScores]) -> list[str]:
    keys = list(dict.fromkeys(key for score in scores for key in score.stats))
    rows = [
        [score.what, score.data, score.protocol]
        + ["-" if score.macs is None else _giga(score.macs)]
        + ["-" if score.decoding is None else f"{score.decoding:.1f}"]
        + [_percent(score.stats.get(key)) for key in keys]
        for score in scores
    ]
    head = ["network", "data", "test", "exact MACs of the test", "decoding, ms", *keys]
    note = (
        "Metrics in percent; MACs of all that was run for an image; milliseconds, measured here, of making "
        "people of its outputs; `-`: no such images, or not recorded."
    )
    return [_table(head, rows), note]


def _percent(value: float | None) -> str:
    return "-" if value is None or value < 0 else f"{100 * value:.1f}"


def _use(card: Card) -> str:
    return f"""This folder needs neither this toolkit nor torch:

```sh
pip install -r requirements.txt
python predict.py photo.jpg --out found        # or a folder, a video, camera:0
```

```python
from litepose_runtime.portable.main import open_predictor   # with this folder on sys.path

people = open_predictor("model.onnx")(rgb_image)  # (H, W, 3) uint8 RGB
people.keypoints  # (P, {card.manifest.skeleton.num_joints}, 3): x, y, score in image pixels
```"""


def _interface(card: Card) -> str:
    manifest = card.manifest
    shape = "(B, 3, H, W)" if manifest.input_shape is None else "(1, 3, {}, {})".format(*manifest.input_shape)
    resize = preprocessing_of(manifest)["resize"]
    lines = [
        f"- `images` {shape} float32: RGB / 255, ImageNet mean and deviation; {resize}.",
        *(f"- `{name}` {meaning}." for name, meaning in outputs_of(manifest).items()),
        f"- Joints: {', '.join(manifest.skeleton.joints)}.",
    ]
    if head_of(card.arch).peaks:
        if manifest.peaks:
            lines.append("- Joints that grouping missed are not looked for: that needs maps.")
        lines.append(f"- Peaks join people by the rule `{manifest.matching}`.")
    telling = ", ".join(f"`{item.file}`" for item in card.written if item.describes_itself)
    if telling:
        lines.append(f"- The same is said inside {telling} (of ONNX, the metadata's key `{METADATA_KEY}`).")
    return "\n".join(lines)


def _provenance(about: Mapping[str, Any]) -> str:
    if not about:
        return "Not recorded."
    return "\n".join(_lines(about))


def _lines(value: Mapping[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, item in value.items():
        if isinstance(item, Mapping):
            lines += [f"{indent}- {key}:", *_lines(item, indent + "  ")]
        else:
            lines.append(f"{indent}- {key}: {item}")
    return lines

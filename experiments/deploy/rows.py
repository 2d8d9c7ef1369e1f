"""The rows of README.md that hang on the weights that ship, from what `again.sh` measured.

    python experiments/deploy/rows.py [STEP...]  # rewrites what stands between its two marks in README.md

Steps are those of `again.sh`; without any, all that is recorded is told, whenever it was measured.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from supernet.runs.files import read_json, write_text

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- rows.py: begin -->", "<!-- rows.py: end -->"
NAMES = {
    "model.onnx": "onnxruntime",
    "model.pt2": "torch.export",
    "model.xml": "OpenVINO",
    "runtimes-ncnn.npz": "ncnn",
    "runtimes-mnn.npz": "MNN",
    "runtimes-opencv.npz": "OpenCV",
    "runtimes-tract.npz": "tract",
    "runtimes-aotinductor.npz": "AOTInductor",
    "runtimes-coreml.npz": "Core ML's program in torch",
}
NETWORK = "photographs:large"


def table(head: list[str], rows: list[list[str]]) -> str:
    """As Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def record(name: str) -> Any:
    """What a script left beside this file; nothing where it did not run."""
    return read_json(HERE / name) if (HERE / name).exists() else {}


def points(change: list[float]) -> str:
    """A paired difference with its interval, in points of AP."""
    value, low, high = (100 * each for each in change)
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def runtimes() -> Iterator[str]:
    """fp32 by apart.py, other precisions by subnets.compare."""
    found = record("apart.json").get("networks", {}).get(NETWORK)
    if found:
        same = found["rules"][found["rule"]]
        rows = []
        for key in (name for name in NAMES if name in same):
            equal = f"{same[key]['same']} of {found['images']}"
            rows.append([NAMES[key], f"{found['largest'][key]:.1e}", equal, points(same[key]["difference"])])
        head = ["runtime, fp32, rendered test", "largest difference", "pictures with the same people", "AP"]
        yield table(head, rows)
    text = (HERE / "runtimes.txt").read_text(encoding="utf-8") if (HERE / "runtimes.txt").exists() else ""
    parts = re.findall(r"^== (.*)\n((?:(?!==).*\n)*)", text, re.MULTILINE)
    lines = [
        (name, re.search(r"^AP on (\S+), (\d+) images: (.*)$", body, re.MULTILINE)) for name, body in parts
    ]
    rows = [[name, line[1], line[2], line[3].replace(", paired, 95%", "")] for name, line in lines if line]
    if rows:
        yield table(["other precisions", "data", "images", "AP as exported, of the other, difference"], rows)


def int8() -> Iterator[str]:
    """Of experiments/export/int8.py, on photographs."""
    networks = {row["network"]: row for row in record("../export/int8.json").get("networks", [])}
    found = networks.get(NETWORK.replace(":", "-"))
    if found:
        rows = []
        for name, row in found["files"].items():
            change = [each / 100 for each in row.get("difference", [0, 0, 0])]
            rows.append(
                [name, f"{row['AP']:.1f}", points(change) if "difference" in row else "", f"{row['MB']:.2f}"]
            )
        head = [f"{found['images']} test photographs, {found['resolution']} pixels", "AP", "difference", "MB"]
        yield f"{table(head, rows)}\n\n{found['levelling']}."


def folding() -> Iterator[str]:
    """Of folding.py."""
    found = record("folding.json")
    if found:
        keys = list(next(iter(found.values())))
        head = ["from double precision (the last two: from each other)", *keys]
        yield table(head, [[name, *(f"{row[key]:.1e}" for key in keys)] for name, row in found.items()])


def grouping() -> Iterator[str]:
    """Rules of matching on photographs, all of a split."""
    found = record("grouping.json").get("networks", {}).get("photographs", {})
    rows = []
    for split, row in found.items():
        rules = [
            f"{100 * each['AP']:.1f}" + (f", {points(each['difference'])}" if "difference" in each else "")
            for each in row["rules"].values()
        ]
        rows.append([f"{split}, {row['images']} photographs", *rules])
    if rows:
        names = next(iter(found.values()))["rules"]
        yield table(["AP, difference to the first", *(f"`{name}`" for name in names)], rows)


def port() -> Iterator[str]:
    """Of port.py, as it says it."""
    if (HERE / "port.txt").exists():
        yield "The port: " + "; ".join((HERE / "port.txt").read_text(encoding="utf-8").splitlines())


def page() -> Iterator[str]:
    """Of web.py."""
    row = record("web.json").get(NETWORK)
    if row:
        same = f"{row['same people']} of {row['images']} photographs"
        yield f"The page: the same people as Python's in {same}, {row['people']:,} people."


STEPS = {each.__name__: each for each in (runtimes, int8, folding, grouping, port, page)}


def main() -> None:
    """Print the block and put it into README.md."""
    block = "\n\n".join(part for name in sys.argv[1:] or STEPS for part in STEPS[name]())
    readme = HERE / "README.md"
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    assert begin, f"{readme} has no {BEGIN}"
    write_text(readme, f"{before}{BEGIN}\n\n{block}\n\n{END}{after}")
    print(block)


if __name__ == "__main__":
    main()

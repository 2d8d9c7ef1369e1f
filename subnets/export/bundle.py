"""What makes an exported folder run elsewhere: copies of the live modules, so that nothing is written twice,
what ports need, and the page of the format `web`.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import Any

import cv2
import numpy as np

from supernet import __version__
from supernet.errors import InputError
from supernet.heads.contract import HEADS, Head
from supernet.heads.onestage import LEAST
from supernet.pose.drawing import SIDE_COLOURS
from supernet.pose.grouping import DecodeOptions
from supernet.pose.preprocess import IMAGE_MEAN, IMAGE_STD, LONG_MULTIPLE, LONGEST, UInt8, padded_shape
from supernet.pose.skeletons import Skeleton
from supernet.runs.files import read_json, write_bytes, write_json, write_text

from .. import portable
from ..portable.frames import read_rgb
from ..portable.manifest import Manifest, outputs_of
from ..portable.predicting import DRAW_JOINT, DRAW_SCORE
from ..portable.predictor import Predictor, Run
from ..portable.session import OnnxSession
from .formats import Format, Job
from .onnx_graph import ONNX, read_manifest

PACKAGE = "litepose_runtime"
ENTRY = "subnets.portable.main"
SCRIPT = "predict.py"
REQUIREMENTS = "requirements.txt"
HEADER = "decode.h"
PORTING = "porting.md"
VECTORS = "vectors.npz"
RULES_IN_C = ("hungarian", "greedy", "first")
_CONDITION = re.compile(r"<!-- (?:if (\w+)|end) -->")
PORTABLE = Path(portable.__file__).parent
# The page of the format `web`, and what it takes of the npm package onnxruntime-web, under names that every
# file server knows.
PAGE = Path(__file__).with_name("web")
WEB_PACKAGE = "onnxruntime-web"
WEB_RUNTIME = {
    "ort.wasm.bundle.min.mjs": "ort.js",
    "ort-wasm-simd-threaded.wasm": "ort.wasm",
}
# The outputs that the page makes people of.
WEB_OUTPUTS = (("quarter", "half"), ("scores", "positions", "tags"), ("scores", "people"))
SAMPLE = "sample.png"
# The toolkit's packages: `supernet.pose.people` becomes `<PACKAGE>.pose.people`.
_ROOTS = ("supernet", "subnets")
_NEEDS = "numpy>=1.26\nscipy>=1.11\nopencv-python-headless>=4.8\nonnxruntime>=1.18\n"
_NOTE = f'"""Part of litepose-ofa {__version__} (MIT licence): runs an exported network without torch."""\n'

_SCRIPT = f'''#!/usr/bin/env python3
"""Find people and their joints: python predict.py photo.jpg --out found

Needs numpy, scipy, opencv-python and onnxruntime (requirements.txt); see python predict.py --help.
"""

import sys
from pathlib import Path

from {PACKAGE}.portable.main import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
'''


def write_bundle(folder: Path, head: Head) -> list[str]:
    """Write `predict.py`, `requirements.txt` and the package of the runtime with a head into `folder`.

    Returns:
        the toolkit's modules that were copied.
    """
    modules, own = portable_modules(head), type(head).__module__
    for name in modules:
        target = folder / PACKAGE / Path(*_moved_name(name).split(".")[1:]).with_suffix(".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_moved(_source(name).read_text(encoding="utf-8"), own), encoding="utf-8")
    for package in sorted({path.parent for path in (folder / PACKAGE).rglob("*.py")} | {folder / PACKAGE}):
        (package / "__init__.py").write_text(_NOTE, encoding="utf-8")
    if own.partition(".")[0] not in _ROOTS:
        # A head of somebody's own is registered when its module is imported.
        registers = f"{_NOTE}\nimport {_moved_name(own)}  # noqa: F401\n"
        (folder / PACKAGE / "__init__.py").write_text(registers, encoding="utf-8")
    (folder / SCRIPT).write_text(_SCRIPT, encoding="utf-8")
    (folder / REQUIREMENTS).write_text(_NEEDS, encoding="utf-8")
    return modules


def decoder_header(skeleton: Skeleton, decode: DecodeOptions, peaks: int = 0) -> str:
    """The text of `decode.h`: people in C for these joints and rules.

    Args:
        skeleton: the joints.
        decode: thresholds and rule; without suppression of duplicates.
        peaks: K when the network ends in K peaks per joint; 0 for maps.

    Raises:
        InputError: the rule is not one of those written in C.
    """
    if decode.matching not in RULES_IN_C:
        raise InputError(f"decode.h knows the rules {', '.join(RULES_IN_C)}, not {decode.matching!r}")
    settings = {
        "JOINTS": skeleton.num_joints,
        "ORDER": ", ".join(map(str, skeleton.order)),
        "PEOPLE": decode.max_people,
        "PEAKS": max(peaks, decode.max_people),
        "WINDOW": decode.nms_window,
        "THRESHOLD": f"{float(decode.threshold)!r}f",
        "TAG_THRESHOLD": repr(float(decode.tag_threshold)),
        "REFINE": int(decode.refine and not peaks),
        "MATCHING": f"LP_{decode.matching.upper()}",
    }
    lines = "".join(f"#define LP_{name} {value}\n" for name, value in settings.items())
    begin, end = (f"/* settings of the network: {word} */\n" for word in ("begin", "end"))
    before, _, rest = (PORTABLE / HEADER).read_text(encoding="utf-8").partition(begin)
    return before + begin + lines + end + rest.partition(end)[2]


def porting_text(manifest: Manifest, decode: DecodeOptions) -> str:
    """The text of `porting.md`: how to use a network without this toolkit's code."""
    skeleton, outputs, shape = manifest.skeleton, outputs_of(manifest), manifest.input_shape
    true = {decode.matching, "fixed" if shape else "free", "peaks" if manifest.peaks else "maps"}
    lines, shown = [], True
    for line in (PORTABLE / PORTING).read_text(encoding="utf-8").splitlines():
        mark = _CONDITION.fullmatch(line)
        if mark:
            shown = mark[1] is None or mark[1] in true
        elif shown:
            lines.append(line)
    height, width = shape or (0, 0)
    return Template("\n".join(lines) + "\n").substitute(
        name=manifest.name,
        side=input_side(manifest),
        height=height,
        width=width,
        mean=IMAGE_MEAN,
        deviation=IMAGE_STD,
        outputs="\n".join(f"- `{name}` {meaning}." for name, meaning in outputs.items()),
        first=next(iter(outputs)),
        joints=skeleton.num_joints,
        names=", ".join(f"{index} {name}" for index, name in enumerate(skeleton.joints)),
        order=", ".join(map(str, skeleton.order)),
        threshold=decode.threshold,
        window=decode.nms_window,
        people=decode.max_people,
        tag_threshold=f"{decode.tag_threshold:g}",
    )


def vectors(predictor: Predictor, manifest: Manifest, count: int) -> dict[str, Any]:
    """`count` rendered scenes, what becomes of them on their way through a network, and the people.

    Returns:
        the arrays of `vectors.npz`, as `porting.md` tells, and the `manifest` as JSON.
    """
    arrays: dict[str, Any] = {"manifest": np.array(manifest.to_json())}
    for number in range(count):
        # In turn smaller than the input and more than twice as large, where pixels are averaged first.
        image = rendered(number, manifest.resolution * (0.9, 2.3)[number % 2])
        item, inputs = predictor.prepare(image)
        computed = predictor.network((item, inputs))
        people = predictor.group(computed)
        outputs = [output[None] for output in computed[1][0][0]]  # of one scale, unmirrored
        arrays |= {f"image_{number}": image, f"pixels_{number}": item.views[0].pixels}
        arrays |= {
            f"{name}_{number}": value for name, value in zip(outputs_of(manifest), outputs, strict=True)
        }
        # Outputs may be called people and scores, too.
        arrays |= {f"keypoints_{number}": people.keypoints, f"person_scores_{number}": people.scores}
    return arrays


def rendered(number: int, size: float) -> UInt8:
    """A scene (H, W, 3) uint8 RGB of about `size` x `size` pixels; every `number` is another."""
    from supernet.data.synthetic.options import SyntheticOptions
    from supernet.data.synthetic.scene import render_scene

    options = SyntheticOptions(size=max(32, min(round(size), 4096)), two_tone=1.0)
    return render_scene(np.random.SeedSequence([number]), options).image


def write_porting(folder: Path, manifest: Manifest, run: Run, count: int) -> None:
    """Write what a port to another language needs into `folder`: `decode.h`, `porting.md` and, of `count`
    pictures, `vectors.npz`.

    Args:
        run: the network.

    Raises:
        InputError: the network's rule of matching is not one of those written in C.
    """
    decode = DecodeOptions(matching=manifest.matching)
    write_text(folder / HEADER, decoder_header(manifest.skeleton, decode, manifest.peaks))
    write_text(folder / PORTING, porting_text(manifest, decode))
    if count:
        with (folder / VECTORS).open("wb") as stream:
            np.savez_compressed(stream, **vectors(Predictor.of(run, manifest), manifest, count))


def portable_modules(head: Head) -> list[str]:
    """The command of an exported folder, the head's module, and all that they import of the toolkit, sorted.

    Imports inside functions do not count: they are for files that an exported folder does not have (YAML
    layouts), for scoring, or of what the command imports anyway.
    """
    found: set[str] = set()
    # A registry names the head's module; nothing imports it.
    waiting = [ENTRY, type(head).__module__]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imported(name)
    return sorted(found)


def imported(name: str) -> Iterator[str]:
    """The modules of the toolkit, and of its own package, that the top level of module `name` imports."""
    for node in ast.parse(_source(name).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            package = name.rsplit(".", node.level)[0] if node.level else ""
            module = ".".join(part for part in (package, node.module or "") if part)
            if module.partition(".")[0] in (*_ROOTS, name.partition(".")[0]):
                yield module


def _source(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


def _moved_name(name: str) -> str:
    root, _, rest = name.partition(".")
    return f"{PACKAGE}.{rest if root in _ROOTS else name}"


def _moved(source: str, own: str) -> str:
    """`source` with absolute imports of the toolkit and of the package of the module `own`, and modules that
    registries name, in the package.
    """
    source = re.sub(rf"(^from |\")(?:{'|'.join(_ROOTS)})\.", rf"\1{PACKAGE}.", source, flags=re.MULTILINE)
    root = own.partition(".")[0]
    if root in _ROOTS:
        return source
    return re.sub(rf"^from {root}(?=[. ])", f"from {PACKAGE}.{root}", source, flags=re.MULTILINE)


def input_side(manifest: Manifest) -> int:
    """The short side of the input, in pixels, where shapes are free."""
    return padded_shape(manifest.resolution, 1, 1)[0]


def require_web(job: Job, options: Mapping[str, Any]) -> None:
    """Raise InputError where the page cannot make people of the outputs, or the npm package is missing."""
    manifest, outputs = job.manifest, outputs_of(job.manifest)
    if tuple(outputs) not in WEB_OUTPUTS:
        ends = HEADS.get(manifest.head_kind).ending_outputs()
        told = "; use export.peaks=30" if tuple(ends) in WEB_OUTPUTS else ""
        raise InputError(f"format web makes no people of the outputs {', '.join(outputs)}{told}")
    if manifest.matching not in RULES_IN_C:
        known = ", ".join(RULES_IN_C)
        raise InputError(f"format web knows the rules {known}, not {manifest.matching!r}")
    web_package(options["package"])


def write_web(job: Job, path: Path, options: Mapping[str, Any]) -> Sequence[str]:
    """A page that runs the ONNX file of the same folder in a browser, with all that it needs.

    Raises:
        InputError: the package or the sample is missing.
    """
    manifest, folder = job.manifest, path.parent
    runtime = copy_web_package(options["package"], folder)
    for item in PAGE.iterdir():
        shutil.copyfile(item, folder / item.name)
    shutil.copyfile(job.folder / ONNX.file, path)
    # Small networks see 96 pixels; a person who looks at the page wants more.
    sample = options["sample"]
    image = rendered(0, max(480, manifest.resolution)) if sample is None else read_rgb(Path(sample))
    done, data = cv2.imencode(".png", image[..., ::-1])
    assert done
    write_bytes(folder / SAMPLE, data.tobytes())
    people = Predictor.of(OnnxSession(path), manifest)(image)
    network = {
        **page_settings(manifest),
        "runtime": runtime,
        "toolkit": f"litepose-ofa {__version__}",
        "sample": [
            {"score": score, "joints": pose}
            for score, pose in zip(people.scores.tolist(), people.keypoints.tolist(), strict=True)
        ],
    }
    write_json(folder / "network.json", network)
    return (f"a page: `python -m http.server --directory {folder.name}`; {runtime}",)


def page_settings(manifest: Manifest) -> dict[str, Any]:
    """What the page has to know to prepare pictures, to make people of the outputs and to draw them."""
    return {
        **json.loads(manifest.to_json()),
        "side": input_side(manifest),
        "multiple": LONG_MULTIPLE,
        "longest": LONGEST,
        "least": LEAST,
        "decode": asdict(DecodeOptions(matching=manifest.matching)),
        "draw": {"score": DRAW_SCORE, "joint": DRAW_JOINT, "colours": SIDE_COLOURS},
        "sides": [manifest.skeleton.side(joint) for joint in range(manifest.skeleton.num_joints)],
    }


def web_package(given: str | None) -> Path:
    """The npm package: the folder `given`, or that in the next `node_modules`, as Node looks for it.

    Raises:
        InputError: it is not there, or not as it is expected.
    """
    here = Path.cwd()
    near = [base / "node_modules" / WEB_PACKAGE for base in (here, *here.parents)]
    places = near if given is None else [Path(given)]
    package = next((place for place in places if (place / "package.json").is_file()), None)
    if package is None:
        where = "" if given is None else f", which {given} is not"
        raise InputError(
            f"format web needs the npm package {WEB_PACKAGE}{where}: `npm install --no-save {WEB_PACKAGE}`, "
            "or its folder as export.options={web:{package:FOLDER}}"
        )
    for source in WEB_RUNTIME:
        if not (package / "dist" / source).is_file():
            file = package / "dist" / source
            raise InputError(f"{file} is missing; format web needs {WEB_PACKAGE} 1.20 or later")
    return package


def copy_web_package(given: str | None, folder: Path) -> str:
    """Copy what browsers need of the `web_package` into `folder`; returns its name, version and licence."""
    package = web_package(given)
    about = read_json(package / "package.json", "npm package")
    for source, name in WEB_RUNTIME.items():
        shutil.copyfile(package / "dist" / source, folder / name)
    named = about if isinstance(about, dict) else {}
    return f"{WEB_PACKAGE} {named.get('version', '')} ({named.get('license', 'licence unknown')})"


WEB = Format(
    "web",
    "web/model.onnx",
    "onnxruntime",
    write_web,
    OnnxSession,
    read_manifest,
    needs=("onnx",),
    options={"package": None, "sample": None},
    require=require_web,
)

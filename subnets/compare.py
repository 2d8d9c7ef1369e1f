"""`python -m subnets.compare`: whether another runtime computes what an exported network does."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet.cli import launch
from supernet.errors import InputError
from supernet.options import CommandOptions, option
from supernet.runs.reading import check_bound, read_bytes

if TYPE_CHECKING:
    import numpy as np

    from .portable.manifest import Manifest

    Arrays = Mapping[str, np.ndarray[Any, Any]]

# Joints of equal people lie within so many pixels of the picture.
NEAR = 0.1


@dataclass
class CompareCommand(CommandOptions):
    """Settings of the command.

    Attributes:
        folder: an exported folder; its vectors.npz is what is compared with.
        other: outputs of another runtime on those vectors (.npz), or a file of a format that runs here
            (.onnx, .xml of OpenVINO, .pt2).
        tolerance: largest difference that passes, relative to the largest value of an output; null judges
            nothing, as for INT8.
        threads: of a file that is run; null leaves it to the runtime.
    """

    folder: str = "???"
    other: str = "???"
    tolerance: float | None = option(1e-3, above=0)
    threads: int | None = option(None, least=1)


def main() -> None:
    """Run the command."""
    launch("compare", CompareCommand, run, positional="folder")


def run(config: CompareCommand, folder: Path) -> None:
    """Print how far the outputs are apart and how many pictures give the same people.

    Raises:
        InputError: something cannot be read, is of another network or in another layout, or differs by more
            than the tolerance.
    """
    from .export.bundle import VECTORS
    from .portable.manifest import Manifest, outputs_of

    where = Path(config.folder) / VECTORS
    if Path(config.folder).is_dir() and not where.exists():
        raise InputError(f"{config.folder} has no {VECTORS}; export it again with export.vectors=2")
    wanted = read_arrays(where)
    manifest = Manifest.from_json(str(wanted.get("manifest")), str(where))
    other = Path(config.other)
    names = list(outputs_of(manifest))
    found = read_arrays(other) if other.suffix == ".npz" else run_file(other, wanted, names, config.threads)
    worst, notes = dict.fromkeys(names, 0.0), set()
    numbers = [key.removeprefix("image_") for key in wanted if key.startswith("image_")]
    equal = 0
    for number in numbers:
        outputs = []
        for name in names:
            key = f"{name}_{number}"
            if key not in wanted or key not in found:
                held = ", ".join(sorted(found)[:8])
                raise InputError(f"{config.other} lacks {key}; it holds {held or 'nothing'}")
            value, note = in_layout(found[key], wanted[key], f"{config.other}: {key}")
            outputs.append(value)
            notes |= {note}
            worst[name] = max(worst[name], difference(value, wanted[key]))
        equal += same_people(manifest, wanted, number, outputs)
    for name, value in worst.items():
        print(f"{name}: largest difference {value:.1e} of its largest value")
    print(f"people: the same in {equal} of {len(numbers)} pictures")
    for note in sorted(notes - {""}):
        print(note)
    limit = config.tolerance
    if limit is not None and not max(worst.values()) <= limit:
        raise InputError(
            f"{config.other} differs by {max(worst.values()):.1e} (tolerance {limit:.0e}): a wrong "
            "conversion, other weights, or other inputs than pixels_n of the vectors, normalised (porting.md)"
        )


def read_arrays(path: Path) -> Arrays:
    """The arrays of an .npz file, read without running code.

    Raises:
        InputError: it is missing, damaged or no such file.
    """
    import numpy as np

    data = read_bytes(path, "vectors")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            check_bound("LITEPOSE_MAX_BYTES", sum(item.file_size for item in packed.infolist()), str(path))
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is no .npz file of plain arrays ({error})") from None


def run_file(path: Path, vectors: Arrays, names: Sequence[str], threads: int | None) -> Arrays:
    """The outputs `names` of a network file in the runtime of its format, told apart by their shapes.

    Raises:
        InputError: nothing here runs the file, the runtime is missing or fails, or the number of outputs is
            not the network's.
    """
    from supernet.pose.preprocess import normalise

    from .export.formats import format_of, formats

    form = format_of(path)
    if form is None:
        known = ", ".join(dict.fromkeys(suffix for item in formats() for suffix in item.suffixes))
        raise InputError(
            f"{path} is of no format that runs here ({known}); run it yourself on the vectors and give its "
            "outputs as .npz, or register a format that opens it (docs/extending.md)"
        )
    network = form.open(path, threads)
    found = {}
    for key in [key for key in vectors if key.startswith("pixels_")]:
        number = key.removeprefix("pixels_")
        outputs = list(network(normalise([vectors[key]])))
        if len(outputs) != len(names):
            shapes = ", ".join(str(value.shape) for value in outputs)
            raise InputError(f"{path} gives outputs {shapes}, where the network has {', '.join(names)}")
        for name in names:
            shape = vectors[f"{name}_{number}"].shape
            place = next((i for i, value in enumerate(outputs) if value.shape == shape), 0)
            found[f"{name}_{number}"] = outputs.pop(place)
    return found


def in_layout(found: Any, wanted: Any, what: str) -> tuple[Any, str]:
    """`found` in the shape and layout of `wanted`, and what a user has to know about its own.

    Raises:
        InputError: it is of another network, or channels and pixels were mixed up.
    """
    import numpy as np

    if found.dtype.kind not in "fiu":
        raise InputError(f"{what} holds {found.dtype}, no numbers")
    value = np.asarray(found, np.float32)
    value = value[None] if value.ndim == wanted.ndim - 1 else value
    maps, last, near = wanted.ndim == 4, np.moveaxis(wanted, 1, -1).shape, 0.1
    if value.shape == wanted.shape:
        mixed = np.moveaxis(value.reshape(last), -1, 1)
        if maps and difference(value, wanted) > near and difference(mixed, wanted) < near:
            raise InputError(
                f"{what} has the shape of NCHW but holds NHWC: it was reshaped, transpose it instead"
            )
        return value, ""
    if maps and value.shape == last:
        if difference(value.reshape(wanted.shape), wanted) < near:
            raise InputError(
                f"{what} has the shape of NHWC but holds NCHW: it was reshaped, transpose it instead"
            )
        name = what.rpartition(": ")[2]
        told = f"{name} is in NHWC (channels last): transpose it to NCHW before decoding"
        return np.moveaxis(value, -1, 1), told
    raise InputError(
        f"{what} is {found.shape}, this network gives {wanted.shape}: outputs of another network?"
    )


def difference(found: Any, wanted: Any) -> float:
    """Largest absolute difference relative to the largest value wanted; infinite for what is no number."""
    from .export.formats import relative_difference

    return relative_difference([found], [wanted])


def same_people(manifest: Manifest, wanted: Arrays, number: str, outputs: list[Any]) -> bool:
    """Whether `outputs` give the people of picture `number`: the same joints within `NEAR` pixels."""
    import numpy as np

    from .portable.predictor import Predictor

    predictor = Predictor.of(lambda images: outputs, manifest)
    people = predictor(wanted[f"image_{number}"]).keypoints
    own = wanted[f"people_{number}"]
    if people.shape != own.shape or not np.array_equal(people[..., 2] > 0, own[..., 2] > 0):
        return False
    return bool(np.abs(people[..., :2] - own[..., :2]).max(initial=0) <= NEAR)


if __name__ == "__main__":
    main()

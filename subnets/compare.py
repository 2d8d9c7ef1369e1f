"""`python -m subnets.compare`: whether another runtime computes what an exported network does."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet.cli import launch
from supernet.data.source import DataConfig
from supernet.errors import InputError
from supernet.options import COUNTED, CommandOptions, option, threads_option
from supernet.runs.reading import check_bound, read_bytes

if TYPE_CHECKING:
    import numpy as np

    from supernet.data.dataset import PoseDataset
    from supernet.pose.people import People

    from .portable.manifest import Manifest
    from .source import Opened

    Arrays = Mapping[str, np.ndarray[Any, Any]]

# Joints of equal people lie within so many pixels of the picture.
NEAR = 0.1
# The axes of NCHW in the orders in which runtimes write them.
LAYOUTS = {"NCHW": (0, 1, 2, 3), "NHWC": (0, 2, 3, 1), "NCWH": (0, 1, 3, 2), "NWHC": (0, 3, 2, 1)}
# Numbers are in another layout where they correlate so well in it, and twice as well as in their own.
EXPLAINED = 0.1


@dataclass
class CompareCommand(CommandOptions):
    """Settings of the command.

    Attributes:
        folder: an exported folder; its vectors.npz is what is compared with.
        other: outputs of another runtime on the same pictures (.npz), or a file of a format that runs here
            (.onnx, .xml of OpenVINO, .pt2, .tflite, .pte).
        write: instead of comparing, write the prepared pictures (`pixels_n`) to this .npz, to run elsewhere.
        split: compare on the pictures of this split of `data` instead of the vectors', and score them.
        images: of the split, its first ones; null takes all.
        data: the data set of the split.
        tolerance: largest difference that passes, relative to the largest value of an output; null judges
            nothing, as for INT8.
        threads: of a file that is run; null leaves it to the runtime.
    """

    folder: str = "???"
    other: str | None = None
    write: str | None = None
    split: str | None = None
    images: int | None = option(None, least=1, most=COUNTED)
    data: DataConfig = field(default_factory=DataConfig)
    tolerance: float | None = option(1e-3, above=0)
    threads: int | None = threads_option(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.other is None) == (self.write is None):
            raise InputError(
                "give other=FILE to compare with, or write=FILE for the pictures to run elsewhere"
            )


@dataclass(frozen=True)
class Picture:
    """A picture, and what the exported network makes of it.

    Attributes:
        number: of it, as its arrays are named.
        image: (H, W, 3) uint8.
        pixels: (h, w, 3) uint8, as the network takes them before they are normalised.
        outputs: of the network, by name.
        people: found by it.
    """

    number: str
    image: np.ndarray[Any, Any]
    pixels: np.ndarray[Any, Any]
    outputs: Mapping[str, np.ndarray[Any, Any]]
    people: People


Found = Callable[[Picture], Mapping[str, "np.ndarray[Any, Any]"]]


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
    held = read_arrays(where)
    manifest = Manifest.from_json(str(held.get("manifest")), str(where))
    names = list(outputs_of(manifest))
    dataset, pictures = None, _of_vectors(held, names)
    if config.split is not None:
        opened, dataset = network_and_split(config)
        pictures = pictures_of_split(opened, manifest, names, dataset)
    if config.write is not None:
        write_pixels(Path(config.write), pictures)
        return
    other = Path(str(config.other))
    result = compare(pictures, outputs_from(other, names, config.threads), manifest, other)
    for name, value in result.worst.items():
        few = " (of 99 peaks in 100)" if manifest.peaks and name != names[0] else ""
        print(f"{name}: largest difference {value:.1e} of its largest value{few}")
    equal = sum(same_people(*pair) for pair in zip(result.others, result.own, strict=True))
    print(f"people: the same in {equal} of {len(result.own)} pictures")
    if dataset is not None:
        print(scores_of(dataset, result.own, result.others))
    if result.last:
        told = ", ".join(name for name in names if name in result.last)
        print(f"{told}: NHWC (channels last); transpose to NCHW before decoding")
    limit = config.tolerance
    if limit is not None and not result.largest <= limit:
        raise InputError(
            f"{config.other} differs by {result.largest:.1e} (tolerance {limit:.0e}): a wrong "
            "conversion, other weights, or other inputs than pixels_n, normalised (porting.md)"
        )


@dataclass(frozen=True)
class Comparison:
    """Of all pictures: largest differences by output, the people of both, outputs with channels last."""

    worst: dict[str, float]
    own: list[People] = field(default_factory=list)
    others: list[People] = field(default_factory=list)
    last: set[str] = field(default_factory=set)

    @property
    def largest(self) -> float:
        """Of the differences."""
        return max(self.worst.values())


def compare(pictures: Iterable[Picture], found: Found, manifest: Manifest, other: Path) -> Comparison:
    """What `other` gives for every picture beside what the export gives."""
    from .export.formats import each_difference, ended_differences
    from .portable.manifest import outputs_of
    from .portable.predictor import Predictor

    result, outputs = Comparison(dict.fromkeys(outputs_of(manifest), 0.0)), list[Any]()
    predictor = Predictor.of(lambda images: outputs, manifest)
    for picture in pictures:
        given = found(picture)
        outputs.clear()
        for name, wanted in picture.outputs.items():
            value, is_last = in_layout(given[name], wanted, f"{other}: {name}_{picture.number}")
            outputs.append(value)
            result.last.update([name] * is_last)
        differences = ended_differences if manifest.peaks else each_difference
        found_off = differences(outputs, list(picture.outputs.values()))
        for name, off in zip(picture.outputs, found_off, strict=True):
            result.worst[name] = max(result.worst[name], off)
        result.own.append(picture.people)
        result.others.append(predictor(picture.image))
    return result


def _of_vectors(held: Arrays, names: Sequence[str]) -> Iterator[Picture]:
    """The pictures that the folder brings along."""
    from supernet.pose.people import People

    for number in [key.removeprefix("image_") for key in held if key.startswith("image_")]:
        if f"person_scores_{number}" not in held:
            raise InputError("the folder's vectors are an earlier version's; export with export.vectors=2")
        scores = held[f"person_scores_{number}"]
        people = People(held[f"keypoints_{number}"], scores[:, None], scores)
        outputs = {name: held[f"{name}_{number}"] for name in names}
        yield Picture(number, held[f"image_{number}"], held[f"pixels_{number}"], outputs, people)


def network_and_split(config: CompareCommand) -> tuple[Opened, PoseDataset]:
    """The folder's network, and the pictures of its joints."""
    from supernet.data.source import open_split
    from supernet.evaluation import scored_part

    from .runtime import check_joints
    from .source import open_source

    opened = open_source(config.folder)
    check_joints(opened, config.data)
    return opened, scored_part(open_split(config.data, str(config.split)), config.images)


def pictures_of_split(
    opened: Opened, manifest: Manifest, names: Sequence[str], dataset: PoseDataset
) -> Iterator[Picture]:
    """Those of a data set, run through the folder's weights in torch."""
    from .export.exporting import reference
    from .portable.predictor import Predictor

    network = reference(opened.require_net(), manifest)
    kept: list[Any] = []
    predictor = Predictor.of(lambda images: kept[-1], manifest)
    for number in range(len(dataset)):
        image = dataset.read_image(number)
        prepared = predictor.prepare(image)
        kept[:] = [network(prepared[1][0])]
        people = predictor.group(predictor.network(prepared))
        outputs = dict(zip(names, kept[-1], strict=True))
        yield Picture(str(number), image, prepared[0].views[0].pixels, outputs, people)


def write_pixels(path: Path, pictures: Iterable[Picture]) -> None:
    """Write the prepared pictures as `pixels_n` (h, w, 3) uint8."""
    import numpy as np

    from supernet.runs.files import atomic_path

    arrays: dict[str, Any] = {f"pixels_{each.number}": each.pixels for each in pictures}
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
    print(f"wrote {len(arrays)} prepared pictures to {path}")


def outputs_from(path: Path, names: Sequence[str], threads: int | None) -> Found:
    """The outputs `names` of another runtime for a picture: read from an .npz, or computed by a file."""
    if path.suffix != ".npz":
        return run_file(path, names, threads)
    arrays = read_arrays(path)

    def found(picture: Picture) -> Mapping[str, np.ndarray[Any, Any]]:
        missing = [key for name in names if (key := f"{name}_{picture.number}") not in arrays]
        if missing:
            held = ", ".join(sorted(arrays)[:8])
            raise InputError(f"{path} lacks {missing[0]}; it holds {held or 'nothing'}")
        return {name: arrays[f"{name}_{picture.number}"] for name in names}

    return found


def scores_of(dataset: PoseDataset, own: Sequence[People], others: Sequence[People]) -> str:
    """A line with what the export and the other score on `dataset`, with an interval where that is AP."""
    from supernet.pose.bootstrap import bootstrap_ap
    from supernet.pose.protocols import score
    from supernet.pose.results import to_coco_results

    truth, ids = dataset.ground_truth(), [record.image_id for record in dataset.records]
    found = {name: to_coco_results(one, ids) for name, one in (("own", own), ("other", others))}
    stats = [score(truth, one, dataset.protocol, skeleton=dataset.skeleton) for one in found.values()]
    metric = next(iter(stats[0]))
    before, after = (100 * each[metric] for each in stats)
    line = (
        f"{metric} on {dataset.name}, {len(ids)} images: {before:.1f} as exported, {after:.1f} of the other"
    )
    if metric != "AP" or not dataset.num_scored():
        return line
    change = bootstrap_ap(truth, found, dataset.protocol, skeleton=dataset.skeleton).differences[
        "own", "other"
    ]
    low, high = 100 * change.low, 100 * change.high
    return f"{line}, {100 * change.value:+.1f} ({low:+.1f} to {high:+.1f}, paired, 95%)"


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


def run_file(path: Path, names: Sequence[str], threads: int | None) -> Found:
    """The outputs `names` of a network file in the runtime of its format, told apart by their shapes.

    Raises:
        InputError: nothing here runs the file, the runtime is missing or fails, or the number of outputs is
            not the network's.
    """
    from supernet.pose.preprocess import normalise

    from .export.formats import format_of, formats

    form = format_of(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path")
    if form is None:
        known = ", ".join(dict.fromkeys(suffix for item in formats() for suffix in item.suffixes))
        raise InputError(
            f"{path} is of no format that runs here ({known}); run it yourself on the vectors and give its "
            "outputs as .npz, or register a format that opens it (docs/extending.md)"
        )
    network = form.open(path, threads)

    def found(picture: Picture) -> Mapping[str, np.ndarray[Any, Any]]:
        images = normalise([picture.pixels])
        try:
            outputs = list(network(images))
        except InputError as error:
            raise InputError(
                f"{error}; the folder's pictures are {images.shape}: compare a file that takes one shape "
                "alone with an export of that shape (export.shapes=fixed export.input_shape=[HEIGHT,WIDTH])"
            ) from None
        if len(outputs) != len(names):
            shapes = ", ".join(str(value.shape) for value in outputs)
            raise InputError(f"{path} gives outputs {shapes}, where the network has {', '.join(names)}")
        ordered = {}
        for name in names:
            # Channels may be last.
            sides = sorted(picture.outputs[name].shape)
            place = next((i for i, value in enumerate(outputs) if sorted(value.shape) == sides), 0)
            ordered[name] = outputs.pop(place)
        return ordered

    return found


def in_layout(found: Any, wanted: Any, what: str) -> tuple[Any, bool]:
    """`found` in the shape and layout of `wanted`, and whether its own has channels last.

    Raises:
        InputError: it is of another network, no numbers, or channels and pixels were mixed up.
    """
    import numpy as np

    if found.dtype.kind != "f":
        scaled = ": undo its scale and zero point first, outputs are floats"
        told = scaled if found.dtype.kind in "iu" else ", no numbers"
        raise InputError(f"{what} holds {found.dtype}{told}")
    value = np.asarray(found, np.float32)
    value = value[None] if value.ndim == wanted.ndim - 1 else value
    if not np.isfinite(value).all():
        raise InputError(f"{what} holds NaN or infinities: the conversion or its arithmetic is broken")
    maps = wanted.ndim == 4 and value.ndim == 4
    shapes = {name: tuple(np.array(wanted.shape)[[*axes]]) for name, axes in LAYOUTS.items() if maps}
    given = next((name for name, shape in shapes.items() if shape == value.shape), None)
    if given is not None:
        fits = {name: correlation(in_order(value, wanted, name), wanted) for name in LAYOUTS}
        best = max(LAYOUTS, key=fits.__getitem__)
        # Of what comes with swapped sides the shape tells nothing: it may be of a picture on its side.
        own = fits[given if given in ("NCHW", "NHWC") else "NCHW"]
        if fits[best] > max(EXPLAINED, 2 * own):
            meant = best.replace("WH", "HW")
            if best != meant:
                raise InputError(f"{what} has height and width swapped: {best} instead of {meant}")
            told = f"{given} but holds {best}: it was reshaped, transpose it instead"
            raise InputError(f"{what} has the shape of {told}")
    if value.shape == wanted.shape or given == "NHWC":
        return (value if given is None else in_order(value, wanted, given)), given == "NHWC"
    sized = maps and value.shape[:2] == wanted.shape[:2]
    whose = "for pictures of another size than pixels_n" if sized else "of another network"
    raise InputError(f"{what} is {found.shape}, this network gives {wanted.shape}: outputs {whose}?")


def in_order(value: Any, wanted: Any, layout: str) -> Any:
    """The numbers of `value`, in the order of `layout`, as NCHW."""
    axes = LAYOUTS[layout]
    return value.reshape([wanted.shape[axis] for axis in axes]).transpose([axes.index(i) for i in range(4)])


def correlation(found: Any, wanted: Any) -> float:
    """Between maps (N, C, H, W), over the places of each channel; noise lessens it in all layouts alike."""
    moves, other = wanted - wanted.mean(axis=(2, 3), keepdims=True), found - found.mean()
    size = float((moves**2).sum() * (other**2).sum()) ** 0.5
    return float((moves * other).sum()) / size if size else 0.0


def same_people(found: People, wanted: People) -> bool:
    """Whether both are the same people: the same joints within `NEAR` pixels."""
    import numpy as np

    have, want = found.keypoints, wanted.keypoints
    if have.shape != want.shape or not np.array_equal(have[..., 2] > 0, want[..., 2] > 0):
        return False
    return bool(np.abs(have[..., :2] - want[..., :2]).max(initial=0) <= NEAR)


if __name__ == "__main__":
    main()

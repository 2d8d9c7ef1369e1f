"""`python -m subnets.export`: a network as files that a device runs, each compared with torch before it
counts.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from supernet.cli import CONFIG_FILE
from supernet.cli import claim_run_folder
from supernet.cli import launch
from supernet.errors import InputError

from .export_options import ExportCommand
from .export_options import check_formats
from .naming import register_slug

if TYPE_CHECKING:
    from .formats import Job
    from .formats import Written
    from .network import Subnet
    from .source import Opened

EXPORT_FILE = "export.json"
SCHEMA = 1


def main() -> None:
    """Run the command."""
    register_slug()
    launch("export", ExportCommand, run)


def run(config: ExportCommand, folder: Path) -> None:
    """Export `config.arch` into `folder`, or say that it is there already."""
    formats = check_formats(config.format)
    from .console import open_console
    from .source import SourceOptions
    from .source import open_source
    from .source import warn_untrained

    opened = open_source(config.arch, SourceOptions(config.weights, config.supernet, config.skeleton))
    opened.require_net()
    warn_untrained(opened)
    console = open_console()
    if _exported_already(config, folder, opened):
        console.print(f"{folder} holds this export already; nothing to do")
        return
    written = export(config, opened, formats, folder)
    for item in written:
        console.print(
            f"{item.file}: {item.size / 1e6:.2f} MB, within {item.difference:.1e} of torch in {item.runtime}"
        )
    console.print(f"exported {opened.name} to {folder}")


def export(config: ExportCommand, opened: Opened, formats: list[str], folder: Path) -> list[Written]:
    """Write the whole export as a new folder; it appears complete or not at all.

    Raises:
        InputError: the folder exists, a format's runtime is missing, or a format does not compute the same.
    """
    from supernet.files import new_folder
    from supernet.files import write_json

    from .folder import write_into
    from .formats import FORMATS

    _remove_if_empty(folder)
    with new_folder(folder) as temporary:
        claim_run_folder(temporary, config)
        job = _job(config, opened, temporary)
        write_into(job.net, temporary, {"name": opened.name})
        written = [FORMATS[name](job) for name in formats]
        write_json(temporary / EXPORT_FILE, _record(config, opened, written))
    return written


def _remove_if_empty(folder: Path) -> None:
    """Hydra makes the run folder before the command starts; an empty one is nothing to protect."""
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()


def _job(config: ExportCommand, opened: Opened, folder: Path) -> Job:
    from .formats import Job
    from .fuse import fuse
    from .onnx_graph import check_input_shape
    from .portable.manifest import Manifest

    net = opened.require_net()
    shape = None
    if config.export.shapes == "fixed":
        height, width = config.export.input_shape or (opened.arch.resolution, opened.arch.resolution)
        shape = check_input_shape((height, width))
    manifest = Manifest(
        name=opened.name,
        resolution=opened.arch.resolution,
        skeleton=opened.skeleton,
        input_shape=shape,
        arch=opened.arch.to_dict(),
        about={**opened.about, "trained": opened.trained},
    )
    fused = net if net.fused else fuse(net)
    return Job(net, fused, manifest, folder, config.export.tolerance)


def _record(config: ExportCommand, opened: Opened, written: list[Written]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": opened.name,
        "weights_sha256": weights_digest(opened.require_net()),
        "formats": [
            {
                "format": w.format,
                "file": w.file,
                "bytes": w.size,
                "difference": w.difference,
                "runtime": w.runtime,
            }
            for w in written
        ],
    }


def _exported_already(config: ExportCommand, folder: Path, opened: Opened) -> bool:
    """Whether `folder` holds just this export.

    Raises:
        InputError: it holds something else, or the export of other weights.
    """
    if not (folder / CONFIG_FILE).exists():
        return False
    from supernet.files import read_json

    claim_run_folder(folder, config)
    record = read_json(folder / EXPORT_FILE, "export record")
    if record.get("weights_sha256") != weights_digest(opened.require_net()):
        raise InputError(
            f"{folder} was exported from other weights; choose another name=..., or remove the folder"
        )
    return True


def weights_digest(net: Subnet) -> str:
    """SHA-256 over the names and bytes of all tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()

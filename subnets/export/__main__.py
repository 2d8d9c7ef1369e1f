"""`python -m subnets.export`: networks as files that devices run, each compared with torch before it
counts.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from supernet.cli import launch
from supernet.runs.files import remove_if_empty
from supernet.runs.folders import alone_in

from ..console import as_list, distinct_slugs, register_slug
from .options import ExportCommand


def main() -> None:
    """Run the command."""
    register_slug()
    launch("export", ExportCommand, run)


def run(config: ExportCommand, folder: Path) -> None:
    """Export `config.arch` into `folder`, each of several into a folder of its own in there.

    Exports that are there already are left as they are.
    """
    from ..console import open_console
    from ..source import open_source, warn_untrained
    from .exporting import export, exported_already
    from .formats import check_formats

    wanted = [*as_list(config.format, "format"), *(["fp16"] if config.export.half else [])]
    archs, formats = as_list(config.arch, "arch"), check_formats(wanted)
    console = open_console()
    targets = [folder] if len(archs) == 1 else [folder / name for name in distinct_slugs(archs)]
    opened = [open_source(arch, config) for arch in archs]
    for network in opened:
        network.require_net()
    for arch, network, target in zip(archs, opened, targets, strict=True):
        warn_untrained(network)
        one = replace(config, arch=arch)
        with alone_in(target, beside=True):
            if exported_already(one, target, network):
                console.print(f"{target} holds this export already; nothing to do")
                continue
            for item in export(one, network, formats, target):
                console.print(f"{item.file}: {item.size / 1e6:.2f} MB, {item.proof}")
            console.print(f"exported {network.name} to {target}")
    remove_if_empty(folder)


if __name__ == "__main__":
    main()

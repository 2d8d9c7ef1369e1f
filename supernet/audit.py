"""`python -m supernet.audit`: look a data set over before trusting it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .cli import launch
from .data.source import DataConfig
from .errors import InputError
from .options import CommandOptions
from .runs.folders import hold_run_folder

if TYPE_CHECKING:
    from .data.dataset import PoseDataset

# What may differ when a run folder is used again: it does not change what a split's audit says.
VOLATILE = ("splits", "data.on_error")


@dataclass
class AuditCommand(CommandOptions):
    """Settings of the command.

    Attributes:
        name: of the run; its folder is runs/audit/<name>.
        splits: which of train, val and test.
        pixels: decode every image; without, only the annotations are looked at.
        coco: also write `annotations.json` for every split: what is whole, in COCO's form.
        data: the data set. Broken records are always listed, whatever `data.on_error` says.
    """

    name: str = "default"
    splits: list[str] = field(default_factory=lambda: ["train", "val", "test"])
    pixels: bool = True
    coco: bool = False
    data: DataConfig = field(default_factory=DataConfig)


def main() -> None:
    """Run the command."""
    launch("audit", AuditCommand, run)


def run(config: AuditCommand, folder: Path) -> None:
    """Write audit.json and the pictures of every split, and print a summary of each.

    The same command again looks anew, as the files may have been mended in between.

    Raises:
        InputError: a split cannot be opened; said after all others are audited.
    """
    from .data.audit.report import audit
    from .data.source import ensure_data, open_ready_split
    from .runs.progress import ProgressBar

    for split in config.splits:
        config.data.split_name(split)
    ensure_data(config.data)
    data = replace(config.data, on_error="skip", verify="none", cache="none")
    opened: dict[str, PoseDataset] = {}
    missing: dict[str, InputError] = {}
    for split in config.splits:
        try:
            opened[split] = open_ready_split(data, split)
        except InputError as error:
            missing[split] = error
    if not opened:
        raise next(iter(missing.values()), InputError("splits=[] names nothing to audit"))
    with hold_run_folder(folder, config, VOLATILE):
        for split, dataset in opened.items():
            done = 0
            with ProgressBar(f"audit {split}", len(dataset)) as bar:

                def count(images: int, bar: ProgressBar = bar) -> None:
                    nonlocal done
                    done += images
                    bar.update(done)

                pixels, coco = config.pixels, config.coco
                report = audit(dataset, folder / split, pixels=pixels, coco=coco, progress=count)
            print(report.summary())
    print(f"details and pictures: {folder}")
    if missing:
        listed = "; ".join(f"{split}: {error}" for split, error in missing.items())
        rest = ",".join(split for split in config.splits if split not in missing)
        raise InputError(f"not audited: {listed} (splits=[{rest}] asks only for what is there)")


if __name__ == "__main__":
    main()

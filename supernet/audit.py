"""`python -m supernet.audit`: look a data set over before trusting it."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from pathlib import Path

from .cli import launch
from .data.source import DataConfig


@dataclass
class AuditCommand:
    """Settings of the command.

    Attributes:
        name: of the run; its folder is runs/audit/<name>.
        splits: which of train, val and test.
        pixels: decode every image; without, only the annotations are looked at.
        data: the data set. Broken records are always listed, whatever `data.on_error` says.
    """

    name: str = "default"
    splits: list[str] = field(default_factory=lambda: ["train", "val", "test"])
    pixels: bool = True
    data: DataConfig = field(default_factory=DataConfig)


def main() -> None:
    """Run the command."""
    launch("audit", AuditCommand, run)


def run(config: AuditCommand, folder: Path) -> None:
    """Write audit.json and the pictures of every split, and print a summary of each."""
    from .data.audit import audit
    from .data.source import open_split
    from .progress import ProgressBar

    for split in config.splits:
        dataset = open_split(replace(config.data, on_error="skip", verify="none", cache="none"), split)
        done = 0
        with ProgressBar(f"audit {split}", len(dataset)) as bar:

            def count(images: int, bar: ProgressBar = bar) -> None:
                nonlocal done
                done += images
                bar.update(done)

            report = audit(dataset, folder / split, pixels=config.pixels, progress=count)
        print(report.summary())
    print(f"details and pictures: {folder}")


if __name__ == "__main__":
    main()

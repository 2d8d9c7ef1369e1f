"""Settings of `subnets.topdown`; no heavy imports."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from supernet.data.source import DataConfig
from supernet.errors import InputError
from supernet.options import BATCH, COUNTED, CommandOptions, Options, option, seed_option, threads_option
from supernet.training.options import OptimizerOptions

TRUTH = "truth"


@dataclass
class CropOptions(Options, group="topdown.augment"):
    """Training augmentation of crops, by default SimpleBaseline's; `data.augment` is for whole images.

    Attributes:
        scale: the crop's size is drawn from 1 - scale to 1 + scale times the box with its margin; below 1.
        rotation: degrees to either side, up to 180.
        flip: probability of a mirror image; null takes that of `data.augment.flip`.
    """

    scale: float = option(0.3, least=0, most=0.95)
    rotation: float = option(40.0, least=0, most=180)
    flip: float | None = option(None, least=0, most=1)


@dataclass
class TopDownOptions(Options, group="topdown"):
    """How it is trained and tested.

    Attributes:
        steps: optimizer steps; 0 evaluates only.
        batch_size: people per step, and per forward pass of the test.
        optimizer: its `ema` must be 0.
        augment: of the training crops.
        calibration: training crops that set the batch-norm statistics after training.
        boxes: of the people to test: `truth`, or a file of COCO keypoint results
            (`runs/evaluate/NAME/detections/*.json`), around whose joints boxes are put.
        flip: average with the mirrored crop; null does so unless `data.augment.flip` is 0, where left cannot
            be told from right in a mirror.
        images: of the split that are scored; null for all.
    """

    steps: int = option(2000, least=0, most=COUNTED)
    batch_size: int = option(16, least=1, most=BATCH)
    optimizer: OptimizerOptions = field(default_factory=lambda: OptimizerOptions(warmup=100, ema=0.0))
    augment: CropOptions = field(default_factory=CropOptions)
    calibration: int = option(256, least=1, most=COUNTED)
    boxes: str = TRUTH
    flip: bool | None = None
    images: int | None = option(None, least=1, most=COUNTED)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.optimizer.ema:
            raise InputError("topdown.optimizer.ema must be 0: crops are trained without an average")


@dataclass
class TopDownCommand(CommandOptions):
    """Settings of the command.

    Attributes:
        arch: a top-down network: a name (lpn-50), a description or a trained folder.
        name: of the run; its folder is runs/topdown/<name>.
        split: what is scored: train, val or test.
        skeleton: joint layout of a network that does not say its own; null takes CrowdPose's.
        seed: of everything random.
        threads: of the CPU; null leaves it to torch.
        data: its train split is trained on.
        topdown: steps, boxes.
    """

    arch: str = "???"
    name: str = "default"
    split: str = "test"
    skeleton: str | None = None
    seed: int = seed_option()
    threads: int | None = threads_option(None)
    data: DataConfig = field(default_factory=DataConfig)
    topdown: TopDownOptions = field(default_factory=TopDownOptions)

    @property
    def crops(self) -> CropOptions:
        """The augmentation of crops, its `flip` filled in."""
        options = self.topdown.augment
        return replace(options, flip=self.data.augment.flip) if options.flip is None else options

    @property
    def flip_test(self) -> bool:
        """Whether mirrored crops are averaged in the test."""
        return self.data.augment.flip > 0 if self.topdown.flip is None else self.topdown.flip

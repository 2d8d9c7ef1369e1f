"""Settings of `subnets.topdown`; no heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field

from supernet.data.source import DataConfig
from supernet.errors import InputError
from supernet.train_options import OptimizerOptions

TRUTH = "truth"


@dataclass
class TopDownOptions:
    """How it is trained and tested.

    Attributes:
        steps: optimizer steps; 0 evaluates only.
        batch_size: people per step, and per forward pass of the test.
        optimizer: its `ema` must be 0.
        calibration: training crops that set the batch-norm statistics after training.
        boxes: of the people to test: `truth`, or a file of COCO keypoint results
            (`runs/evaluate/NAME/detections/*.json`), around whose joints boxes are put.
        flip: average with the mirrored crop.
        images: of the split that are scored; null for all.
    """

    steps: int = 2000
    batch_size: int = 16
    optimizer: OptimizerOptions = field(default_factory=lambda: OptimizerOptions(warmup=100, ema=0.0))
    calibration: int = 256
    boxes: str = TRUTH
    flip: bool = True
    images: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("steps", 0), ("batch_size", 1), ("calibration", 1)):
            if getattr(self, name) < least:
                raise InputError(f"topdown.{name}={getattr(self, name)} must be {least} or more")
        if self.optimizer.ema:
            raise InputError("topdown.optimizer.ema must be 0: crops are trained without an average")


@dataclass
class TopDownCommand:
    """Settings of the command.

    Attributes:
        arch: a top-down network: a name (lpn-50), a description or a trained folder.
        name: of the run; its folder is runs/topdown/<name>.
        split: what is scored: train, val or test.
        skeleton: joint layout of a network that does not say its own.
        seed: of everything random.
        threads: of the CPU; null leaves it to torch.
        data: its train split is trained on.
        topdown: steps, boxes.
    """

    arch: str = "???"
    name: str = "default"
    split: str = "test"
    skeleton: str = "crowdpose"
    seed: int = 0
    threads: int | None = None
    data: DataConfig = field(default_factory=DataConfig)
    topdown: TopDownOptions = field(default_factory=TopDownOptions)

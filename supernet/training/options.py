"""Options of training: plain dataclasses that import no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..data.source import DataConfig
from ..errors import InputError
from ..options import BATCH, COUNTED, STARTED, CommandOptions, Options, option, seed_option, threads_option
from ..runs.folders import WHEREABOUTS


@dataclass
class LossOptions(Options, group="train.loss"):
    """How the terms of the training loss are weighted.

    Attributes:
        heat: weights of the heatmap errors of a head's first output and of its others.
        positive_weight: extra weight of a pixel at a joint's peak; 0 is the plain MSE of the paper. Plain MSE
            is dominated by background, so on small data the maps stay flat for long.
        pull: weight of drawing one person's tags together (HigherHRNet: 1e-3).
        push: weight of driving the tags of different people apart (HigherHRNet: 1e-3).
        distillation: weight of the heatmap error against the teacher.
    """

    heat: tuple[float, float] = option((1.0, 1.0), least=0, size=2)
    positive_weight: float = option(0.0, least=0)
    pull: float = option(1e-3, least=0)
    push: float = option(1e-3, least=0)
    distillation: float = option(1.0, least=0)


WANDB_MODES = ("online", "offline", "disabled")


@dataclass
class LoggerOptions(Options, group="logger"):
    """The optional loggers; `log.jsonl` is always written.

    Attributes:
        tensorboard: write event files into `<run>/tensorboard`.
        wandb: log to Weights & Biases.
        wandb_mode: "online", "offline" (`wandb sync` uploads it later) or "disabled".
        project, entity, group, tags: of the Weights & Biases run; its name is the run folder's.
    """

    tensorboard: bool = False
    wandb: bool = False
    wandb_mode: str = option("online", among=WANDB_MODES)
    project: str = "litepose-ofa"
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()


RULES = ("sandwich", "random")
OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "constant")
WIDENING = ("kernel", "depth", "expansion", "width")
# Where neither steps nor epochs are given.
EPOCHS = 100.0
# A raised number of steps goes on with the run; see `TrainingJob.run`.
RAISED = ("train.steps", "train.epochs")
# Settings of a command that may differ when its run is taken up again; the others change no result.
VOLATILE = (*RAISED, *WHEREABOUTS, "accelerator", "threads", "logger")


@dataclass
class SamplingOptions(Options, group="train.sampling"):
    """Which subnets a step trains.

    Attributes:
        rule: "sandwich" trains the largest, `random` random ones and the smallest, and distils from the
            largest (Yu & Huang, "Universally Slimmable Networks", ICCV 2019); "random" trains `random`
            random ones and nothing else.
        random: random subnets per step.
        resolutions: input sides to draw one from each step; None takes all of the space's.
        largest_first: steps at the start that train the largest network alone.
        sort_channels: after those steps, order channels by importance, so that narrow subnets keep the best.
        teacher: after those steps the largest network, with its averaged weights, teaches its heatmaps to
            every subnet of a step (`train.loss.distillation`), also where the step does not train it; this
            is a forward pass more, and needs `train.optimizer.ema`.
        widening: steps per phase of progressive shrinking (Cai et al., "Once-for-All", ICLR 2020): the first
            phase leaves only the first group of `widening_order` elastic, the next one the second too; 0
            is off.
        widening_order: groups of dimensions: kernel, depth, expansion, width (stem, stages and head).
    """

    rule: str = option("sandwich", among=RULES)
    random: int = option(2, least=0, most=STARTED)
    resolutions: list[int] | None = None
    largest_first: int = option(0, least=0, most=COUNTED)
    sort_channels: bool = True
    teacher: bool = False
    widening: int = option(0, least=0, most=COUNTED)
    widening_order: tuple[str, ...] = WIDENING

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rule == "random" and self.random < 1:
            raise InputError(f"train.sampling.random={self.random} must be 1 or more")
        if sorted(self.widening_order) != sorted(WIDENING):
            given = ", ".join(self.widening_order)
            raise InputError(f"train.sampling.widening_order=[{given}] must order {', '.join(WIDENING)}")


@dataclass
class OptimizerOptions(Options, group="train.optimizer"):
    """The optimizer and its schedule.

    Attributes:
        name: "adamw" or "sgd" (Nesterov momentum).
        lr: peak learning rate.
        backbone: the learning rate of all layers before the head, as a share of `lr`: below 1 for a start
            from trained weights (`init`); 0 trains the head alone.
        freeze: layers that learn nothing, by the start of their names (stem, stages.0): quicker steps where
            the first layers are trained well.
        weight_decay: decoupled; not applied to batch norms, biases and kernel transforms.
        betas: of AdamW; the first is SGD's momentum.
        warmup: steps of linear warm-up from 0.
        schedule: "cosine" or "constant" after the warm-up.
        final: learning rate at the end of the cosine, as a share of the peak.
        restart: step at which warm-up and cosine begin anew, after a cosine that ends there: where
            `train.sampling.largest_first` ends, what follows has the full rate; 0 is never.
        clip: largest norm of the whole gradient; 0 is off.
        ema: decay of the moving average of the weights, which is what gets validated and loaded; 0 is off.
    """

    name: str = option("adamw", among=OPTIMIZERS)
    lr: float = option(1e-3, least=0)
    backbone: float = option(1.0, least=0)
    freeze: tuple[str, ...] = ()
    weight_decay: float = option(1e-4, least=0)
    betas: tuple[float, float] = option((0.9, 0.999), least=0, below=1, size=2)
    warmup: int = option(500, least=0, most=COUNTED)
    schedule: str = option("cosine", among=SCHEDULES)
    final: float = option(0.01, least=0)
    restart: int = option(0, least=0, most=COUNTED)
    clip: float = option(1.0, least=0)
    ema: float = option(0.9998, least=0, below=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name == "sgd" and self.betas[0] < 1e-6:
            raise InputError(f"train.optimizer.betas={list(self.betas)}: SGD's momentum must be above 0")


@dataclass
class PrecisionOptions(Options):
    """How the arithmetic is done.

    Attributes:
        bf16: bfloat16 autocast in the forward pass; weights, losses and the optimizer stay float32.
        channels_last: memory format of the activations; about twice as fast on CPU.
        compile: torch.compile for the largest and the smallest subnet; the random ones change too often.
    """

    bf16: bool = False
    channels_last: bool = True
    compile: bool = False


@dataclass
class CheckpointOptions(Options, group="train.checkpoint"):
    """When to save.

    Attributes:
        every: steps between checkpoints.
        keep: how many of the latest to keep; the best ones are kept besides.
    """

    every: int = option(500, least=1, most=COUNTED)
    keep: int = option(2, least=1)


@dataclass
class ValidationOptions(Options, group="train.validation"):
    """Scoring during training: smallest, largest and a few fixed subnets with calibrated batch norm.

    Attributes:
        every: steps between validations (one more comes at the end); 0 is off.
        images: how many validation images are used, evenly spread; 0 takes all.
        subnets: fixed random subnets besides the smallest and the largest.
        calibration: training images for batch-norm calibration.
        batch_size: images per forward pass.
        pictures: validation images drawn with predictions each time.
    """

    every: int = option(2000, least=0, most=COUNTED)
    images: int = option(500, least=0, most=COUNTED)
    subnets: int = option(2, least=0, most=STARTED)
    calibration: int = option(256, least=1, most=COUNTED)
    batch_size: int = option(16, least=1, most=BATCH)
    pictures: int = option(4, least=0)


@dataclass
class GuardOptions(Options, group="train.guards"):
    """When a run that has gone wrong stops. A step whose loss or gradient is not finite is skipped and
    counted.

    Attributes:
        in_a_row: skipped steps in a row that stop the run.
        in_all: skipped steps in all that stop the run.
    """

    in_a_row: int = option(20, least=1, most=COUNTED)
    in_all: int = option(500, least=1, most=COUNTED)


@dataclass
class TrainOptions(Options, group="train"):
    """The whole recipe.

    Attributes:
        steps: optimizer steps; None takes `epochs`.
        epochs: passes over the training split, when `steps` is None; None takes 100.
        batch_size: images per optimizer step over all processes together.
        accumulate: forward and backward passes that a process cuts its share of the batch into.
        sigma: of the target Gaussians, in pixels of each map.
        log_every: steps per line of the log.
    """

    steps: int | None = option(None, least=1, most=COUNTED)
    epochs: float | None = option(None, above=0, most=COUNTED)
    batch_size: int = option(32, least=1, most=BATCH)
    accumulate: int = option(1, least=1, most=BATCH)
    sigma: float = option(2.0, above=0, most=64)
    log_every: int = option(50, least=1, most=COUNTED)
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    precision: PrecisionOptions = field(default_factory=PrecisionOptions)
    checkpoint: CheckpointOptions = field(default_factory=CheckpointOptions)
    validation: ValidationOptions = field(default_factory=ValidationOptions)
    guards: GuardOptions = field(default_factory=GuardOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampling.teacher and not self.optimizer.ema:
            raise InputError(
                "train.sampling.teacher=true needs a moving average: train.optimizer.ema above 0"
            )

    def total_steps(self, num_images: int) -> int:
        """Optimizer steps of the whole run over `num_images` training images."""
        return self.steps or max(1, round((self.epochs or EPOCHS) * num_images / self.batch_size))


@dataclass
class JobOptions(CommandOptions):
    """Settings of the commands that train.

    Attributes:
        name: of the run; its folder is runs/COMMAND/<name>.
        seed: of everything random.
        accelerator: auto, cpu, cuda or cuda:1.
        threads: of the CPU per process; null leaves it to torch.
        data: its train split is trained on, its val split scores.
        train: the recipe.
        logger: places for the metrics besides log.jsonl.
    """

    name: str = "default"
    seed: int = seed_option()
    accelerator: str = "auto"
    threads: int | None = threads_option(None)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainOptions = field(default_factory=TrainOptions)
    logger: LoggerOptions = field(default_factory=LoggerOptions)

    def limit_threads(self) -> None:
        """Hold torch to `threads` in this process."""
        import torch

        if self.threads is not None:
            torch.set_num_threads(self.threads)

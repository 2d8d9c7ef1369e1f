"""Options of training: plain dataclasses that import no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import InputError


@dataclass
class LossOptions:
    """How the terms of the training loss are weighted.

    Attributes:
        heat: weights of the heatmap errors at 1/4 and 1/2 scale.
        positive_weight: extra weight of a pixel at a joint's peak; 0 is the plain MSE of the paper. Plain MSE
            is dominated by background, so on small data the maps stay flat for long.
        pull: weight of drawing one person's tags together (HigherHRNet: 1e-3).
        push: weight of driving the tags of different people apart (HigherHRNet: 1e-3).
        distillation: weight of the heatmap error against the teacher.

    Raises:
        InputError: a weight is negative or not finite, or `heat` does not hold two weights.
    """

    heat: tuple[float, float] = (1.0, 1.0)
    positive_weight: float = 0.0
    pull: float = 1e-3
    push: float = 1e-3
    distillation: float = 1.0

    def __post_init__(self) -> None:
        if len(self.heat) != 2:
            raise InputError(f"loss weight heat has {len(self.heat)} values; give two (1/4 and 1/2 scale)")
        self.heat = (self.heat[0], self.heat[1])
        for name in ("heat", "positive_weight", "pull", "push", "distillation"):
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                if not 0 <= number < float("inf"):
                    raise InputError(f"loss weight {name} is {number}; it must be 0 or more")


WANDB_MODES = ("online", "offline", "disabled")


@dataclass
class LoggerOptions:
    """The optional loggers; `log.jsonl` is always written.

    Attributes:
        tensorboard: write event files into `<run>/tensorboard`.
        wandb: log to Weights & Biases.
        wandb_mode: "online", "offline" (`wandb sync` uploads it later) or "disabled".
        project, entity, group, tags: of the Weights & Biases run; its name is the run folder's.
    """

    tensorboard: bool = False
    wandb: bool = False
    wandb_mode: str = "online"
    project: str = "litepose-ofa"
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.wandb_mode not in WANDB_MODES:
            raise InputError(f"logger.wandb_mode={self.wandb_mode!r} is not one of {', '.join(WANDB_MODES)}")


RULES = ("sandwich", "random")
OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "constant")
WIDENING = ("kernel", "depth", "expansion", "width")
# Settings of a command that may differ when its run is taken up again, as they change no result.
VOLATILE = ("accelerator", "threads", "data.workers", "data.cache", "data.verify", "logger")


@dataclass
class SamplingOptions:
    """Which subnets a step trains.

    Attributes:
        rule: "sandwich" trains the largest, `random` random ones and the smallest, and distils from the
            largest (Yu & Huang, "Universally Slimmable Networks", ICCV 2019); "random" trains `random`
            random ones and nothing else.
        random: random subnets per step.
        resolutions: input sides to draw one from each step; None takes all of the space's.
        largest_first: steps at the start that train the largest network alone.
        sort_channels: after those steps, order channels by importance, so that narrow subnets keep the best.
        widening: steps per phase of progressive shrinking (Cai et al., "Once-for-All", ICLR 2020): the first
            phase leaves only the first group of `widening_order` elastic, the next one the second too; 0
            is off.
        widening_order: groups of dimensions: kernel, depth, expansion, width (stem, stages and head).
    """

    rule: str = "sandwich"
    random: int = 2
    resolutions: list[int] | None = None
    largest_first: int = 0
    sort_channels: bool = True
    widening: int = 0
    widening_order: tuple[str, ...] = WIDENING

    def __post_init__(self) -> None:
        one_of("train.sampling.rule", self.rule, RULES)
        at_least("train.sampling.random", self.random, 1 if self.rule == "random" else 0)
        at_least("train.sampling.largest_first", self.largest_first, 0)
        at_least("train.sampling.widening", self.widening, 0)
        self.widening_order = tuple(self.widening_order)
        if sorted(self.widening_order) != sorted(WIDENING):
            given = ", ".join(self.widening_order)
            raise InputError(f"train.sampling.widening_order=[{given}] must order {', '.join(WIDENING)}")


@dataclass
class OptimizerOptions:
    """The optimizer and its schedule.

    Attributes:
        name: "adamw" or "sgd" (Nesterov momentum).
        lr: peak learning rate.
        weight_decay: decoupled; not applied to batch norms, biases and kernel transforms.
        betas: of AdamW; the first is SGD's momentum.
        warmup: steps of linear warm-up from 0.
        schedule: "cosine" or "constant" after the warm-up.
        final: learning rate at the end of the cosine, as a share of the peak.
        clip: largest norm of the whole gradient; 0 is off.
        ema: decay of the moving average of the weights, which is what gets validated and loaded; 0 is off.
    """

    name: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    warmup: int = 500
    schedule: str = "cosine"
    final: float = 0.01
    clip: float = 1.0
    ema: float = 0.9998

    def __post_init__(self) -> None:
        one_of("train.optimizer.name", self.name, OPTIMIZERS)
        one_of("train.optimizer.schedule", self.schedule, SCHEDULES)
        lowest = 0.0 if self.name == "adamw" else 1e-6  # Nesterov's momentum cannot be 0
        if len(self.betas) != 2 or not (lowest <= self.betas[0] < 1 and 0 <= self.betas[1] < 1):
            raise InputError(
                f"train.optimizer.betas={list(self.betas)} must be two numbers from 0 up, below 1"
                + ("" if self.name == "adamw" else "; the first, SGD's momentum, above 0")
            )
        self.betas = (self.betas[0], self.betas[1])
        for name in ("lr", "weight_decay", "warmup", "final", "clip", "ema"):
            at_least(f"train.optimizer.{name}", getattr(self, name), 0)
        if self.ema >= 1:
            raise InputError(f"train.optimizer.ema={self.ema} must be below 1")


@dataclass
class PrecisionOptions:
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
class CheckpointOptions:
    """When to save.

    Attributes:
        every: steps between checkpoints.
        keep: how many of the latest to keep; the best ones are kept besides.
    """

    every: int = 500
    keep: int = 2

    def __post_init__(self) -> None:
        at_least("train.checkpoint.every", self.every, 1)
        at_least("train.checkpoint.keep", self.keep, 1)


@dataclass
class ValidationOptions:
    """Scoring during training: smallest, largest and a few fixed subnets with calibrated batch norm.

    Attributes:
        every: steps between validations (one more comes at the end); 0 is off.
        images: how many validation images are used, evenly spread; 0 takes all.
        subnets: fixed random subnets besides the smallest and the largest.
        calibration: training images for batch-norm calibration.
        batch_size: images per forward pass.
        pictures: validation images drawn with predictions each time.
    """

    every: int = 2000
    images: int = 500
    subnets: int = 2
    calibration: int = 256
    batch_size: int = 16
    pictures: int = 4

    def __post_init__(self) -> None:
        for name in ("every", "images", "subnets", "pictures"):
            at_least(f"train.validation.{name}", getattr(self, name), 0)
        at_least("train.validation.calibration", self.calibration, 1)
        at_least("train.validation.batch_size", self.batch_size, 1)


@dataclass
class GuardOptions:
    """When a run that has gone wrong stops. A step whose loss or gradient is not finite is skipped and
    counted.

    Attributes:
        in_a_row: skipped steps in a row that stop the run.
        in_all: skipped steps in all that stop the run.
    """

    in_a_row: int = 20
    in_all: int = 500

    def __post_init__(self) -> None:
        at_least("train.guards.in_a_row", self.in_a_row, 1)
        at_least("train.guards.in_all", self.in_all, 1)


@dataclass
class TrainOptions:
    """The whole recipe.

    Attributes:
        steps: optimizer steps; None takes `epochs`.
        epochs: passes over the training split, when `steps` is None.
        batch_size: images per optimizer step over all processes together.
        accumulate: forward and backward passes that a process cuts its share of the batch into.
        sigma: of the target Gaussians, in pixels of each map.
        log_every: steps per line of the log.
    """

    steps: int | None = None
    epochs: float = 100.0
    batch_size: int = 32
    accumulate: int = 1
    sigma: float = 2.0
    log_every: int = 50
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    precision: PrecisionOptions = field(default_factory=PrecisionOptions)
    checkpoint: CheckpointOptions = field(default_factory=CheckpointOptions)
    validation: ValidationOptions = field(default_factory=ValidationOptions)
    guards: GuardOptions = field(default_factory=GuardOptions)

    def __post_init__(self) -> None:
        for name in ("batch_size", "accumulate", "log_every"):
            at_least(f"train.{name}", getattr(self, name), 1)
        if self.steps is not None:
            at_least("train.steps", self.steps, 1)
        elif not 0 < self.epochs < float("inf"):
            raise InputError(f"train.epochs={self.epochs} must be a finite number above 0")

    def total_steps(self, num_images: int) -> int:
        """Optimizer steps of the whole run over `num_images` training images."""
        return self.steps or max(1, round(self.epochs * num_images / self.batch_size))


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise InputError unless `value` is one of `known`."""
    if value not in known:
        raise InputError(f"{name}={value!r} is not one of {', '.join(known)}")


def at_least(name: str, value: float, low: float) -> None:
    """Raise InputError unless `value` is a finite number from `low` up."""
    if not low <= value < float("inf"):
        raise InputError(f"{name}={value} must be {low} or more")

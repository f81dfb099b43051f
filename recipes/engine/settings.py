"""Typed settings of ``finetune``; a YAML file or the command line fills them in.

Components (loss, miner, optimiser, ...) are named by their class and take its keyword arguments as
``options``; what follows from the data (``num_classes``, ``embedding_size``, ``hierarchy``, ...) is filled in.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

from pml_suprank.recipes.choices import PACKAGED_CLIP, RECOMMENDED, USUAL_MODELS

__all__ = [
    "Component",
    "DataSettings",
    "MemorySettings",
    "ModelSettings",
    "OptimizerSettings",
    "SamplerSettings",
    "ScheduleSettings",
    "Settings",
    "TrainingSettings",
]


@dataclass(frozen=True)
class DataSettings:
    """The images, their labels, and what is held out.

    Args:
        name: loader, see docs/data.md.
        root: folder of the data set.
        train_split: split to train on, in the loader's words; null reads all images and holds out some.
        test_split: split to test on: queries, and gallery too unless there is a gallery_split.
        gallery_split: split to search in.
        test_share: share that is held out when train_split is null, in (0, 1).
        hold_out: what is held out: whole classes, or images of every class.
        options: further options of the loader, for all splits.
        on_error: what a broken image does in training: raise, or skip to another image; with skip, test images are
            all decoded before and the broken ones left out.
        check_images: decode all images before training and leave the broken ones out; otherwise it is only looked
            whether each file is there and begins as an image does.
        duplicates: what to do with image files of equal content: count them (for folder and table), keep one of each
            (none where their classes differ), or stop. A file that a table lists twice stops unless copies are dropped.
        background: colour behind transparent parts of images, a name or "#rrggbb"; searches and evaluations of the run
            have the same.
        workers: processes that load images; 0 loads in the training process.
    """

    name: str = "folder"
    root: str | None = None
    train_split: str | None = None
    test_split: str | None = None
    gallery_split: str | None = None
    test_share: float = 0.2
    hold_out: Literal["classes", "images"] = "classes"
    options: dict[str, Any] = field(default_factory=dict)
    on_error: Literal["raise", "skip"] = "raise"
    check_images: bool = False
    duplicates: Literal["warn", "drop", "refuse"] = "warn"
    background: str = "white"
    workers: int = 0


@dataclass(frozen=True)
class ModelSettings:
    """The backbone and the embedding on top of it.

    Args:
        library: where the backbone comes from.
        name: name of the model in that library; "" for resnet50 of timm, minilm-efficientnet of OpenCLIP.
        weights: null for random ones, "hub" or "hub:TAG" for pretrained ones from the network, "packaged",
            "run:FOLDER" for the best ones of a run folder, or the path of a checkpoint; "default" for "packaged" where
            an OpenCLIP model has such weights, else "hub".
        pooling: the model's own, or generalised mean.
        embedding_size: dimensions of a linear embedding; null keeps the features of the backbone.
        layer_norm: whether to normalise the features before the linear layer.
        image_size: side of the input in pixels; null for the model's own.
        grad_checkpointing: compute activations again in the backward pass, to save memory.
        freeze_batch_norm: keep the running statistics of batch norm, and use them in training.
        freeze_epochs: epochs at the start that train only the head (and the loss); schedules wait.
        trainable_layers: train only so many of the last layers of the backbone; null trains all.
        train_transform: overrides for the training transform, for example {scale: [0.5, 1.0]}.
        eval_transform: overrides for the evaluation transform, for example {crop_pct: 1.0}.
        options: further options of the model.
    """

    library: Literal["timm", "open_clip"] = "timm"
    name: str = ""
    weights: str | None = "default"
    pooling: Literal["model", "gem"] = "model"
    embedding_size: int | None = 512
    layer_norm: bool = True
    image_size: int | None = None
    grad_checkpointing: bool = False
    freeze_batch_norm: bool = True
    freeze_epochs: int = 0
    trainable_layers: int | None = None
    train_transform: dict[str, Any] = field(default_factory=dict)
    eval_transform: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name = self.name or USUAL_MODELS[self.library]
        object.__setattr__(self, "name", name)
        if self.weights == "default":
            is_packaged = self.library == "open_clip" and name in PACKAGED_CLIP
            object.__setattr__(self, "weights", "packaged" if is_packaged else "hub")


@dataclass(frozen=True)
class Component:
    """A class by name, with keyword arguments.

    Args:
        name: of the class.
        options: its keyword arguments; a loss in a loss is again a mapping with name and options.
    """

    name: str = ""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MemorySettings:
    """What a loss ranks beside the batch.

    Args:
        kind: the batch alone, a queue of past embeddings, or one slot for every training image.
        size: slots of the queue; a multiple of the batch size.
        options: further options of CrossBatchMemory or DatasetMemory.
    """

    kind: Literal["none", "cross_batch", "dataset"] = "none"
    size: int = 4096
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SamplerSettings:
    """Which images make a batch.

    Args:
        kind: groups of a class and of its parents, m of each class, or all images in random order.
        group_sizes: for "hierarchical": images of a class, classes of a parent, and so on.
        m: for "m_per_class": images of a class.
        batches_per_epoch: null for as many as show each image about once.
    """

    kind: Literal["hierarchical", "m_per_class", "random"] = "hierarchical"
    group_sizes: tuple[int, ...] = (2, 4)
    m: int = 4
    batches_per_epoch: int | None = None


@dataclass(frozen=True)
class OptimizerSettings:
    """An optimiser of torch.optim and its learning rates.

    Args:
        name: class in torch.optim.
        lr: learning rate of the backbone.
        head_lr: of the embedding; null for three times lr.
        loss_lr: of the loss's own parameters, unless loss_optimizer is set; null for ten times lr.
        text_lr: of a text tower; null for lr.
        weight_decay: of weights; norms, biases and other vectors have none.
        layer_decay: factor on the learning rate for each layer further from the head; null for none.
        options: further keyword arguments, such as {momentum: 0.9}.
    """

    name: str = "AdamW"
    lr: float = 1e-4
    head_lr: float | None = None
    loss_lr: float | None = None
    text_lr: float | None = None
    weight_decay: float = 1e-4
    layer_decay: float | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ScheduleSettings:
    """How learning rates change.

    Args:
        name: class in torch.optim.lr_scheduler; ConstantLR with factor 1 changes nothing.
        interval: whether it steps after every epoch or every step.
        warmup: epochs or steps of linear warm-up before it.
        options: its keyword arguments; T_max, total_iters and total_steps follow from the training.
    """

    name: str = "CosineAnnealingLR"
    interval: Literal["epoch", "step"] = "step"
    warmup: int = 0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingSettings:
    """The training itself.

    Args:
        epochs: passes over the training images.
        batch_size: images of a step, over all processes; null for 128, or for 64 or 32 where an epoch would have too
            few steps.
        micro_batch_size: images of a process in memory at a time: a step then takes two passes, without and with
            graph, and has the gradient of the whole batch; null takes the batch at once.
        precision: mixed precision of the backbone; losses run in float32 at least.
        clip_grad_norm: largest norm of the gradient; null for no limit.
        captions: "joint" trains images and captions in one embedding space (OpenCLIP).
        evaluate_every: epochs between evaluations.
        monitor: metric of the best checkpoint and of early stopping; null for H-AP, with captions="joint" and captions
            among the held-out images that of texts that find images.
        recall_at: depths of recall that evaluations report.
        patience: stop after so many evaluations without a better one; null never stops early.
        checkpoint_every: steps between checkpoints; null writes them after epochs only.
        seed: of weights, batches and augmentation.
        threads: CPU threads; null for torch's choice.
        deterministic: ask torch for deterministic algorithms.
    """

    epochs: int = 20
    batch_size: int | None = None
    micro_batch_size: int | None = None
    precision: Literal["no", "fp16", "bf16"] = "no"
    clip_grad_norm: float | None = None
    captions: Literal["none", "joint"] = "none"
    evaluate_every: int = 1
    monitor: str | None = None
    recall_at: tuple[int, ...] = (1, 5, 10)
    patience: int | None = None
    checkpoint_every: int | None = None
    seed: int = 0
    threads: int | None = None
    deterministic: bool = True


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run.

    Args:
        data: images and labels
        model: backbone and embedding
        loss: loss, ours or PML's; HAPPIERLoss with the recommended options where neither name nor options are given;
            else what is not given is the default of the class
        miner: miner, ours or PML's; an empty name for none
        memory: references beside the batch
        sampler: batches
        optimizer: of the model
        loss_optimizer: of the loss's own parameters; null puts them with the model's, at optimizer.loss_lr
        schedule: learning rates
        loss_schedule: of loss_optimizer; null for that of the model
        training: the rest
        source: where published settings come from
    """

    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    loss: Component = field(default_factory=lambda: Component("HAPPIERLoss", deepcopy(RECOMMENDED)))
    miner: Component = field(default_factory=Component)
    memory: MemorySettings = field(default_factory=MemorySettings)
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    loss_optimizer: OptimizerSettings | None = None
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    loss_schedule: ScheduleSettings | None = None
    training: TrainingSettings = field(default_factory=TrainingSettings)
    source: str = ""

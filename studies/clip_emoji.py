"""Fine-tune an OpenCLIP model for hierarchical retrieval of emoji, by image and by text.

    python -m studies.clip_emoji --output runs/clip_emoji --seeds 0 1 2
    python -m studies.clip_emoji --output runs/clip_b32 --name ViT-B-32 --weights hub:laion2b_s34b_b79k --text-lr 1e-5

The captions are the names of the emoji; half of the emoji of every subgroup are held out. Each seed has three runs:
the model is first trained contrastively on images and captions; then, from the same weights and for as many epochs
again, once more with the contrastive loss and once with a rank loss over images and captions together. Without the
second, a gain of the third could come from training longer. Every run folder is one of ``finetune``; finished ones
are kept, interrupted ones go on. Writes ``table.md``, ``table.csv`` and ``h_ap.png``.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from pml_suprank import AccuracyCalculator
from pml_suprank.integrations.plain_files import read_json
from pml_suprank.recipes.command_line.options import add_device
from pml_suprank.recipes.devices import float64_device, tell_device
from pml_suprank.recipes.engine.accelerator import make_accelerator
from pml_suprank.recipes.engine.checkpoints import CheckpointError
from pml_suprank.recipes.engine.encoder import load_encoder
from pml_suprank.recipes.engine.parsing import ConfigError, settings_from
from pml_suprank.recipes.engine.sets import load_sets
from pml_suprank.recipes.engine.settings import Settings
from pml_suprank.recipes.files import write_atomic, write_csv, write_json, write_text
from pml_suprank.recipes.pages.figures import bar_chart
from studies.emoji_runs import trained
from studies.options import at_least, fraction, positive

__all__ = ["ARMS", "main", "settings_of"]

ARMS = {
    "start": "contrastive",
    "contrastive": "contrastive, as long again",
    "rank": "HAPPIER on images and captions",
}
"""The runs of a seed, and what they are called in the table; the last two begin with the weights of the first."""

COLUMNS = {
    "hierarchical_average_precision": "H-AP",
    "ndcg": "NDCG",
    "mean_average_precision": "AP emoji",
    "mean_average_precision_level1": "AP subgroup",
    "mean_average_precision_level2": "AP group",
    "precision_at_1": "P@1 emoji",
}
DIRECTIONS = {"image": "image to image", "text": "text to image"}


def settings_of(arm: str, options: argparse.Namespace, seed: int, start: Path) -> Settings:
    """The settings of one run.

    Args:
        arm: a key of :data:`ARMS`.
        options: of the command line.
        seed: of the split and of the training.
        start: run folder of the arm "start".
    """
    is_rank = arm == "rank"
    split = {"seed": seed, "limit": options.limit}
    if options.test_share != 0.5:
        split["test_share"] = options.test_share
    model = {
        "library": "open_clip",
        "name": options.name,
        "weights": options.weights if arm == "start" else f"run:{start}",
        "embedding_size": None,
        "layer_norm": False,
        "train_transform": {"scale": [0.6, 1.0], "color_jitter": 0.2, "use_timm": True},
    }
    return settings_from(
        {
            "data": {
                "name": "emoji",
                "train_split": "train",
                "test_split": "test",
                "options": split,
            },
            "model": model,
            "loss": {"name": "HAPPIERLoss" if is_rank else "ClipLoss"},
            "sampler": {"kind": "hierarchical", "group_sizes": [2, 2]}
            if is_rank
            else {"kind": "random"},
            "optimizer": {
                "name": "AdamW",
                "lr": options.lr,
                "text_lr": options.text_lr,
                "weight_decay": 0.05,
            },
            "schedule": {"name": "CosineAnnealingLR", "interval": "step", "warmup": 10},
            "training": {
                "epochs": options.epochs,
                "batch_size": options.batch_size,
                "captions": "joint",
                "evaluate_every": options.epochs,  # so that nothing is chosen on the held-out half
                "seed": seed,
                "threads": options.threads,
            },
        }
    )


def run_arm(settings: Settings, folder: Path, accelerator: Any) -> dict[str, dict[str, float]]:
    """Train where that is still to do, and evaluate images and captions as queries.

    Args:
        settings: of the run.
        folder: of the run.
        accelerator: an ``accelerate.Accelerator``, where to train and evaluate.

    Returns:
        "image" and "text" to their metrics.

    Raises:
        ConfigError: the folder holds a run of other settings.
    """
    results = folder / "retrieval.json"
    trained(settings, folder, accelerator=accelerator)
    if results.exists():
        return read_json(results)
    found = evaluate_both(folder, settings, accelerator.device)
    write_json(results, found)
    return found


def evaluate_both(
    folder: Path, settings: Settings, device: torch.device
) -> dict[str, dict[str, float]]:
    """Held-out images as queries among the others, and captions as queries among all images."""
    test = load_sets(settings).test
    encoder = load_encoder(folder, device)
    images = encoder.encode_images([test.image(index) for index in range(len(test))])
    first = {caption: index for index, caption in reversed(list(enumerate(test.captions)))}
    texts = encoder.encode_text(list(first))
    text_labels = test.labels[list(first.values())]
    calculator = AccuracyCalculator(
        include=tuple(COLUMNS), similarity="cosine", device=float64_device(device)
    )
    return {
        "image": calculator.get_accuracy(images, test.labels, ref_includes_query=True),
        "text": calculator.get_accuracy(texts, text_labels, images, test.labels, False),
    }


Results = dict[tuple[str, int], dict[str, dict[str, float]]]


def write_tables(output: Path, results: Results) -> str:
    """Write the table of the runs so far, and the plot; returns the Markdown."""
    lines = [
        "| query | training | " + " | ".join(COLUMNS.values()) + " |",
        "|---|---|" + "---|" * len(COLUMNS),
    ]
    rows: list[dict[str, Any]] = []
    for direction, title in DIRECTIONS.items():
        for arm, name in ARMS.items():
            runs = {
                seed: found[direction] for (other, seed), found in results.items() if other == arm
            }
            if not runs:
                continue
            cells = [_cell([run[key] for run in runs.values()]) for key in COLUMNS]
            lines.append("| " + " | ".join([title, name, *cells]) + " |")
            for seed, run in runs.items():
                values = {column: run[key] for key, column in COLUMNS.items()}
                rows.append({"query": direction, "training": arm, "seed": seed, **values})
    text = "\n".join(lines) + "\n"
    write_text(output / "table.md", text)
    write_csv(output / "table.csv", rows)
    bars = {
        f"{title}: {name}": [
            row["H-AP"] for row in rows if (row["query"], row["training"]) == (d, arm)
        ]
        for d, title in DIRECTIONS.items()
        for arm, name in ARMS.items()
    }
    bars = {name: values for name, values in bars.items() if values}
    ours = {name for name in bars if name.endswith(ARMS["rank"])}
    png = bar_chart(bars, ours, "H-AP on held-out emoji")
    write_atomic(output / "h_ap.png", lambda file: file.write(png))
    return text


def _cell(values: Sequence[float]) -> str:
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the recipe; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.clip_emoji", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("runs/clip_emoji"), help="folder of the runs")
    add("--name", default="minilm-efficientnet", help="OpenCLIP model (minilm-efficientnet)")
    add("--weights", default="packaged", help='"packaged", "hub:TAG" or a checkpoint (packaged)')
    add(
        "--seeds",
        nargs="+",
        type=at_least(0),
        default=[0, 1, 2],
        help="of split and training (0 1 2)",
    )
    add("--epochs", type=at_least(1), default=15, help="of each run (15)")
    add("--batch-size", type=at_least(4), default=128, help="images, each with its caption (128)")
    add("--lr", type=positive, default=4e-4, help="highest learning rate (4e-4)")
    add(
        "--text-lr",
        type=positive,
        default=5e-5,
        help="of the text tower (5e-5, for one that is pretrained)",
    )
    add("--test-share", type=fraction, default=0.5, help="held out of every subgroup (0.5)")
    add("--limit", type=at_least(8), help="use only so many emoji (all)")
    add("--threads", type=at_least(1), help="CPU threads (torch's own choice)")
    add_device(add)
    options = parser.parse_args(argv)
    results: Results = {}
    text = ""
    try:
        accelerator = make_accelerator(device=options.device)
        tell_device(accelerator.device, in_float64=True)
        for seed in options.seeds:
            start = options.output / f"start-{seed}"
            for arm in ARMS:
                print(f"\n{ARMS[arm]}, seed {seed}", flush=True)
                settings = settings_of(arm, options, seed, start)
                folder = options.output / f"{arm}-{seed}"
                results[arm, seed] = run_arm(settings, folder, accelerator)
                text = write_tables(options.output, results)
    except (ConfigError, CheckpointError, ImportError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(f"\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Memory of a training step in one pass over a batch and in two, by batch size.

Run as ``make bench``. A ResNet-18 on 64-pixel images with 128 dimensions and HAPPIER's loss, batch norm frozen; the
two passes hold 64 images at a time. Every peak is that of a process of its own, above model and images.
"""

import argparse

import torch

from benchmarks.measuring import memory_of, peak_memory, write
from pml_suprank import losses
from pml_suprank.integrations.backbones import build_retrieval_model
from pml_suprank.integrations.fine_tuning import freeze_batch_norm
from pml_suprank.recipes.engine.steps import gradient_step

MICRO = 64
SIZES = (64, 256, 1024, 4096)


def peak(size: str, passes: str) -> float:
    """Return the MiB of one step in this process."""
    count = int(size)
    torch.manual_seed(0)
    model = build_retrieval_model("timm", "resnet18", embedding_size=128, image_size=64)
    freeze_batch_norm(model).train()
    labels = torch.stack([torch.arange(count) // 4, torch.arange(count) // 32], dim=1)
    loss = losses.HAPPIERLoss(count // 4, 128)
    images = torch.randn(count, 3, 64, 64)
    model(images[:2]).sum().backward()  # so that gradients are there before
    micro = MICRO if passes == "2" else None
    return memory_of(
        lambda: gradient_step(model, (images,), lambda e: loss(e, labels), micro_batch_size=micro)
    )


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small batches only")
    sizes = SIZES[:2] if parser.parse_args().quick else SIZES
    rows = []
    for size in sizes:
        one, two = (peak_memory(__name__, size, passes) for passes in (1, 2))
        rows.append(
            {
                "batch": size,
                "one pass, MiB": round(one),
                "two passes, MiB": round(two),
                "one / two": one / max(two, 1.0),
            }
        )
    title = f"Training step in two passes, {MICRO} images at a time"
    write("two_passes", title, {"Peak memory of a step": rows})


if __name__ == "__main__":
    main()

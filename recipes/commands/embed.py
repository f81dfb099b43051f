"""Embed images with the model of a run.

    suprank embed runs/photos photos --output photos.npz
    suprank embed runs/photos inbox --unlabelled --output inbox.safetensors

The images are those of a nested folder, whose names are their labels, of another loader (``--loader``), or, with
``--unlabelled``, all below a folder. Broken images are reported and left out.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from pml_suprank.hierarchy import HierarchyError
from pml_suprank.integrations.plain_files import PlainDataError, json_data
from pml_suprank.recipes.config import at_least, positive
from pml_suprank.recipes.data.folder import all_images
from pml_suprank.recipes.data.images import BrokenImageError, ImageDataset
from pml_suprank.recipes.data.registry import LOADERS, load
from pml_suprank.recipes.devices import add_device, tell_device
from pml_suprank.recipes.embedding_set import EmbeddingError, EmbeddingSet, names_of_nodes
from pml_suprank.recipes.engine.checkpoints import CheckpointError
from pml_suprank.recipes.engine.encoder import Encoder, load_encoder
from pml_suprank.recipes.engine.parsing import ConfigError
from pml_suprank.recipes.engine.run_paths import placed
from pml_suprank.recipes.engine.sets import check_loader_options

__all__ = ["all_images", "embed_images", "main"]


class _Whole(torch.utils.data.Dataset[Any]):
    """(index, image), or (index, None) for a broken one."""

    def __init__(self, data: ImageDataset, transform: Any):
        self.data, self.transform = data, transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        try:
            return index, self.transform(self.data.image(index))
        except BrokenImageError:
            return index, None


def embed_images(
    encoder: Encoder,
    data: ImageDataset,
    *,
    labelled: bool = True,
    root: Path | None = None,
    workers: int = 0,
    progress: bool = True,
) -> tuple[EmbeddingSet, list[int]]:
    """Embeddings of all images that can be read.

    Args:
        encoder: of a run.
        data: the images; its transform is not applied.
        labelled: whether to keep labels.
        root: paths are kept relative to it where they are below it.
        workers: loading processes.
        progress: whether to show a progress bar.

    Returns:
        Embeddings, normalised, and the indices of the images left out as broken.

    Raises:
        EmbeddingError: no image can be read.
    """
    loader: Any = DataLoader(
        _Whole(data, encoder.transform),
        batch_size=encoder.batch_size,
        num_workers=workers,
        collate_fn=list,
    )
    parts, kept, broken = [], [], []
    with tqdm(total=len(data), desc="embedding", unit="image", disable=not progress) as bar:
        for batch in loader:
            whole = [(index, image) for index, image in batch if image is not None]
            broken += [index for index, image in batch if image is None]
            kept += [index for index, _ in whole]
            if whole:
                parts.append(encoder.encode_tensors(torch.stack([image for _, image in whole])))
            bar.update(len(batch))
    if not parts:
        raise EmbeddingError(
            f"images: wanted an image that can be read, got {len(data)} broken ones"
        )
    tree = data.hierarchy
    paths, base = placed([data.paths[index] for index in kept], root)
    found = EmbeddingSet(torch.cat(parts), paths=paths, root=base, model=encoder.identity)
    if labelled:
        found = replace(
            found,
            labels=data.labels[kept],
            level_names=tree.level_names,
            node_names=names_of_nodes(tree),
        )
    return found, broken


def _mapping(text: str) -> dict[str, Any]:
    """An argparse type: a mapping in JSON."""
    try:
        content = json_data(text)
    except PlainDataError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not isinstance(content, dict):
        raise argparse.ArgumentTypeError(f"wanted a mapping in JSON, got {text!r:.80}")
    return content


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the recipe; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="suprank embed", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("run", type=Path, help="run folder of finetune")
    add("images", type=Path, help="folder of the images, or of the data set")
    add("--output", type=Path, required=True, help="file *.npz or *.safetensors")
    add("--loader", choices=[*LOADERS], default="folder", help="of the data set (folder)")
    add("--split", help="of the data set")
    add("--options", type=_mapping, default={}, help="further options of the loader, as JSON")
    add(
        "--unlabelled", action="store_true", help="take all images below the folder, without labels"
    )
    add("--workers", type=at_least(0), default=0, help="loading processes (0)")
    add_device(add)
    add(
        "--scales",
        nargs="+",
        type=positive,
        default=[1.0],
        help="of the images; embeddings of several, such as 0.7071 1 1.4142, are averaged (1)",
    )
    options = parser.parse_args(argv)
    try:
        if options.unlabelled:
            data = all_images(options.images)
        else:
            check_loader_options(options.loader, options.options, "--options")
            data = load(options.loader, options.images, options.split, **options.options)
        encoder = load_encoder(options.run, options.device, options.scales)
        data.background = encoder.background
        tell_device(options.device)
        found, broken = embed_images(
            encoder,
            data,
            labelled=not options.unlabelled,
            root=options.images,
            workers=options.workers,
        )
        found.save(options.output)
    except (
        ConfigError,
        CheckpointError,
        EmbeddingError,
        HierarchyError,
        OSError,
        ValueError,
    ) as error:
        parser.error(str(error))
    for index in broken:
        print(f"broken, left out: {data.paths[index]}", file=sys.stderr)
    size = found.embeddings.shape[1]
    print(
        f"{len(found):,} embeddings of {size} dimensions in {options.output}; {len(broken)} images left out"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

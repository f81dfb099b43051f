"""Embeddings of a data set by the model of a run."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from pml_suprank.recipes.data.images import BrokenImageError, ImageDataset
from pml_suprank.recipes.embedding_set import EmbeddingError, EmbeddingSet, names_of_nodes
from pml_suprank.recipes.engine.encode_texts import embed_captions
from pml_suprank.recipes.engine.encoder import Encoder, load_encoder, read_settings
from pml_suprank.recipes.engine.run_paths import at_root, placed
from pml_suprank.recipes.engine.sets import load_sets
from pml_suprank.recipes.engine.text_evaluation import reads_captions
from pml_suprank.recipes.progress import progress_bar

__all__ = ["embed_held_out", "embed_images"]


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
    with progress_bar("embedding", "image", total=len(data), shown=progress) as bar:
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


def embed_held_out(
    run: Path, root: Path | None = None, device: torch.device | str = "cpu"
) -> tuple[EmbeddingSet, EmbeddingSet | None]:
    """Embeddings of the held-out images of a run, and of their captions; says on stderr how many images are broken.

    Args:
        run: run folder.
        root: folder of the images, where they moved.
        device: where to compute.

    Returns:
        Of the images, and of the captions where there are any and the model reads text.

    Raises:
        EmbeddingError: the run has a gallery split.
        CheckpointError: the run is not whole.
    """
    settings = at_root(read_settings(run), root)
    sets = load_sets(settings)
    if sets.gallery is not None:
        raise EmbeddingError(
            f"queries: wanted a run without a gallery split, got {run}; use suprank embed"
        )
    folder = None if settings.data.root is None else Path(settings.data.root)
    encoder = load_encoder(run, device)
    found, broken = embed_images(encoder, sets.test, root=folder)
    if broken:
        print(f"{len(broken)} broken images left out", file=sys.stderr)
    has_captions = reads_captions(encoder.model, sets.test)
    return found, embed_captions(encoder, sets.test) if has_captions else None

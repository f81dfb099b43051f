"""Embeddings of texts in the space of a run's images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pml_suprank.hierarchy.files import chain_of_cells
from pml_suprank.recipes.data.assembly import label_chains
from pml_suprank.recipes.data.layout import read_rows
from pml_suprank.recipes.embedding_set import EmbeddingError, EmbeddingSet, names_of_nodes
from pml_suprank.recipes.engine.encoder import Encoder
from pml_suprank.recipes.engine.text_evaluation import distinct_captions

__all__ = ["embed_captions", "embed_texts", "read_texts"]

LINES = ".txt"


def read_texts(
    path: Path, column: str = "text", levels: Sequence[str] = ()
) -> tuple[list[str], list[tuple[str, ...]]]:
    """Texts of a file, and the names of their classes from coarse to fine.

    Args:
        path: ``.txt``, with one text a line and empty lines left out; else CSV or a relative of it.
        column: of a table, with the texts.
        levels: columns of a table with the classes, finest first.

    Returns:
        Texts [n], and a chain for each where there are levels, else none.

    Raises:
        EmbeddingError: levels for a file without columns, or a file without a text.
        ValueError: a missing column, or what is no text; names the file.
        OSError: the file cannot be read.
    """
    if path.suffix.lower() == LINES:
        if levels:
            raise EmbeddingError(f"--levels: wanted a table in --text for labels, got {path}")
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise EmbeddingError(f"{path}: wanted UTF-8 text, got {error}") from None
        rows = [(number, (line,)) for number, line in enumerate(lines, 1)]
    else:
        rows = list(read_rows(path, [column, *levels]))  # type: ignore[arg-type]
    whole = [(number, cells) for number, cells in rows if cells[0].strip()]
    if not whole:
        raise EmbeddingError(f"{path}: wanted a text, got none")
    texts = [cells[0].strip() for _, cells in whole]
    if not levels:
        return texts, []
    return texts, [chain_of_cells(cells[1:], f"{path}, line {number}") for number, cells in whole]


def embed_texts(
    encoder: Encoder,
    texts: Sequence[str],
    chains: Sequence[Sequence[str]] = (),
    levels: Sequence[str] = (),
) -> EmbeddingSet:
    """Embeddings of texts, normalised; their paths are the texts.

    Args:
        encoder: of a run with a text tower.
        texts: not empty.
        chains: names of the classes of each, coarse to fine; none without labels.
        levels: names of the levels, finest first.

    Raises:
        ValueError: the model has no text tower in the space of its images.
    """
    about: dict[str, Any] = {}
    if chains:
        names = tuple(levels)[len(levels) - max(map(len, chains)) :]
        tree, labels = label_chains(chains, names)
        about = {"labels": labels, "level_names": names, "node_names": names_of_nodes(tree)}
    return EmbeddingSet(
        encoder.encode_text(texts), paths=tuple(texts), model=encoder.identity, **about
    )


def embed_captions(encoder: Encoder, data: Any) -> EmbeddingSet:
    """Embeddings of the captions of a data set, each once for each class that it is of, with their labels.

    Args:
        encoder: of a run with a text tower.
        data: data set with ``captions``, one of which is not empty.
    """
    captions, labels = distinct_captions(data)
    tree = data.hierarchy
    return EmbeddingSet(
        encoder.encode_text(captions),
        labels,
        tuple(captions),
        tree.level_names,
        names_of_nodes(tree),
        model=encoder.identity,
    )

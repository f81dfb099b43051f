"""Which landmarks and images of Google Landmarks v2 stay, and why the others do not."""

from collections.abc import Collection, Mapping

import numpy as np

from pml_suprank.recipes.data.landmark_tables import Chain

__all__ = ["beyond_first", "check_labels", "reason_texts", "reasons_of"]

_NO_ROW, _NO_LABEL, _OTHER_LABEL, _OTHER_MADE, _FEW = 1, 2, 3, 4, 5


def reason_texts(labels: Collection[str] | None, made: str | None, min_images: int) -> list[str]:
    """What the reasons 1, 2, ... of :func:`reasons_of` are called."""
    return [
        "landmark not among the hierarchical labels",
        "landmark unclassified",
        f"hierarchical label not one of the {len(labels or ())} wanted",
        f"not {made}",
        f"landmark of fewer than {min_images} images",
    ]


def reasons_of(
    landmarks: np.ndarray,
    counts: np.ndarray,
    chain_of: Mapping[int, Chain],
    keep: bool,
    labels: Collection[str] | None,
    made: str | None,
    min_images: int,
) -> np.ndarray:
    """Why each landmark is left out; 0 where it is not.

    Args:
        landmarks: [K] ids.
        counts: [K] images of each.
        chain_of: landmark id to what is known of it.
        keep: whether landmarks without a label stay.
        labels: the hierarchical labels that stay; None for all.
        made: "natural" or "human-made" to keep only these; None for both.
        min_images: that a landmark needs.

    Returns:
        [K] int8, the first reason that holds.
    """
    wanted = None if labels is None else set(labels)
    found = np.zeros(len(landmarks), dtype=np.int8)
    for index, landmark in enumerate(landmarks.tolist()):
        chain = chain_of.get(landmark)
        if chain is None and not keep:
            found[index] = _NO_ROW
        elif not keep and not (chain and chain.label and chain.made):
            found[index] = _NO_LABEL
        elif wanted is not None and (chain is None or chain.label not in wanted):
            found[index] = _OTHER_LABEL
        elif made is not None and (chain is None or chain.made != made):
            found[index] = _OTHER_MADE
        elif counts[index] < min_images:
            found[index] = _FEW
    return found


def check_labels(labels: Collection[str] | None, chain_of: Mapping[int, Chain]) -> None:
    """Raise a ValueError for a label that no landmark has, or for none at all."""
    if labels is None:
        return
    known = {chain.label for chain in chain_of.values()} - {""}
    unknown = sorted(set(labels) - known)
    if unknown or not labels:
        raise ValueError(
            f"labels: wanted some of the {len(known)} hierarchical labels, got {unknown}"
        )


def beyond_first(place: np.ndarray, most: int) -> np.ndarray:
    """[N] whether an image comes after the first ``most`` of its landmark.

    Args:
        place: [N] number of the landmark of each image.
        most: at least 1.
    """
    order = place.argsort(kind="stable")
    ordered = place[order]
    start = np.searchsorted(ordered, ordered)
    beyond = np.zeros(len(place), dtype=bool)
    beyond[order] = np.arange(len(place)) - start >= most
    return beyond

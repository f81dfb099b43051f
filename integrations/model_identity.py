"""Which model made some embeddings: those of another one mean nothing beside them, though they be as wide."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

__all__ = ["ModelIdentity", "ModelMismatchError", "check_same_model", "fingerprint"]


class ModelMismatchError(ValueError):
    """Embeddings of two models that were to be compared; the message names both."""


@dataclass(frozen=True)
class ModelIdentity:
    """What embeddings depend on beside the image.

    Attributes:
        name: for people: library, architecture and where the weights are.
        weights: :func:`fingerprint` of the weights.
        preprocessing: of images at evaluation, as text.
        scales: of the images whose embeddings are averaged.
    """

    name: str
    weights: str
    preprocessing: str = ""
    scales: tuple[float, ...] = (1.0,)

    @classmethod
    def of(
        cls,
        model: nn.Module,
        name: str,
        preprocessing: Mapping[str, Any] | None = None,
        scales: Sequence[float] = (1.0,),
    ) -> "ModelIdentity":
        """The identity of a model as it is now.

        Args:
            model: its parameters and buffers count.
            name: for people.
            preprocessing: settings of the evaluation transform.
            scales: of the images.
        """
        text = json.dumps(dict(preprocessing or {}), sort_keys=True, default=str)
        return cls(name, fingerprint(model), text, tuple(map(float, scales)))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any] | None) -> "ModelIdentity | None":
        """What :meth:`to_dict` gave; None for None.

        Raises:
            ValueError: something else.
        """
        if content is None:
            return None
        try:
            text = [content[name] for name in ("name", "weights", "preprocessing")]
            if not all(isinstance(value, str) for value in text):
                raise TypeError("another type than text")
            name, weights, preprocessing = text
            return cls(name, weights, preprocessing, tuple(map(float, content["scales"])))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"model: wanted what says which model it is, got {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.name} (weights {self.weights[:8]})"


def fingerprint(model: nn.Module) -> str:
    """A hash of all parameters and buffers, of their names, types and shapes; where they lie does not matter."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_same_model(
    queries: ModelIdentity | None, gallery: ModelIdentity | None, *, allow_other: bool = False
) -> str:
    """Refuse to compare embeddings of two models.

    Args:
        queries: model of the queries; None where it is not known.
        gallery: model of the gallery; None where it is not known.
        allow_other: whether two models are meant.

    Returns:
        What is to be said about it; empty where both are the same model.

    Raises:
        ModelMismatchError: two models, or one with two preprocessings; names both.
    """
    if queries is None or gallery is None:
        unknown = [
            name for name, model in (("queries", queries), ("gallery", gallery)) if model is None
        ]
        return (
            f"the file of the {' and of the '.join(unknown)} does not say which model made it: "
            "nothing tells whether queries and gallery are of one model"
        )
    if queries.weights != gallery.weights:
        found = f"queries of {queries} and a gallery of {gallery}"
    elif queries.preprocessing != gallery.preprocessing:
        found = (
            f"queries of {queries} with images prepared by {queries.preprocessing} and a gallery of {gallery} "
            f"with {gallery.preprocessing}"
        )
    else:
        return ""
    if allow_other:
        return f"compared although of two models: {found}"
    raise ModelMismatchError(f"model: wanted queries and gallery of one model, got {found}")

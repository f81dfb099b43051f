"""One face for the backbones of all libraries: images in, embeddings out."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pml_suprank.integrations.fine_tuning import enable_grad_checkpointing

__all__ = ["LIBRARIES", "RetrievalModel", "build_retrieval_model"]

LIBRARIES = ("timm", "open_clip")


class RetrievalModel(nn.Module):
    """A trunk and an embedder, as PML trains and tests them, in one module.

    Args:
        trunk: images [B, 3, H, W] to features [B, F].
        embedder: features to embeddings [B, D]; an ``nn.Identity`` keeps the features.
        embedding_size: D.
        transforms: makes the training and evaluation transform from options for each.
    """

    def __init__(
        self, trunk: nn.Module, embedder: nn.Module, embedding_size: int, transforms: Callable
    ):
        super().__init__()
        self.trunk: Any = trunk
        self.embedder = embedder
        self.embedding_size = embedding_size
        self._transforms = transforms

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Embeddings [B, D] of images [B, 3, H, W], not normalised."""
        return self.embedder(self.trunk(images))

    def transforms(
        self,
        train_options: Mapping[str, Any] | None = None,
        eval_options: Mapping[str, Any] | None = None,
    ) -> tuple[Callable, Callable]:
        """Training and evaluation transform: the model's own preprocessing, with overrides."""
        return self._transforms(train_options, eval_options)

    @property
    def preprocessing(self) -> dict[str, Any]:
        """What the transforms follow: timm's data settings or OpenCLIP's. It belongs to the weights: keep both."""
        clip = hasattr(self.trunk, "clip")
        return self.trunk.preprocess if clip else self.trunk.data_config

    def fitted(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The state of such a model, made for this one: position embeddings of another image size are resized.

        Args:
            state: of a model of the same kind; of OpenCLIP, another image size will do.
        """
        prefix = "trunk."
        if not hasattr(self.trunk, "fitted"):
            return dict(state)
        inside = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
        others = {n: t for n, t in state.items() if not n.startswith(prefix)}
        return {prefix + n: t for n, t in self.trunk.fitted(inside).items()} | others

    @property
    def source(self) -> dict[str, Any] | None:
        """What a model of the hub is made of, as ``build_retrieval_model`` takes it; None for other models."""
        return self.trunk.source

    @property
    def has_text(self) -> bool:
        """Whether text has embeddings in the space of those of images."""
        return hasattr(self.trunk, "encode_text") and isinstance(self.embedder, nn.Identity)

    @property
    def reads_text(self) -> bool:
        """Whether :attr:`has_text`, and the tokenizer is at hand."""
        return self.has_text and self.trunk.has_tokenizer

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Embeddings [B, D] of tokens [B, T], not normalised.

        Raises:
            ValueError: the model has no text tower, or an embedder of its own for images.
        """
        self._check_text()
        return self.trunk.encode_text(tokens)

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """Tokens [n, T] of texts.

        Raises:
            ValueError: as :meth:`encode_text`.
        """
        self._check_text()
        return self.trunk.tokenize(texts)

    def _check_text(self) -> None:
        if not hasattr(self.trunk, "encode_text"):
            raise ValueError("text: wanted a model with a text tower, got one for images only")
        if not self.has_text:
            raise ValueError(
                "text: wanted embedding_size=None, so that text and images share a space, got an embedder"
            )


def build_retrieval_model(
    library: str,
    name: str,
    *,
    weights: str | None = None,
    pooling: str = "model",
    embedding_size: int | None = None,
    layer_norm: bool = False,
    image_size: int | None = None,
    grad_checkpointing: bool = False,
    **options: Any,
) -> RetrievalModel:
    """A backbone with an embedding on top. Only weights that start with "hub" use the network.

    Args:
        library: "timm" or "open_clip".
        name: model of that library.
        weights: None, "hub", "hub:TAG", "packaged" or a path; see ``build_trunk`` and ``build_open_clip``.
        pooling: "model" or, for timm, "gem".
        embedding_size: of a linear layer on top; None for the features themselves.
        layer_norm: layer norm without affine before the linear layer.
        image_size: side of the input in pixels; None for the model's own.
        grad_checkpointing: compute activations again in the backward pass, to save memory.
        **options: of the model.

    Raises:
        ValueError: an argument that the library or the model does not take.
        WeightsError: weights that are missing, unreadable or do not fit.
        ImportError: the library is missing; names the extra.

    Example:
        >>> model = build_retrieval_model("timm", "test_resnet", embedding_size=16, image_size=64)
        >>> model(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 16])
    """
    if library not in LIBRARIES:
        raise ValueError(f"library: wanted one of {', '.join(LIBRARIES)}, got {library!r}")
    module: Any = importlib.import_module(f"pml_suprank.integrations.{library}_backbones")
    if library == "timm":
        trunk = module.build_trunk(
            name, weights=weights, pooling=pooling, image_size=image_size, **options
        )

        def transforms(train: Any, evaluate: Any) -> Any:
            return module.build_transforms(
                trunk, image_size, train_options=train, eval_options=evaluate
            )
    else:
        if pooling != "model":
            raise ValueError(f"pooling: wanted 'model' for open_clip, got {pooling!r}")
        trunk = module.build_open_clip(name, weights=weights, image_size=image_size, **options)
        transforms = trunk.transforms
    if grad_checkpointing:
        enable_grad_checkpointing(trunk)
    if embedding_size is None:
        if layer_norm:
            raise ValueError("layer_norm: wanted False without embedding_size, got True")
        return RetrievalModel(trunk, nn.Identity(), trunk.out_features, transforms)
    from pml_suprank.integrations.timm_backbones import Embedder

    embedder = Embedder(trunk.out_features, embedding_size, layer_norm)
    return RetrievalModel(trunk, embedder, embedding_size, transforms)

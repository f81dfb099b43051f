"""FAISS indices against a plain product."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("faiss", reason="needs the faiss extra")

from pml_suprank.integrations.faiss_index import GalleryIndex, IndexFileError
from tests.damage import damaged


def clusters(count: int = 600) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(20, 16, generator=generator) * 4
    return centres.repeat(count // 20, 1) + torch.randn(count, 16, generator=generator)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_flat_is_exact(similarity: str) -> None:
    gallery, queries = clusters(), clusters()[:7] + 0.1
    scores, indices = GalleryIndex.build(gallery, similarity=similarity).search(queries, 5)
    if similarity == "cosine":
        gallery, queries = (torch.nn.functional.normalize(x, dim=1) for x in (gallery, queries))
    wanted = (queries @ gallery.T).topk(5, dim=1)
    torch.testing.assert_close(scores, wanted.values)
    assert torch.equal(indices, wanted.indices)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_approximate_ones_find_most(kind: str) -> None:
    gallery = clusters()
    exact = GalleryIndex.build(gallery).search(gallery[:50], 5)[1]
    found = GalleryIndex.build(gallery, kind).search(gallery[:50], 5)[1]
    hits = (exact[:, :, None] == found[:, None]).any(2).float().mean()
    assert hits > 0.8
    assert torch.equal(found[:, 0], torch.arange(50))


def test_saved_and_read(tmp_path: Path) -> None:
    gallery = clusters(100)
    for kind in ("flat", "ivf", "hnsw"):
        index = GalleryIndex.build(gallery, kind)
        index.save(tmp_path / kind)
        found = GalleryIndex.load(tmp_path / kind, gallery)
        assert (found.kind, found.similarity, len(found), found.dimensions) == (
            kind,
            "cosine",
            100,
            16,
        )
        assert torch.equal(found.search(gallery[:3], 4)[1], index.search(gallery[:3], 4)[1])
    with pytest.raises(
        IndexFileError, match="wanted the index of these embeddings, got one of others"
    ):
        GalleryIndex.load(tmp_path / "flat", gallery + 1)
    with pytest.raises(IndexFileError, match="wanted an index, got"):
        GalleryIndex.load(tmp_path / "none")
    (tmp_path / "flat" / "index.faiss").write_bytes(b"broken")
    with pytest.raises(IndexFileError, match="wanted an index, got"):
        GalleryIndex.load(tmp_path / "flat")


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
@pytest.mark.parametrize("name", ["index.faiss", "index.json"])
def test_any_damage_is_noticed(kind: str, name: str, tmp_path: Path) -> None:
    gallery = clusters(100)
    index = GalleryIndex.build(gallery, kind)
    index.save(tmp_path)
    silent = []
    for damage in damaged(tmp_path / name):
        try:
            GalleryIndex.load(tmp_path)
        except IndexFileError:
            continue
        silent.append(damage)
    assert silent == []
    found = GalleryIndex.load(tmp_path, gallery)
    assert torch.equal(found.search(gallery[:3], 4)[1], index.search(gallery[:3], 4)[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index": None}, "a damaged one: index.faiss"),
        ({"kind": "lsh"}, "kind 'lsh', which is none of"),
        ({"similarity": 3}, "similarity 3, which is none of"),
        ({"checksum": ["x"]}, "checksum .*, which is none of text"),
        ({"model": 3}, "model: wanted what says which model it is"),
    ],
)
def test_malformed_files(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    GalleryIndex.build(clusters(40)).save(tmp_path)
    about = json.loads((tmp_path / "index.json").read_text()) | change
    about = {name: value for name, value in about.items() if value is not None}
    rest = {name: value for name, value in about.items() if name != "about"}
    text = json.dumps(rest, sort_keys=True)
    about["about"] = hashlib.sha256(text.encode()).hexdigest()
    (tmp_path / "index.json").write_text(json.dumps(about))
    with pytest.raises(IndexFileError, match=f"wanted an index, got {message}"):
        GalleryIndex.load(tmp_path)
    (tmp_path / "index.json").write_text("[1]")
    with pytest.raises(IndexFileError, match="wanted an index, got"):
        GalleryIndex.load(tmp_path)


def test_an_index_from_before_checksums_is_read_with_a_warning(tmp_path: Path) -> None:
    GalleryIndex.build(clusters(40)).save(tmp_path)
    about = json.loads((tmp_path / "index.json").read_text())
    older = {name: about[name] for name in ("kind", "similarity", "checksum")}
    (tmp_path / "index.json").write_text(json.dumps(older))
    with pytest.warns(UserWarning, match="older version, without checksums: .* build it anew"):
        assert len(GalleryIndex.load(tmp_path)) == 40


def test_planted_links_are_replaced_and_not_written_through(tmp_path: Path) -> None:
    folder, secret = tmp_path / "index", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("kept")
    for name in ("index.faiss", ".index.faiss", "index.json", ".index.json"):
        (folder / name).symlink_to(secret)
    GalleryIndex.build(clusters(40)).save(folder)
    assert secret.read_text() == "kept"
    assert len(GalleryIndex.load(folder)) == 40
    assert not (folder / "index.faiss").is_symlink()


def test_wrong_arguments() -> None:
    gallery = clusters(40)
    index = GalleryIndex.build(gallery)
    for k in (0, 41):
        with pytest.raises(ValueError, match=rf"k: wanted 1..40, the size of the gallery, got {k}"):
            index.search(gallery, k)
    with pytest.raises(ValueError, match=r"queries: wanted \[Q, 16\], got \[2, 3\]"):
        index.search(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="queries: wanted finite numbers"):
        index.search(torch.full((1, 16), torch.nan), 1)
    with pytest.raises(ValueError, match=r"embeddings: wanted \[n, D\] with n and D above 0"):
        GalleryIndex.build(torch.zeros(0, 4))
    with pytest.raises(ValueError, match="kind: wanted one of flat, ivf, hnsw, got 'lsh'"):
        GalleryIndex.build(gallery, "lsh")

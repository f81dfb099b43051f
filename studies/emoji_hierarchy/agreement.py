"""How far a hierarchy rebuilt from the names and drawings of emoji agrees with the true one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pml_suprank.integrations.plain_files import read_json
from pml_suprank.recipes.data.emoji import EmojiDataset, split_emoji
from pml_suprank.recipes.files import write_json
from pml_suprank.recipes.hierarchies.agreement import agreement, read_labels
from pml_suprank.recipes.hierarchies.classify import classify
from pml_suprank.recipes.hierarchies.review import read_groups
from pml_suprank.recipes.hierarchies.voting import read_votes, vote_classes
from pml_suprank.recipes.hierarchies.work_folder import WorkFolder
from pml_suprank.recipes.hierarchies.writing import REPORT, write_hierarchy
from studies.emoji_hierarchy.encoders import CLASSIFIERS, write_efficientnet
from studies.emoji_hierarchy.source import (
    group_names,
    write_images,
    write_names,
    write_taxonomy,
)

__all__ = ["Study"]


@dataclass(frozen=True)
class Study:
    """The emoji, what is hidden of them, and where the files are.

    Args:
        data: all emoji with the true taxonomy.
        levels: numbers of groups, finest first.
        folder: of all files.
        test_share: of the names that are hidden.
    """

    data: EmojiDataset
    levels: Mapping[str, int]
    folder: Path
    test_share: float

    def prepare(self, settings: Mapping[str, Any]) -> None:
        """Drawings as files, their ImageNet features, and the true taxonomy.

        Args:
            settings: all that the results depend on beside encoders and seeds.

        Raises:
            ValueError: the folder holds results of other settings.
        """
        file = self.folder / "settings.json"
        if file.exists():
            stored = read_json(file)
            if stored != dict(settings):
                raise ValueError(f"output: {self.folder} holds a run of other settings, {stored}")
        else:
            write_json(file, dict(settings))
        write_taxonomy(self.folder / "given.csv", self.data)
        listed = write_images(self.folder / "images", self.data)
        features = self.folder / "efficientnet.npz"
        if not features.exists():
            names = [line.split(",")[0] for line in listed.read_text().splitlines()[1:]]
            write_efficientnet(features, self.data, names)

    def hidden(self, seed: int) -> set[int]:
        """The classes whose names are hidden; none is drawn like one that keeps its name."""
        codes = {item.code for item in split_emoji(self.data, seed, self.test_share)[1].emoji}
        return {i for i, item in enumerate(self.data.emoji) if item.code in codes}

    def encoder(self, name: str, tower: Callable[[], Path], seed: int) -> str:
        """The encoder as ``build-hierarchy`` takes it."""
        if name == "tower":
            return f"run:{tower()}"
        if name == "efficientnet":
            return f"file:{self.folder / 'efficientnet.npz'}"
        return f"random:{seed}" if name == "random" else name

    def all_names(self, name: str, tower: Callable[[], Path], seed: int) -> list[dict[str, Any]]:
        """Groups of the names of all emoji, against the true ones.

        Returns:
            Rows of encoder, seed, level, classes, count and the measures of agreement.
        """
        kept = self.folder / "results" / f"names-{name}-{seed}.json"
        if not kept.exists():
            work = WorkFolder(self.folder / "work" / f"names-{name}-{seed}")
            write_names(work / "source.csv", self.data)
            encoder = self.encoder(name, tower, seed)
            print(group_names(work, work / "source.csv", self.levels, encoder), flush=True)
            print(write_hierarchy(work, given=self.folder / "given.csv"), flush=True)
            write_json(kept, self._rows(work, name, "", seed))
        return read_json(kept)

    def hidden_names(
        self, name: str, classifier: str, tower: Callable[[], Path], seed: int
    ) -> list[dict[str, Any]]:
        """The same where some names are hidden and their classes are put into groups by their drawings.

        Args:
            name: encoder of the names.
            classifier: a key of :data:`CLASSIFIERS`.
            tower: see :func:`train_tower`.
            seed: of what is hidden.

        Returns:
            The same rows; "images" are the hidden emoji whose two drawings agree, "every image" all hidden ones, by the
            tie rule of the vote where they do not.
        """
        kept = self.folder / "results" / f"{name}-{classifier}-{seed}.json"
        if not kept.exists():
            work = WorkFolder(self.folder / "work" / f"hidden-{name}-{seed}")
            write_names(work / "source.csv", self.data, self.hidden(seed))
            encoder = self.encoder(name, tower, seed)
            group_names(work, work / "source.csv", self.levels, encoder)
            images, against, rule = CLASSIFIERS[classifier]
            root = self.folder / "images"
            seen = self.encoder(images, tower, seed)
            told = classify(work, root / "images.csv", root, seen, rule=rule, against=against)
            print(f"{told}\n{vote_classes(work)}", flush=True)
            print(write_hierarchy(work, given=self.folder / "given.csv"), flush=True)
            rows = [
                *self._rows(work, name, classifier, seed),
                *self._votes(work, name, classifier, seed),
            ]
            write_json(kept, rows)
        return read_json(kept)

    def _rows(
        self, work: WorkFolder, name: str, classifier: str, seed: int
    ) -> list[dict[str, Any]]:
        report = read_json(work / REPORT)
        about = {"names": name, "classifier": classifier, "seed": seed}
        return [{**about, **row} for row in report["agreement"]]

    def _votes(
        self, work: WorkFolder, name: str, classifier: str, seed: int
    ) -> list[dict[str, Any]]:
        """All hidden emoji by the group with most votes."""
        levels, groups = read_groups(work)
        chain_of = {row[0]: row for row in groups.values()}
        found = {
            row["class_id"]: chain_of[row["group"]] for row in read_votes(work) if row["group"]
        }
        given_levels, given, _ = read_labels(self.folder / "given.csv")
        about = {"names": name, "classifier": classifier, "seed": seed}
        rows = agreement(found, given, levels, given_levels)
        return [{**about, **row, "classes": "every image"} for row in rows]

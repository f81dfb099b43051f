"""What a hierarchy made from names is worth in training: against none, a random one and the true one."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.integrations.plain_files import read_json
from pml_suprank.recipes.data.emoji import EmojiDataset, load_emoji, split_emoji
from pml_suprank.recipes.data.emoji_images import EmojiImages
from pml_suprank.recipes.engine.parsing import ConfigError
from pml_suprank.recipes.engine.sets import Sets
from pml_suprank.recipes.files import write_atomic, write_csv, write_json, write_text
from pml_suprank.recipes.hierarchies.work_folder import WorkFolder
from pml_suprank.recipes.hierarchies.writing import HIERARCHY, REPORT, write_hierarchy
from pml_suprank.recipes.pages.figures import bar_chart
from studies.emoji_hierarchy.source import (
    group_names,
    with_taxonomy,
    write_names,
    write_taxonomy,
)
from studies.emoji_runs import COLUMNS, LOSSES, METRICS, Budget, check_run, emoji_settings, trained

__all__ = ["WITHOUT", "Arm", "parse_arm", "train_arm", "write_results"]

WITHOUT = {"suphap": "supap", "happier": "roadmap"}
"""A loss on hierarchies and what it is without one."""

TITLES = {"none": "none", "true": "Unicode's", "random": "random groups"}
ARM, RUN = "arm.json", "run"


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes:
        loss: a key or a value of :data:`WITHOUT`.
        tree: "none", "true", "random", or the encoder of the names that a hierarchy is made from, in which "{seed}"
            stands for the seed.
    """

    loss: str
    tree: str

    @property
    def title(self) -> str:
        """What the hierarchy is called."""
        return TITLES.get(self.tree, f"from names, {self.tree.partition(':')[0]}")

    def encoder(self, seed: int) -> str:
        """The encoder of the names."""
        return f"random:{seed}" if self.tree == "random" else self.tree.replace("{seed}", str(seed))


def parse_arm(text: str) -> Arm:
    """An arm from "loss:tree", such as "suphap:sentences"; "supap:none" and "roadmap:none" have no hierarchy.

    Raises:
        ValueError: another form, another loss, or a loss that does not go with the tree.
    """
    loss, _, tree = text.partition(":")
    wanted = WITHOUT.values() if tree == "none" else WITHOUT
    if not tree or loss not in wanted:
        raise ValueError(
            f"arms: wanted loss:tree, such as {', '.join(f'{k}:true' for k in WITHOUT)} or "
            f"{', '.join(f'{v}:none' for v in WITHOUT.values())}, got {text!r}"
        )
    return Arm(loss, tree)


def training_set(
    data: EmojiDataset, arm: Arm, seed: int, levels: Mapping[str, int], folder: Path
) -> tuple[EmojiDataset, dict[str, Any]]:
    """The training emoji in the groups that the arm trains with.

    A hierarchy from names is made by the steps of ``build-hierarchy`` from the names of ``data`` alone. Without a
    hierarchy all emoji are in one group, so that neither the loss nor the batches know of any.

    Args:
        data: the training emoji with the true taxonomy.
        arm: the way to train.
        seed: of the random groups.
        levels: numbers of groups, finest first.
        folder: of the run; keeps the work folder ``hierarchy``.

    Returns:
        The emoji, and how far the groups agree with the true ones, level to AMI.
    """
    if arm.tree == "true":
        return data, dict.fromkeys(levels, 1.0)
    if arm.tree == "none":
        rows = [("all", "all", str(index)) for index in range(len(data.emoji))]
        return with_taxonomy(data, Hierarchy.from_paths(map("/".join, rows))), {}
    work = WorkFolder(folder / "hierarchy")
    write_names(work / "source.csv", data)
    write_taxonomy(work / "given.csv", data)
    print(group_names(work, work / "source.csv", levels, arm.encoder(seed)), flush=True)
    print(write_hierarchy(work, given=work / "given.csv"), flush=True)
    tree = Hierarchy.from_csv(work / HIERARCHY, class_id_column="class_id", repeated_names=True)
    report = read_json(work / REPORT)
    return with_taxonomy(data, tree), {r["level"]: r["AMI"] for r in report["agreement"]}


def train_arm(
    arm: Arm, seed: int, budget: Budget, levels: Mapping[str, int], folder: Path
) -> dict[str, Any]:
    """Train as the quickstart does and evaluate on the held-out emoji with their true taxonomy.

    Args:
        arm: the way to train.
        seed: of the split, the weights and the batches, and of random groups.
        budget: that of the quickstart or a smaller one.
        levels: numbers of groups, finest first.
        folder: of the arm; the one of the run of ``finetune`` is ``run`` in it. A finished run is read, an interrupted
            one goes on.

    Returns:
        "metrics" of the trained model, and "agreement" of the groups with the true ones, level to AMI.

    Raises:
        ConfigError: the folder holds a run of other settings, or settings that do not fit the data.
    """
    settings = emoji_settings(LOSSES[arm.loss], 0, seed, budget)
    about = {"arm": asdict(arm), "levels": dict(levels)}
    check_run(settings, folder / RUN)
    if (folder / ARM).exists():
        stored = read_json(folder / ARM)
        if stored["about"] != about:
            raise ConfigError(
                f"--output: {folder} holds a run of other settings, {stored['about']}"
            )
        if (folder / RUN / METRICS).exists():
            metrics = read_json(folder / RUN / METRICS)["after"]
            return {"metrics": metrics, "agreement": stored["agreement"]}
    data = load_emoji(cache_dir=budget.cache_dir, limit=budget.limit)
    train, test = split_emoji(data, seed)
    train, agreement = training_set(train, arm, seed, levels, folder)
    write_json(folder / ARM, {"about": about, "agreement": agreement})
    sets = Sets(EmojiImages(train, return_index=True), EmojiImages(test))
    return {"metrics": trained(settings, folder / RUN, sets=sets)["after"], "agreement": agreement}


Results = Mapping[tuple[Arm, int], Mapping[str, Any]]


def write_results(output: Path, results: Results, levels: Sequence[str]) -> str:
    """Write ``training.md``, ``training.csv`` and ``training.png``.

    Args:
        output: folder.
        results: arm and seed to what :func:`train_arm` returned.
        levels: names of the levels, finest first.

    Returns:
        The Markdown: mean and standard deviation over the seeds.
    """
    agreed = [f"AMI {level}" for level in levels]
    lines = [
        "| loss | hierarchy in training | " + " | ".join([*agreed, *COLUMNS]) + " |",
        "|---|---|" + "---|" * (len(agreed) + len(COLUMNS)),
    ]
    rows, bars = [], {}
    for arm in dict.fromkeys(arm for arm, _ in results):
        runs = {seed: run for (other, seed), run in results.items() if other == arm}
        title = LOSSES[arm.loss].title
        cells = [
            _cell([run["agreement"][level] for run in runs.values() if run["agreement"]])
            for level in levels
        ]
        cells += [_cell([run["metrics"][key] for run in runs.values()]) for key in COLUMNS.values()]
        lines.append("| " + " | ".join([title, arm.title, *cells]) + " |")
        bars[f"{title}: {arm.title}"] = [run["metrics"][COLUMNS["H-AP"]] for run in runs.values()]
        for seed, run in runs.items():
            values = {column: run["metrics"][key] for column, key in COLUMNS.items()}
            agreement = {f"AMI {level}": run["agreement"].get(level, "") for level in levels}
            rows.append({"loss": arm.loss, "tree": arm.tree, "seed": seed, **agreement, **values})
    text = "\n".join(lines) + "\n"
    write_text(output / "training.md", text)
    write_csv(output / "training.csv", rows)
    made = {name for name in bars if "from names" in name}
    png = bar_chart(bars, made, "H-AP on held-out emoji, true taxonomy")
    write_atomic(output / "training.png", lambda file: file.write(png))
    return text


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}"

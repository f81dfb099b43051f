"""The tables of docs/presets.md, from the settings themselves.

Run as ``python docs/_tools/preset_tables.py`` after a change of them; a test keeps page and code equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pml_suprank.functional import PRESETS, SupRank
from pml_suprank.recipes.published import NAMES, published_settings
from pml_suprank.recipes.published.data_sets import DATA_SETS, PAPERS
from pml_suprank.recipes.published.losses import LOSSES

PAGE = Path(__file__).parents[1] / "presets.md"
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; numbers as Python writes them."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def steps() -> str:
    """The step of SupRank: the default of the losses, and the presets, those of one step in one row."""
    names = ("tau", "rho", "delta", "start", "offset")
    rows: dict[tuple[Any, ...], list[str]] = {}
    for preset, step in {"": {}, **PRESETS}.items():
        surrogate = SupRank(**step)
        offset = surrogate.offset
        if offset is None:
            offset = f"None: {surrogate.value_at_delta:.5f}"
        values = (*(getattr(surrogate, name) for name in names[:-1]), offset)
        rows.setdefault(values, []).append(f"`{preset}`" if preset else "none, the default")
    return markdown_table(
        ("`preset=`", *names), [(", ".join(presets), *values) for values, presets in rows.items()]
    )


def data_sets() -> str:
    """Data, model, batches and optimiser of each data set."""
    rows = []
    for name, entry in DATA_SETS.items():
        found = entry["settings"]
        training = found["training"]
        rows.append(
            [
                f"`{name}`",
                f"`{found['data']['name']}`",
                _network(found["model"]),
                _batches(found["sampler"], training["batch_size"]),
                training["epochs"],
                _optimizer(found["optimizer"], found["schedule"]),
                ", ".join(map(str, training.get("recall_at", ()))),
            ]
        )
    header = ("name", "data set", "model", "batches", "epochs", "optimiser", "R@k")
    return markdown_table(header, rows)


def _network(model: dict[str, Any]) -> str:
    parts = [model["name"], "ImageNet weights" if model["weights"] else "from scratch"]
    if model["pooling"] == "gem":
        parts.append("GeM pooling")
    if model["freeze_epochs"]:
        parts.append(f"trunk frozen for {model['freeze_epochs']} epochs")
    return ", ".join(parts)


def _optimizer(optimizer: dict[str, Any], schedule: dict[str, Any]) -> str:
    return (
        f"{optimizer['name']} {optimizer['lr']:g}, head {optimizer['head_lr']:g}, "
        f"weight decay {optimizer['weight_decay']:g}, cosine to {schedule['options']['eta_min']:g}"
    )


def _batches(sampler: dict[str, Any], batch_size: int) -> str:
    if sampler["kind"] == "hierarchical":
        text = f"{batch_size}, groups of {' x '.join(map(str, sampler['group_sizes']))}"
    else:
        text = f"{batch_size}, {sampler['m']} of a class"
    number = sampler.get("batches_per_epoch")
    return text if number is None else f"{text}, {number:,} in an epoch"


def losses() -> str:
    """Terms and weights of each loss, with what differs between data sets."""
    rows = []
    for loss, (_, _, text) in LOSSES.items():
        per_data = {data: published_settings(f"{data}-{loss}") for data in DATA_SETS}
        rows.append([f"`{loss}`", text.rstrip("."), *_terms(per_data), _proxy_optimizers(per_data)])
    return markdown_table(
        ("name", "what", "terms", "weight of the second", "optimiser of the proxies"), rows
    )


def _terms(per_data: dict[str, dict[str, Any]]) -> tuple[str, str]:
    options = {data: found["loss"]["options"] for data, found in per_data.items()}
    some = next(iter(per_data.values()))["loss"]
    if "weight" not in some["options"]:
        return f"`{some['name']}`", ""
    terms = [some["options"][key]["name"] for key in ("rank_loss", "decomposability_loss")]
    weights = _grouped({data: found["weight"] for data, found in options.items()})
    return " + ".join(f"`{term}`" for term in terms), weights


def _proxy_optimizers(per_data: dict[str, dict[str, Any]]) -> str:
    def text(found: dict[str, Any]) -> str:
        if "ProxyClusterLoss" not in str(found["loss"]):
            return ""
        own = found.get("loss_optimizer")
        if own is None:
            return "the head's"
        return f"{own['name']} {own['lr']:g} to {found['loss_schedule']['options']['eta_min']:g}"

    return _grouped({data: text(found) for data, found in per_data.items()})


def _grouped(values: dict[str, Any]) -> str:
    """One value for all data sets, or the rarer ones with their data sets first."""
    groups: dict[Any, list[str]] = {}
    for data, value in values.items():
        groups.setdefault(value, []).append(f"`{data}`")
    if len(groups) == 1:
        return str(next(iter(groups)))
    *few, (common, _) = sorted(groups.items(), key=lambda group: len(group[1]))
    return "; ".join([f"{', '.join(data)}: {value}" for value, data in few] + [f"others: {common}"])


def sources() -> str:
    """What the images of each data set are, and what is special about its settings."""
    rows = []
    for name, entry in DATA_SETS.items():
        images, note = entry["source"].split(f": {PAPERS}")
        note = note.lstrip("., ").removesuffix(".")
        rows.append((f"`{name}`", images, note[:1].upper() + note[1:]))
    return markdown_table(("name", "images", "note"), rows)


TABLES = {"steps": steps, "data_sets": data_sets, "losses": losses, "sources": sources}


def with_tables(page: str) -> str:
    """The text of the page with its tables made anew."""
    return _TABLE.sub(lambda match: f"{match[1]}\n{TABLES[match[2]]()}\n{match[3]}", page)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
    print(f"{PAGE}: {len(NAMES)} published settings")

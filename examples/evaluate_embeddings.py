# %% [markdown]
# # Evaluate H-AP of embeddings you have
#
# You have an array of embeddings and a table of labels, from whatever model. This notebook measures how well they
# rank: over the whole hierarchy, at each level, for each class, and for each query, down to the worst ones. It takes
# seconds and needs neither a training nor a GPU.
#
# **H-AP** (hierarchical average precision) is 1 where every query finds its own class first, then the other members
# of its group, then the rest. It counts how near a wrong answer is. AP and P@1 count right and wrong at one level.

# %%
import csv

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.utils.data import DataLoader

from pml_suprank import Hierarchy, metrics
from pml_suprank.integrations.timm_backbones import build_transforms, build_trunk
from pml_suprank.recipes.__main__ import main as suprank
from pml_suprank.recipes.data.registry import load

# %% [markdown]
# ## Two files
#
# `embeddings.npy` holds one row for each image, and `labels.csv` holds what each image shows, one column for each
# level. Skip this cell if you have such files. It makes them from packaged data: the features that an
# EfficientNet-Lite0 with ImageNet weights has of emoji, each drawn by two vendors, with Unicode's subgroups and groups.

# %%
data = load("emoji", None, "test")
trunk = build_trunk(
    "tf_efficientnet_lite0", weights="packaged", image_size=64, channels_last=True
).eval()
_, transform = build_transforms(trunk, image_size=64, eval_options={"crop_pct": 1.0})
loader = DataLoader(data.with_transform(transform), batch_size=128)
with torch.inference_mode():
    np.save("embeddings.npy", np.concatenate([trunk(images).numpy() for images, _ in loader]))
with open("labels.csv", "w", encoding="utf-8", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(data.hierarchy.level_names)  # emoji, subgroup, group: finest first
    for row in data.labels.tolist():
        writer.writerow([data.hierarchy.node_names(level)[node] for level, node in enumerate(row)])

# %% [markdown]
# ## Read them
#
# A `Hierarchy` gives the names numbers. Each row of the table is the path of one image from the coarsest level to
# its class. `class_id` turns a path into the integer label that the metrics take.

# %%
embeddings = torch.from_numpy(np.load("embeddings.npy"))
with open("labels.csv", encoding="utf-8", newline="") as file:
    levels, *rows = csv.reader(file)
paths = ["\n".join(reversed(row)) for row in rows]
tree = Hierarchy.from_paths(dict.fromkeys(paths), sep="\n", level_names=levels)
labels = torch.tensor([tree.class_id(path) for path in paths])

print(f"{len(embeddings):,} embeddings of {embeddings.shape[1]:,} dimensions")
for level, name in enumerate(tree.level_names):
    print(
        f"level {level}, {name}: {len(tree.node_names(level))} names, such as {tree.node_names(level)[0]!r}"
    )

# %% [markdown]
# ## Every level
#
# Each image is a query and ranks all others. The query is never in its own ranking. Rankings are exact, and memory
# stays bounded, so that 100,000 images work as well (`docs/performance.md`). A gallery of its own goes in as third
# and fourth argument.

# %%
result = metrics.evaluate(embeddings, labels, hierarchy=tree, k=(1, 10))

for name in ("hierarchical_average_precision", "ndcg", "asi"):
    print(f"{name:32}{result[name].mean():.3f}")
print(f"\n{'':32}" + "".join(f"{name:>10}" for name in tree.level_names))
for name in ("mean_average_precision", "precision_at_1", "recall_at_10"):
    values = [result[f"{name}_level{level}"].mean() for level in range(tree.num_levels)]
    print(f"{name:32}" + "".join(f"{value:10.3f}" for value in values))

# %% [markdown]
# The features know that a face is a face better than which face it is. P@1 rises from level to level, and so does AP.
# `hierarchical_average_precision` has all levels in one number.
#
# ## Every class
#
# A result keeps a value for each query, so the scores of classes and groups are plain averages.

# %%
h_ap = result["hierarchical_average_precision"].values
nodes = tree.expand(labels)  # [N, L], the node of each image at each level


def means(level):
    """The mean H-AP of every node of a level, the best first."""
    scores = {
        name: h_ap[nodes[:, level] == node].mean().item()
        for node, name in enumerate(tree.node_names(level))
    }
    return sorted(scores.items(), key=lambda item: -item[1])


groups, subgroups = means(level=2), means(level=1)
print("best subgroups: ", ", ".join(f"{name} {score:.2f}" for name, score in subgroups[:3]))
print("worst subgroups:", ", ".join(f"{name} {score:.2f}" for name, score in subgroups[-3:]))

figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
bars = axes.barh(*zip(*groups, strict=True), color="#2a6fbb")
axes.bar_label(bars, fmt="%.2f", padding=3)
axes.axvline(h_ap.mean(), color="0.4", linestyle="--", label="all queries")
axes.set(xlabel="H-AP", title="Mean over the queries of each group", xlim=(0, 1.15 * groups[0][1]))
axes.invert_yaxis()
axes.legend(loc="lower right", frameon=False)
axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# ## The worst queries
#
# Which images are found worst, and what do they find instead? Names alone say something: these are single objects,
# and each looks more like an object of another group than like its own relatives.

# %%
scores = torch.nn.functional.normalize(embeddings, dim=1)
print(f"{'query':30}{'H-AP':>6}   finds first")
for query in h_ap.argsort()[:8].tolist():
    similarity = scores @ scores[query]
    similarity[query] = -1
    found = int(similarity.argmax())
    print(f"{rows[query][0][:28]:30}{h_ap[query]:6.3f}   {rows[found][0]} ({rows[found][2]})")

# %% [markdown]
# ## The same without Python
#
# `suprank evaluate` does all this from files, and writes tables (`metrics.csv`, `queries.csv`) and a page that shows
# the worst queries. Run it in a terminal, or from Python as here:

# %%
np.savez("embeddings.npz", embeddings=embeddings.numpy())
line = "evaluate embeddings.npz --labels labels.csv --k 1 10 --output evaluation --device cpu"
assert suprank(line.split()) == 0

# %% [markdown]
# ## What to try next
#
# - `docs/metrics.md` defines every metric with a worked example.
# - Queries and gallery of their own, queries that are in the gallery, samples to ignore: the same page.
# - In a training with PML, `AccuracyCalculator` reports the same numbers: the notebook `swap_a_loss`.

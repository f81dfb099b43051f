# %% [markdown]
# # Fine-tune on a folder of images
#
# `photos/animal/dog/husky/*.jpg` is a data set with three levels: the folders are the classes and their hierarchy.
# `suprank finetune` trains a backbone on such a folder and writes a run folder with the weights, the numbers and a
# report. This notebook does so on a small folder, looks at what came out, and searches by image. It takes about a
# minute on two cores and needs no network.
#
# **H-AP** (hierarchical average precision) is 1 where every query finds its own class first, then the other classes
# of its parent, then the rest.

# %%
import csv
import shlex
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from pml_suprank.recipes.__main__ import main
from pml_suprank.recipes.data.registry import load
from pml_suprank.recipes.embedding_set import EmbeddingSet

# %% [markdown]
# ## A folder of images
#
# Yours is there already. This one is made of emoji that come with pip packages, each drawn by two vendors: three of
# Unicode's groups, such as "Food & Drink", with their subgroups.

# %%
emoji, groups = load("emoji", None), {"Animals & Nature", "Food & Drink", "Travel & Places"}
for index, row in enumerate(emoji.labels.tolist()):
    name, subgroup, group = (
        emoji.hierarchy.node_names(level)[node] for level, node in enumerate(row)
    )
    if group in groups:
        folder = Path("photos", group, subgroup, name)
        folder.mkdir(parents=True, exist_ok=True)
        emoji.decode(index).save(folder / f"{index % 2}.png")

for group in sorted(Path("photos").iterdir()):
    print(
        f"{group}/: {len(list(group.glob('*/*')))} classes, {len(list(group.glob('*/*/*.png')))} images"
    )

# %% [markdown]
# ## Fine-tune
#
# The line below is what one types in a terminal, behind `suprank`. Half of the classes of every subgroup are held
# out: the model never sees them in training, and they are searched afterwards.
#
# The backbone is an EfficientNet-Lite0 whose ImageNet weights come with a pip package. With a network,
# `--model.name resnet50 --model.weights hub` takes timm's. Loss, batches and learning rates of
# the head are the recommended ones, which need not be named. `docs/finetune.md` has all settings.


# %%
def suprank(line):
    """Run a command as a terminal does."""
    status = main(shlex.split(line))
    assert status == 0


suprank(
    "finetune --output run --data.root photos --data.test_share 0.5 --device cpu "
    "--model.name tf_efficientnet_lite0 --model.weights packaged --model.image_size 64 --model.embedding_size 256 "
    "--model.options.channels_last true "
    "--optimizer.lr 4e-4 --training.batch_size 64 --training.epochs 8 --training.evaluate_every 2"
)

# %% [markdown]
# The table compares the backbone alone (before) with the fine-tuned model (after), on classes that neither has seen
# in training. H-AP rises, and so do AP and P@1 of every level.
#
# ## What the run folder holds
#
# `report.html` is one file to open in a browser. It needs no network. It shows these numbers, the curves of the
# training, what is retrieved before and after, the worst queries, scores of every class, what is taken for what, and
# a map of the embeddings. The numbers are in files too:

# %%
print(*sorted(path.name for path in Path("run").iterdir()), sep="\n")

# %%
with open("run/evaluations.csv", encoding="utf-8", newline="") as file:
    evaluations = list(csv.DictReader(file))
with open("run/history.csv", encoding="utf-8", newline="") as file:
    history = list(csv.DictReader(file))

figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.2), layout="constrained")
left.plot([int(row["step"]) for row in history], [float(row["loss"]) for row in history])
left.set(xlabel="step", ylabel="loss")
names = {
    "hierarchical_average_precision": "H-AP",
    "mean_average_precision_level0": "AP of the classes",
}
for key, name in names.items():
    right.plot(
        [int(row["epoch"]) for row in evaluations],
        [float(row[key]) for row in evaluations],
        "o-",
        label=name,
    )
right.set(xlabel="epoch", ylabel="held out", ylim=(0, None))
right.legend(frameon=False)
plt.show()

# %% [markdown]
# `embeddings.npz` has the embeddings of the held-out images, which a picture of our own can start from: here they
# are on their two principal axes, coloured by group.

# %%
held_out = EmbeddingSet.load(Path("run/embeddings.npz"))
points = torch.nn.functional.normalize(held_out.embeddings.float(), dim=1)
axes = torch.pca_lowrank(points, q=2)[2]
places = (points - points.mean(dim=0)) @ axes

figure, picture = plt.subplots(figsize=(5, 3), layout="constrained")
for node, name in enumerate(held_out.node_names[2]):
    of_group = held_out.labels[:, 2] == node
    picture.scatter(*places[of_group].T, s=8, label=name)
picture.set(xticks=[], yticks=[], title="Held-out images, one dot each")
picture.legend(frameon=False, fontsize="small")
plt.show()

# %% [markdown]
# ## Search
#
# The model embeds any folder, `search build` makes an index of it, and `search query` finds what is like an
# image: itself first, then others of its kind. With `--output` it writes a page that shows them.

# %%
suprank("embed run photos --output photos.npz --device cpu")
suprank("search build photos.npz --output index")
suprank(
    "search query index --model run --image 'photos/Animals & Nature/animal-mammal/badger/1.png' --top 5"
)

# %% [markdown]
# ## What to try next
#
# - Your folder: `suprank finetune --output runs/photos --data.root photos`. Tables of files and labels do as well
#   (`docs/data.md`).
# - `suprank evaluate run --output evaluation` writes every metric for every query, and `suprank report` compares runs.
# - No hierarchy, but names of classes? `suprank build-hierarchy` groups them (`docs/hierarchies.md`).

# %% [markdown]
# # Swap a loss in PyTorch Metric Learning
#
# You train with [PyTorch Metric Learning](https://github.com/KevinMusgrave/pytorch-metric-learning) (PML), and your
# classes belong to larger groups: breeds of dogs, products of a category, or, here, emoji of a subgroup and a group.
# This notebook trains with PML's trainer and PML's triplet loss, then changes one line, and compares both in PML's
# tester. It takes less than a minute on two cores and needs no network.
#
# It measures **H-AP**, hierarchical average precision: 1 where every query finds the other image of its class first,
# then its group, then the rest. A wrong emoji of the right subgroup costs less than one of another group.

# %%
import logging
import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.testers import GlobalEmbeddingSpaceTester
from pytorch_metric_learning.trainers import MetricLossOnly
from torch.utils.data import DataLoader, TensorDataset

from pml_suprank import AccuracyCalculator, losses
from pml_suprank.integrations.timm_backbones import build_transforms, build_trunk
from pml_suprank.recipes.data.registry import load
from pml_suprank.relevance import PopulationRelevance

CPU = torch.device("cpu")
torch.manual_seed(0)
np.random.seed(0)  # noqa: NPY002 - PML's samplers draw from it
logging.getLogger("PML").setLevel(logging.ERROR)  # it would say that there is no embedder
# PML's trainer shows the loss in its progress bar, and torch warns of that
warnings.filterwarnings("ignore", "Converting a tensor with requires_grad=True to a scalar")

# %% [markdown]
# ## Images and their hierarchy
#
# 1,903 emoji, each drawn by two vendors, come with pip packages. Half of the emoji train the model, the others test
# it. Labels are PML's usual ones, an integer for each class. The `Hierarchy` knows the names of the classes and what
# is above each. Yours may come from folders, paths, a CSV file or networkx.

# %%
train, test = (load("emoji", None, split, label_form="class") for split in ("train", "test"))
tree = train.hierarchy

print(f"{len(train):,} images to train, {len(test):,} to test")
for level, name in enumerate(tree.level_names):
    print(
        f"level {level}: {len(tree.node_names(level)):4} x {name}, such as {tree.node_names(level)[0]!r}"
    )

# %% [markdown]
# ## Features
#
# An EfficientNet-Lite0 with ImageNet weights, also from a pip package. It stays frozen here, so that its features are
# computed once and the rest takes seconds. `docs/pml_native.md` trains a whole network in the same trainer.

# %%
trunk = build_trunk("tf_efficientnet_lite0", weights="packaged", image_size=64, channels_last=True)
_, transform = build_transforms(trunk, image_size=64, eval_options={"crop_pct": 1.0})


@torch.inference_mode()
def features(data):
    """The images of a data set as features, and their labels."""
    loader = DataLoader(data.with_transform(transform), batch_size=128)
    batches = [(trunk(images), labels) for images, labels in loader]
    images, labels = map(torch.cat, zip(*batches, strict=True))
    return TensorDataset(images.clone(), labels)


trunk.eval()
train_set, test_set = features(train), features(test)

# %% [markdown]
# ## PML's trainer and tester
#
# Nothing in these two functions is of this library but the calculator, which adds H-AP to PML's metrics.


# %%
def fit(loss, sampler, epochs=10):
    """Train a linear layer on the features with PML's trainer."""
    model = torch.nn.Linear(trunk.out_features, 128)
    optimizers = {"trunk_optimizer": torch.optim.AdamW(model.parameters(), lr=1e-3)}
    if list(loss.parameters()):
        optimizers["metric_loss_optimizer"] = torch.optim.AdamW(loss.parameters(), lr=1e-2)
    trainer = MetricLossOnly(
        models={"trunk": model},
        optimizers=optimizers,
        batch_size=128,
        loss_funcs={"metric_loss": loss},
        dataset=train_set,
        sampler=sampler,
        data_device=CPU,
        dataloader_num_workers=0,
    )
    trainer.train(num_epochs=epochs)
    return model


def measure(model):
    """H-AP, and P@1 of every level, from PML's tester."""
    calculator = AccuracyCalculator(
        include=("hierarchical_average_precision", "precision_at_1"),
        hierarchy=test.hierarchy,
        device="cpu",
    )
    tester = GlobalEmbeddingSpaceTester(
        accuracy_calculator=calculator, data_device=CPU, dataloader_num_workers=0
    )
    found = tester.test({"test": test_set}, 1, model)["test"]
    names = [
        "hierarchical_average_precision",
        "precision_at_1",
        "precision_at_1_level1",
        "precision_at_1_level2",
    ]
    return [
        found[f"{name}_level0"] for name in names
    ]  # PML ends each name with the column of the labels


# %%
pairs = MPerClassSampler(
    train_set.tensors[1], m=2, batch_size=128, length_before_new_iter=len(train_set)
)
results = {
    "no training": measure(torch.nn.Identity()),
    "TripletMarginLoss": measure(fit(pml_losses.TripletMarginLoss(), pairs)),
}

# %% [markdown]
# ## The swap
#
# One statement: `HAPPIERLoss` in place of `TripletMarginLoss`. It takes the same embeddings and the same labels, and
# looks up in the hierarchy which classes belong together.

# %%
loss = losses.HAPPIERLoss(
    hierarchy=tree, embedding_size=128, tau=0.1, temperature=0.1, relevance=PopulationRelevance(1.5)
)
results["HAPPIERLoss"] = measure(fit(loss, pairs))

# %%
print(f"{'held-out':20}{'H-AP':>8}" + "".join(f"{f'P@1 {name}':>15}" for name in tree.level_names))
for name, values in results.items():
    print(f"{name:20}{values[0]:8.3f}" + "".join(f"{value:15.3f}" for value in values[1:]))

# %%
figure, axes = plt.subplots(figsize=(5, 1.8), layout="constrained")
bars = axes.barh(
    list(results), [values[0] for values in results.values()], color=["0.75", "0.55", "#2a6fbb"]
)
axes.bar_label(bars, fmt="%.3f", padding=3)
axes.set(xlabel="held-out H-AP", xlim=(0, 0.3))
axes.invert_yaxis()
axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# H-AP rises by a sixth over the triplets, and P@1 rises at every level: also for the emoji themselves, which are all
# that the triplets were trained for.
#
# ## What to try next
#
# - Other losses work the same way: `SupHAPLoss` has no proxies, so there is nothing to give to an optimizer.
#   `docs/choosing.md` says which to take.
# - Class labels without a hierarchy? `losses.ROADMAPLoss()` and `losses.SupAPLoss()` need none.
# - `samplers.HierarchicalSampler` in place of `MPerClassSampler` gives every image of a batch relatives at each level.
#   It matters most where a random batch holds few of them: `docs/samplers.md`.
# - The same swap for memories, miners and the accuracy calculator: `docs/from_pml.md`.

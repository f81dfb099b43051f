"""The commands, by what one wants to do."""

__all__ = ["COMMANDS", "GROUPS", "RENAMED"]

GROUPS = {
    "train a model": {
        "quickstart": "fine-tune a packaged backbone on emoji and write a report",
        "finetune": "fine-tune a timm or OpenCLIP backbone on anybody's images",
    },
    "use a model": {
        "embed": "images or texts to a file of embeddings, with the model of a run",
        "search": "an index of a gallery, searched by image, text or embeddings",
    },
    "look at results": {
        "evaluate": "all metrics of embeddings, per level and per query, and the worst queries",
        "report": "a page about a run, or about several side by side",
    },
    "prepare labels": {
        "build-hierarchy": "groups of groups from class names and images, reviewed by a person",
    },
    "landmarks": {
        "landmarks": "what a copy of Google Landmarks v2 holds; mAP of it, revisited Oxford and Paris",
    },
}
"""Groups of names of commands, each with a line about it."""

COMMANDS = {name: text for group in GROUPS.values() for name, text in group.items()}

RENAMED = {"landmark-statistics": ("landmarks", "statistics")}
"""Commands of the release before, and the words that do the same now."""

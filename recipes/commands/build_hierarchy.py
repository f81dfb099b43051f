"""Build a hierarchy from class names, or from images where a class has no name, with a person's eye on it.

    suprank build-hierarchy names work names.txt
    suprank build-hierarchy propose work --levels subgroup=100 group=10 --encoder sentences
    suprank build-hierarchy review work
    suprank build-hierarchy classify work images.csv --root photos --encoder open_clip:ViT-B-32:hub:laion2b_s34b_b79k
    suprank build-hierarchy vote work
    suprank build-hierarchy write work --given labels.csv

Every step reads and writes files in the folder ``work`` that a person can open, and edit where the step says so. A step
that is done is not done again unless what it was made from has changed; an interrupted one goes on. *classify* and
*vote* are for classes without a name and may be left out.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pml_suprank.recipes.choices import ENCODERS, LINKAGES, LINKS, NETWORKS, RULES
from pml_suprank.recipes.command_line.command import Command
from pml_suprank.recipes.command_line.options import add_device, at_least

if TYPE_CHECKING:
    from pml_suprank.recipes.hierarchies.work_folder import WorkFolder

__all__ = ["main"]

Run = Callable[[argparse.Namespace, "WorkFolder"], str]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    steps = parser.add_subparsers(dest="step", required=True, metavar="step")

    def step(name: str, text: str, do: Run) -> Callable[..., argparse.Action]:
        own = steps.add_parser(name, help=text, description=text)
        own.set_defaults(do=do)
        own.add_argument("work", type=Path, help="folder of the files of all steps")
        return own.add_argument

    add = step("names", "a name for every class where one is known", _names)
    add("classes", type=Path, help="CSV file, a row for each class; or a list, a name in a line")
    add("--class-column", default="class_id", help="column of class ids (class_id)")
    add("--name-column", default="name", help="column of names, empty where unknown (name)")

    add = step("propose", "group the names, for a person to review", _propose)
    add(
        "--levels",
        nargs="+",
        required=True,
        help="name=number of groups, finest first; name=auto or name=4-12 chooses by silhouette",
    )
    add("--encoder", required=True, help="of the names, see suprank build-hierarchy --help")
    _add_prompts(add)
    add("--linkage", choices=LINKAGES, help="of the clustering (sentences: average; else ward)")
    add("--variance", type=float, help="share kept in the main directions (sentences: 0.5; else 1)")
    add("--overwrite", action="store_true", help="replace an edited review.csv")

    step("review", "check and apply the edited review.csv", _review)

    add = step("classify", "put images of classes without a name into groups", _classify)
    add("images", type=Path, help="CSV file: path, class_id; or landmark_id, images")
    add("--root", type=Path, default=Path(), help="folder of the images (.)")
    add(
        "--links",
        choices=LINKS,
        default="inside",
        help="follow takes images outside of --root (inside)",
    )
    add("--encoder", required=True, help="of images and names, or file:IMAGES.npz")
    add("--rule", choices=[*RULES], default="clip", help="most similar name, or vote of 5 (clip)")
    add("--against", choices=["text", "images"], default="text",
        help="embeddings of the names, or of the images of classes with a name (text)")  # fmt: skip
    _add_prompts(add)
    add("--workers", type=at_least(0), default=0, help="loading processes (0)")

    add = step("vote", "one group for each class, by the majority of its images", _vote)
    add("--min-confidence", type=float, default=0.5, help="share of the votes, else review (0.5)")
    add("--min-images", type=at_least(1), default=1, help="that can be read, else review (1)")
    add("--root", type=Path, help="folder of the images, for the page")

    add = step("write", "the checked hierarchy, its files and a report", _write)
    add("--unclassified", choices=["drop", "keep"], default="drop", help="without a group (drop)")
    add("--given", type=Path, help="CSV file of known labels to compare with: class_id, levels")
    add("--queries", type=Path, help="CSV file of queries: id, images")
    add("--gallery", type=Path, help="CSV file of the gallery: id, landmark_id")
    add("--landmarks", action="store_true", help="write a file in the columns of H-GLDv2, too")


def _add_prompts(add: Callable[..., argparse.Action]) -> None:
    add(
        "--prompts",
        nargs="+",
        default=[],
        help='texts with {} for the name, such as "a photo of {}"',
    )
    add_device(add)


def _device(options: argparse.Namespace) -> str:
    """Where the encoder computes, told where it has a network."""
    from pml_suprank.recipes.devices import tell_device

    if options.encoder.partition(":")[0] in NETWORKS:
        tell_device(options.device)
    return str(options.device)


def _names(options: argparse.Namespace, work: "WorkFolder") -> str:
    from pml_suprank.recipes.hierarchies.names import make_names

    return make_names(work, options.classes, options.class_column, options.name_column)


def _propose(options: argparse.Namespace, work: "WorkFolder") -> str:
    from pml_suprank.recipes.hierarchies.proposal import parse_levels, propose

    return propose(
        work,
        parse_levels(options.levels),
        options.encoder,
        options.prompts,
        options.linkage,
        variance=options.variance,
        device=_device(options),
        overwrite=options.overwrite,
    )


def _review(_: argparse.Namespace, work: "WorkFolder") -> str:
    from pml_suprank.recipes.hierarchies.review import apply_review

    return apply_review(work)


def _classify(options: argparse.Namespace, work: "WorkFolder") -> str:
    from pml_suprank.recipes.hierarchies.classify import classify

    return classify(
        work,
        options.images,
        options.root,
        options.encoder,
        rule=options.rule,
        against=options.against,
        prompts=options.prompts,
        device=_device(options),
        links=options.links,
        workers=options.workers,
    )


def _vote(options: argparse.Namespace, work: "WorkFolder") -> str:
    from pml_suprank.recipes.hierarchies.voting import vote_classes

    return vote_classes(
        work,
        min_confidence=options.min_confidence,
        min_images=options.min_images,
        root=options.root,
    )


def _write(options: argparse.Namespace, work: "WorkFolder") -> str:
    from pml_suprank.recipes.hierarchies.writing import write_hierarchy

    return write_hierarchy(
        work,
        unclassified=options.unclassified,
        given=options.given,
        queries=options.queries,
        gallery=options.gallery,
        landmarks=options.landmarks,
    )


def run(options: argparse.Namespace) -> None:
    """One of the steps."""
    from pml_suprank.recipes.hierarchies.work_folder import WorkFolder

    print(options.do(options, WorkFolder(options.work)))


_ENCODERS = "\n".join(f"  {name:<24} {text}" for name, text in ENCODERS.items())

main = Command(
    "build-hierarchy",
    add_options,
    run,
    interrupted="interrupted; the same command goes on from here",
    description=__doc__ or "",
    epilog=f"encoders:\n{_ENCODERS}",
    writes=("work",),
)

if __name__ == "__main__":
    sys.exit(main())

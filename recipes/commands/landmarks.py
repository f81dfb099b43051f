"""Landmark retrieval by the protocols of revisited Oxford and Paris and of Google Landmarks v2.

    suprank landmarks statistics gldv2 --split train --min-images 4
    suprank embed runs/gld roxford5k --loader revisited --split query --output query.npz --scales 0.7071 1 1.4142
    suprank embed runs/gld roxford5k --loader revisited --split gallery --output gallery.npz --scales 0.7071 1 1.4142
    suprank landmarks revisited roxford5k --queries query.npz --gallery gallery.npz --whitening train.npz
    suprank landmarks gldv2 gldv2 --queries test.npz --gallery index.npz

*statistics* tells what a copy of Google Landmarks v2 holds with its hierarchical labels, and what is left out and why;
its options are those of the loader ``landmarks``, and only the CSV files and one image are read. *revisited* and
*gldv2* take files of embeddings, whose rows are matched with the images of the protocol by file name. *revisited* gives
mAP and mP@k for easy, medium and hard, junk taken out; *gldv2* gives mAP@100 of the public and the private queries over
the whole index, and H-AP, NDCG and ASI where the embeddings have labels of several levels, and says and counts where
the gallery is not the index. They write ``metrics.json``, ``metrics.csv`` and ``queries.csv``.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pml_suprank.recipes.choices import MADE, SPLITS
from pml_suprank.recipes.command_line.command import Command
from pml_suprank.recipes.command_line.options import add_device, at_least

__all__ = ["main"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    steps = parser.add_subparsers(dest="step", required=True, metavar="step")

    def step(name: str, text: str, do: Callable[..., None]) -> Callable[..., argparse.Action]:
        own = steps.add_parser(name, help=text, description=text)
        own.set_defaults(do=do)
        own.add_argument("root", type=Path, help="folder of the data set")
        return own.add_argument

    add = step(
        "statistics", "what a copy of Google Landmarks v2 holds, and what is left out", _statistics
    )
    add("--split", choices=[*SPLITS], default="train", help="(train)")
    add("--unclassified", choices=["drop", "keep"], default="drop", help="landmarks (drop)")
    add("--labels", nargs="+", help="only these hierarchical labels")
    add("--made", choices=MADE, help="only these landmarks")
    add("--min-images", type=at_least(1), default=1, help="of a landmark (1)")
    add("--max-images", type=at_least(1), help="of a landmark (all)")
    add("--output", type=Path, help="JSON file for the same numbers")
    for name, text in (
        ("revisited", "easy, medium and hard of revisited Oxford and Paris"),
        ("gldv2", "mAP@100 of Google Landmarks v2"),
    ):
        add = step(name, text, _protocol)
        add("--queries", type=Path, required=True, help="file of embeddings")
        add("--gallery", type=Path, required=True, help="file of embeddings")
        add("--whitening", type=Path, help="embeddings of a training set to learn a whitening on")
        add(
            "--whiten-by",
            choices=["pairs", "pca"],
            default="pairs",
            help="of the same class (pairs)",
        )
        add("--dim", type=at_least(1), help="dimensions after whitening (all)")
        add(
            "--k",
            nargs="+",
            type=at_least(1),
            default=[1, 5, 10],
            help="depths of mP@k of revisited (1 5 10)",
        )
        add("--output", type=Path, default=Path("landmarks"), help="folder (landmarks)")
        add_device(add)


def run(options: argparse.Namespace) -> None:
    """One of the steps."""
    options.do(options)


def _statistics(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from pml_suprank.recipes.data.google_landmarks import load_landmarks
    from pml_suprank.recipes.files import write_json

    names = ("root", "split", "unclassified", "labels", "made", "min_images", "max_images")
    report = load_landmarks(**{name: getattr(options, name) for name in names}).report
    if options.output is not None:
        write_json(options.output, asdict(report))
    print(report)


def _protocol(options: argparse.Namespace) -> None:
    from pml_suprank.recipes import landmark_protocols as protocols
    from pml_suprank.recipes.devices import float64_device, tell_device
    from pml_suprank.recipes.files import write_csv, write_json

    tell_device(options.device, in_float64=True)
    device = float64_device(options.device)
    queries = protocols.load_embeddings(options.queries, device)
    gallery = protocols.load_embeddings(options.gallery, device)
    if options.whitening is not None:
        train = protocols.load_embeddings(options.whitening, device)
        whitening = protocols.learn_whitening(train, options.whiten_by, options.dim)
        queries, gallery = (protocols.whitened(part, whitening) for part in (queries, gallery))
    note, compared = "", dict[str, Any]()
    if options.step == "revisited":
        names, results = protocols.evaluate_revisited(queries, gallery, options.root, options.k)
    else:
        line, counts = protocols.compare_with_index(gallery, options.root)
        note, compared = f"\n{line}", {"gallery": counts}
        names, results = protocols.evaluate_gldv2(queries, gallery, options.root)
    table = protocols.rows_of_table(results)
    write_csv(options.output / "metrics.csv", table)
    write_csv(options.output / "queries.csv", protocols.rows_of_queries(names, results))
    content = {
        part: {name: result.to_dict() for name, result in found.items()}
        for part, found in results.items()
    }
    write_json(options.output / "metrics.json", content | compared)
    print(f"\n{protocols.printed(table)}")
    print(f"{note}\nper query: {options.output / 'queries.csv'}")


main = Command(
    "landmarks",
    add_options,
    run,
    description=__doc__ or "",
)

if __name__ == "__main__":
    sys.exit(main())

"""Embed images, or texts, with the model of a run.

    suprank embed runs/photos photos --output photos.npz
    suprank embed runs/photos inbox --unlabelled --output inbox.safetensors
    suprank embed runs/clip --text queries.txt --output queries.npz
    suprank embed runs/clip --text queries.csv --levels species genus --output queries.npz

The images are those of a nested folder, whose names are their labels, of another loader (``--loader``), or, with
``--unlabelled``, all below a folder. Broken images are reported and left out. Texts are the lines of a file ``*.txt``,
or the column ``text`` of a table; the model needs a text tower (OpenCLIP).
"""

import argparse
import sys
from pathlib import Path

from pml_suprank.recipes.choices import LOADERS
from pml_suprank.recipes.command_line.command import Command
from pml_suprank.recipes.command_line.options import add_device, at_least, mapping, positive

__all__ = ["main"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    add = parser.add_argument
    add("run", type=Path, help="run folder of finetune")
    add("images", type=Path, nargs="?", help="folder of the images, or of the data set")
    add("--text", type=Path, help="file of texts in place of images: *.txt, one a line, or a table")
    add("--text-column", default="text", help="of the table (text)")
    add("--levels", nargs="+", default=[], help="columns of the table with labels, finest first")
    add("--output", type=Path, required=True, help="file *.npz or *.safetensors")
    add("--loader", choices=LOADERS, default="folder", help="of the data set (folder)")
    add("--split", help="of the data set")
    add("--options", type=mapping, default={}, help="further options of the loader, as JSON")
    add(
        "--unlabelled", action="store_true", help="take all images below the folder, without labels"
    )
    add("--workers", type=at_least(0), default=0, help="loading processes (0)")
    add_device(add)
    add(
        "--scales",
        nargs="+",
        type=positive,
        default=[1.0],
        help="of the images; embeddings of several, such as 0.7071 1 1.4142, are averaged (1)",
    )


def run(options: argparse.Namespace) -> None:
    """Embed the images and say which are broken, or the texts."""
    if (options.images is None) == (options.text is None):
        raise ValueError(
            "images: wanted a folder, or --text"
            if options.text is None
            else "--text: wanted a file of texts or a folder of images, got both"
        )
    if options.text is not None:
        _run_texts(options)
        return
    from pml_suprank.recipes.data.folder import all_images
    from pml_suprank.recipes.data.registry import load
    from pml_suprank.recipes.devices import tell_device
    from pml_suprank.recipes.embedding_set import check_file_name
    from pml_suprank.recipes.engine.encode_data import embed_images
    from pml_suprank.recipes.engine.encoder import load_encoder
    from pml_suprank.recipes.engine.sets import check_loader_options

    check_file_name(options.output)
    if options.unlabelled:
        data = all_images(options.images)
    else:
        check_loader_options(options.loader, options.options, "--options")
        data = load(options.loader, options.images, options.split, **options.options)
    encoder = load_encoder(options.run, options.device, options.scales)
    data.background = encoder.background
    tell_device(options.device)
    found, broken = embed_images(
        encoder,
        data,
        labelled=not options.unlabelled,
        root=options.images,
        workers=options.workers,
    )
    found.save(options.output)
    for index in broken:
        print(f"broken, left out: {data.paths[index]}", file=sys.stderr)
    size = found.embeddings.shape[1]
    print(
        f"{len(found):,} embeddings of {size} dimensions in {options.output}; {len(broken)} images left out"
    )


def _run_texts(options: argparse.Namespace) -> None:
    """Embed the texts of a file."""
    from pml_suprank.recipes.devices import tell_device
    from pml_suprank.recipes.embedding_set import check_file_name
    from pml_suprank.recipes.engine.encode_texts import embed_texts, read_texts
    from pml_suprank.recipes.engine.encoder import load_encoder

    check_file_name(options.output)
    texts, chains = read_texts(options.text, options.text_column, options.levels)
    encoder = load_encoder(options.run, options.device, options.scales)
    tell_device(options.device)
    found = embed_texts(encoder, texts, chains, options.levels)
    found.save(options.output)
    size = found.embeddings.shape[1]
    print(f"{len(found):,} embeddings of {size} dimensions in {options.output}")


main = Command(
    "embed",
    add_options,
    run,
    description=__doc__ or "",
)

if __name__ == "__main__":
    sys.exit(main())

"""What mkdocs does beside its plugins: formulas as MathML, files of the repository that pages link to."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import matplotlib
from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]

OPTIONAL = {"leaderboard.md", "decomposability.md", "hierarchies.md", "landmarks.md"}
"""Pages of measurements and recipes that are in the navigation once they are there."""

ADDED = {
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    **{
        f"benchmarks/results/{path.name}": f"benchmarks/results/{path.name}"
        for path in sorted((ROOT / "benchmarks" / "results").glob("*.md"))
    },
}
"""Page of the site to the file of the repository that it shows."""

FONTS = ("DejaVuSerif.ttf", "LICENSE_DEJAVU")
"""Of matplotlib: what formulas are shown in where the reader has no font for them."""

_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\s*\\(?P<open>[(\[])(?P<latex>.*?)\\[)\]]\s*</(?P=tag)>',
    re.DOTALL,
)


def on_config(config: Any) -> Any:
    """Take optional pages that are not there out of the navigation."""
    config.nav = _present(config.nav, Path(config.docs_dir))
    return config


def _present(entries: list[Any], docs: Path) -> list[Any]:
    kept: list[Any] = []
    for entry in entries:
        ((title, target),) = entry.items()
        if isinstance(target, list):
            target = _present(target, docs)
        elif target in OPTIONAL and not (docs / target).exists():
            continue
        if target:
            kept.append({title: target})
    return kept


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie elsewhere in the repository, and a font for formulas."""
    for page, source in ADDED.items():
        file = File.generated(config, page, abs_src_path=str(ROOT / source))
        if not page.startswith("contributing"):
            file.inclusion = file.inclusion.NOT_IN_NAV
        files.append(file)
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name in FONTS:
        files.append(File.generated(config, f"fonts/{name}", abs_src_path=str(folder / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links that leave docs/ into links to the added pages."""
    up = "../" * page.file.src_uri.count("/")
    for target, source in ADDED.items():
        markdown = markdown.replace(f"](../{up}{source})", f"]({up}{target})")
    return markdown


def on_page_content(content: str, **_: Any) -> str:
    """Write formulas as MathML, which browsers show by themselves."""
    return _FORMULA.sub(_mathml, content)


def _mathml(match: re.Match[str]) -> str:
    display = "block" if match["open"] == "[" else "inline"
    return convert(html.unescape(match["latex"]).strip(), display=display)

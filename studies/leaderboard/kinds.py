"""The best loss of each kind on each data set: the short form of the tables."""

from collections.abc import Mapping, Sequence

from studies.leaderboard.entrants import ENTRANTS
from studies.leaderboard.standings import Standing

__all__ = ["best_of_kinds"]


def best_of_kinds(boards: Mapping[str, Sequence[Standing]], metric: str) -> str:
    """Markdown: a line for each kind of loss, with its highest mean on each data set; the highest of all is bold.

    Args:
        boards: data set to its rows.
        metric: that is compared.
    """
    lines = [f"| kind | {' | '.join(boards)} |", "|---" * (1 + len(boards)) + "|"]
    for kind in dict.fromkeys(entrant.group for entrant in ENTRANTS.values()):
        cells = []
        for rows in boards.values():
            own = [row for row in rows if ENTRANTS[row.entrant].group == kind]
            if not own:
                cells.append("")
                continue
            best = max(own, key=lambda row: row.mean(metric))
            value = f"{best.mean(metric):.3f}"
            is_first = best.mean(metric) == max(row.mean(metric) for row in rows)
            cells.append(f"{ENTRANTS[best.entrant].title} {f'**{value}**' if is_first else value}")
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"

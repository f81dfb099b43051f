"""What a split of Google Landmarks v2 holds, and what was left out of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["LandmarkReport"]

_SHOWN = 10


@dataclass(frozen=True)
class LandmarkReport:
    """Counts of images and landmarks; ``str()`` gives a table.

    Attributes:
        split: name of the split.
        rows: images that its file lists.
        images: images kept.
        landmarks: landmarks of these.
        unclassified: images kept whose landmark has no hierarchical label.
        labels: hierarchical label to images, most first.
        made: "natural" and "human-made" to images.
        dropped: reason to images left out for it; each image has one reason.
    """

    split: str
    rows: int
    images: int
    landmarks: int
    unclassified: int
    labels: Mapping[str, int]
    made: Mapping[str, int]
    dropped: Mapping[str, int]

    @classmethod
    def of(
        cls,
        split: str,
        rows: int,
        dropped: Mapping[str, int],
        landmarks: Sequence[tuple[str, str, int]],
    ) -> LandmarkReport:
        """The report.

        Args:
            split: name of the split.
            rows: images that its file lists.
            dropped: reason to images.
            landmarks: for each landmark kept its label and natural or human-made, empty where unknown, and its images.
        """
        labels: Counter[str] = Counter()
        made: Counter[str] = Counter()
        for label, kind, count in landmarks:
            labels[label] += count
            made[kind] += count
        unclassified = labels.pop("", 0)
        made.pop("", 0)
        return cls(
            split,
            rows,
            sum(count for *_, count in landmarks),
            len(landmarks),
            unclassified,
            dict(sorted(labels.items(), key=lambda pair: (-pair[1], pair[0]))),
            dict(sorted(made.items())),
            dict(dropped),
        )

    def __str__(self) -> str:
        lines = [
            (f"images listed in {self.split}", self.rows),
            *((f"  left out: {reason}", count) for reason, count in self.dropped.items()),
            ("images kept", self.images),
            ("landmarks", self.landmarks),
            ("hierarchical labels", len(self.labels)),
        ]
        if self.unclassified:
            lines.append(("images kept without a label", self.unclassified))
        lines += [(f"images of {kind} landmarks", count) for kind, count in self.made.items()]
        lines += [(f"  {label}", count) for label, count in list(self.labels.items())[:_SHOWN]]
        rest = list(self.labels.values())[_SHOWN:]
        if rest:
            lines.append((f"  {len(rest)} more labels", sum(rest)))
        return "\n".join(f"{text:<56}{count:>12,}" for text, count in lines)

"""Which queries can be judged by a hierarchy of the gallery."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["QueryLabels", "label_queries"]


class QueryLabels(NamedTuple):
    """Queries with a label, and why others have none.

    Attributes:
        class_of: query to the class of its relevant images.
        dropped: query to the reason.
    """

    class_of: dict[str, str]
    dropped: dict[str, str]


def label_queries(
    relevant: Mapping[str, Sequence[str]],
    class_of_image: Mapping[str, str],
    group_of_class: Mapping[str, str],
) -> QueryLabels:
    """Give every query the label of the gallery images that are relevant to it, where they agree.

    A query has no label of its own: it takes the class of its first relevant gallery image that has a group. Where its
    relevant images lie in several groups, any label would call some of them wrong: the query is dropped. So every
    query shares its group with all the gallery images that are relevant to it.

    Args:
        relevant: query to its relevant gallery images.
        class_of_image: gallery image to its class.
        group_of_class: class to its finest group; classes without one are missing.

    Returns:
        Labels and reasons: "no relevant image", "relevant image not in the gallery", "no group",
        "relevant images in several groups".

    Example:
        >>> found = label_queries({"q": ["a", "b"]}, {"a": "1", "b": "2"}, {"1": "church", "2": "lake"})
        >>> found.dropped
        {'q': 'relevant images in several groups'}
    """
    class_of: dict[str, str] = {}
    dropped: dict[str, str] = {}
    for query, images in relevant.items():
        if not images:
            dropped[query] = "no relevant image"
        elif not all(image in class_of_image for image in images):
            dropped[query] = "relevant image not in the gallery"
        else:
            classes = [class_of_image[image] for image in images]
            known = [each for each in classes if each in group_of_class]
            groups = {group_of_class[each] for each in known}
            if not known:
                dropped[query] = "no group"
            elif len(groups) > 1:
                dropped[query] = "relevant images in several groups"
            else:
                class_of[query] = known[0]
    return QueryLabels(class_of, dropped)

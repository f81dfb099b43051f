"""Old names work, say the new one to the line that uses them, and do not show."""

import inspect
import sys
import types
import warnings

import pytest
import torch

from pml_suprank.deprecated import renamed_attributes, renamed_keywords, warn_old


@renamed_keywords(levels="common_levels", own="self_indices")
def ranks(common_levels, self_indices=None):
    return common_levels, self_indices


class Loss(torch.nn.Module):
    @renamed_keywords(levels="common_levels")
    def __init__(self, *, common_levels=2):
        super().__init__()
        self.common_levels = common_levels

    @renamed_keywords(own="self_indices")
    def forward(self, scores, self_indices=None):
        return scores, self_indices


def warned(use):
    """Call ``use`` and return what it returns and the warnings, each with the place it is given for."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = use()
    assert {each.category for each in caught} <= {DeprecationWarning}
    return result, [(str(each.message), each.filename) for each in caught]


def test_an_old_keyword_works_and_its_caller_is_told_the_new_one():
    result, told = warned(lambda: ranks(levels=1, own=2))
    assert result == (1, 2)
    assert sorted(told) == [
        (
            f"ranks: the keyword {old!r} is old and goes with the next release; write {new!r}",
            __file__,
        )
        for old, new in (("levels", "common_levels"), ("own", "self_indices"))
    ]


def test_new_keywords_and_positions_do_not_warn():
    assert warned(lambda: ranks(1, self_indices=2)) == ((1, 2), [])
    assert warned(lambda: Loss(common_levels=1)(3))[1] == []


def test_a_class_and_a_call_through_torch_warn_the_caller():
    loss, told = warned(lambda: Loss(levels=5))
    assert loss.common_levels == 5
    assert told[0][0].startswith("Loss: the keyword 'levels'")
    result, more = warned(lambda: loss(1, own=7))
    assert result == (1, 7)
    assert {place for _, place in told + more} == {__file__}


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {"common_levels": 1, "levels": 1}), ((1,), {"levels": 1})]
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_both_names_are_an_error(args, kwargs):
    with pytest.raises(TypeError, match="common_levels"):
        ranks(*args, **kwargs)


def test_the_signature_shows_the_new_names_alone():
    assert list(inspect.signature(ranks).parameters) == ["common_levels", "self_indices"]
    assert list(inspect.signature(Loss).parameters) == ["common_levels"]
    with pytest.raises(TypeError, match="nothing"):
        ranks(1, nothing=2)


def test_a_line_warns_once():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            ranks(levels=1)
    assert len(caught) == 1


@pytest.fixture
def module():
    made = types.ModuleType("with_an_old_name")
    made.new, made.__getattr__ = 5, renamed_attributes("with_an_old_name", {"old": "new"})
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


def test_an_old_attribute_of_a_module_works(module):
    def imported():
        from with_an_old_name import old

        return old

    for use in (lambda: module.old, imported):
        result, told = warned(use)
        assert result == 5
        assert told == [
            (
                "with_an_old_name: the name 'old' is old and goes with the next release; write 'new'",
                __file__,
            )
        ]
    with pytest.raises(AttributeError, match="'with_an_old_name' has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_other_names_of_a_module_may_be_found_elsewhere():
    look_up = renamed_attributes("torch", {"old": "float32"}, otherwise=str.upper)
    assert look_up("other") == "OTHER"
    assert warned(lambda: look_up("old"))[0] is torch.float32


def test_a_function_can_warn_its_caller():
    def setting():
        warn_old("setting: this order", "by_level=")

    assert warned(setting)[1][0][1] == __file__

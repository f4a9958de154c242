"""The top of a category tree."""

from orchestration.predictive.category_tree import top_of, tops


def test_the_top_is_found_above_any_number_of_levels() -> None:
    assert tops([(1, 0), (11, 1), (111, 11), (1111, 111), (2, 0)]) == {11: 1, 111: 1, 1111: 1}


def test_a_parent_that_was_never_delivered_is_a_top() -> None:
    assert tops([(11, 1), (111, 11)]) == {11: 1, 111: 1}


def test_parents_in_a_circle_end_the_climb() -> None:
    assert tops([(1, 2), (2, 1), (3, 3)]) == {1: 2, 2: 1, 3: 3}


def test_without_a_tree_every_category_is_its_own_top() -> None:
    assert top_of("category_id", tops([(1, 0), (2, 0)])) == "category_id"

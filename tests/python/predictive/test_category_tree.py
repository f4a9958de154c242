"""The top of a category tree."""

import pytest

from orchestration.predictive.category_tree import top_of, tops


def test_the_top_is_found_above_any_number_of_levels() -> None:
    assert tops([(1, 0), (11, 1), (111, 11), (1111, 111), (2, 0)]) == {11: 1, 111: 1, 1111: 1}


def test_a_parent_that_was_never_delivered_is_a_top() -> None:
    assert tops([(11, 1), (111, 11)]) == {11: 1, 111: 1}


def test_parents_in_a_circle_end_the_climb() -> None:
    assert tops([(1, 2), (2, 1), (3, 3)]) == {1: 2, 2: 1, 3: 3}


def test_without_a_tree_every_category_is_its_own_top() -> None:
    assert top_of("category_id", tops([(1, 0), (2, 0)])) == "category_id"


def test_who_climbs_into_a_circle_ends_where_the_circle_does_from_there() -> None:
    assert tops([(5, 4), (4, 1), (1, 2), (2, 3), (3, 1), (6, 2)]) == {5: 3, 4: 3, 1: 3, 2: 1, 3: 2, 6: 1}


class Compared(int):
    """A number that counts how often it is compared."""

    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return super().__eq__(other)

    __hash__ = int.__hash__


@pytest.mark.parametrize("last", [0, 1], ids=["a chain", "a circle"])
def test_a_tree_as_deep_as_it_is_wide_is_climbed_once(last: int) -> None:
    ids = [Compared(number) for number in range(1, 301)]
    Compared.times = 0
    found = tops(zip(ids, [*ids[1:], Compared(last)], strict=True))
    assert Compared.times < 20 * len(ids)
    assert found == ({one: one - 1 or 300 for one in range(1, 301)} if last else dict.fromkeys(range(1, 300), 300))

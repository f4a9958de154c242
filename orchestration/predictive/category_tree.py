"""The top of the category tree above each category, however many levels there are in between."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from clickhouse_connect.driver.client import Client

from orchestration.predictive.cutoff import described
from orchestration.warehouse.settings import Settings

# Of a statement with `top_of`: it names every category below a top, and there may be more of them than a statement has room for.
ROOM = {"max_query_size": 1 << 26}


def read_tops(client: Client, settings: Settings, day: date) -> dict[int, int]:
    """Top of each category that has one above it, as known at the end of the day."""
    categories = described(settings, "categories", "category_id", ("parent_category_id",), day)
    rows = client.query(f"SELECT category_id, ifNull(parent_category_id, 0) FROM {categories}").result_rows
    return tops((category, above) for category, above in rows)


def tops(categories: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Top of each category that has one above it; categories: each with the one right above it, 0 for none.

    One that was named as a parent and never delivered is a top. In a circle the climb ends before a category comes again.
    """
    parent = {category: above for category, above in categories if above}
    found: dict[int, int] = {}
    for category in parent:
        path: dict[int, None] = {}
        at = category
        while at in parent and at not in found and at not in path:
            path[at] = None
            at = parent[at]
        if at in path:
            way = list(path)
            circle = way[way.index(at) :]
            found.update(zip(circle, [circle[-1], *circle[:-1]], strict=True))
        # All on the way to a circle end where the one does by which they enter it.
        top = found.get(at, at)
        found.update((one, top) for one in path if one not in found)
    return found


def top_of(category: str, tops: dict[int, int]) -> str:
    """SQL for the top of a category that is not null; the statement needs ROOM."""
    if not tops:
        return category
    return f"transform({category}, {list(tops)}, {list(tops.values())}, {category})"

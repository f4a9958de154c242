"""The reason card of one customer: why it is in its tier, and what would keep or change it, from the published snapshots.

The numbers are computed by the SQL of the mart tier_reasons (macros/reason_card.sql), so that both show the same.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from clickhouse_connect.driver.client import Client

from orchestration.errors import TierhouseError
from orchestration.macros import render
from orchestration.seeds import rows_in_force
from orchestration.warehouse.settings import Settings


def explain(client: Client, settings: Settings, customer_id: int, as_of: date | None = None) -> dict[str, Any]:
    """The columns of tier_reasons for one customer on a published day (default: the latest), with the rules and labels of that day.

    The rules stand under `rules`, by their names in published_builds; under `labels`, of each language, what the card says in place
    of names, by kind and name. Raises TierhouseError when nothing is published on the
    day, or the customer has no tier on it.
    """
    snapshots = settings.database("snapshots")
    rules = _rules(client, f"{snapshots}.published_builds", as_of)
    day, build_id = rules["as_of_date"], rules["build_id"]
    of_build = "as_of_date = {day:Date} AND build_id = {build_id:String}"
    tiers, features = f"{snapshots}.customer_tier_snapshots", f"{snapshots}.customer_feature_snapshots"
    labels = rows_in_force(f"{settings.database('seeds')}.labels", "{day:Date}")
    statement = (
        f"WITH day_rules AS (SELECT * FROM {snapshots}.published_builds WHERE {of_build}), "
        f"day_tiers AS (SELECT * FROM {tiers} WHERE {of_build}), "
        f"day_inputs AS ({render('reason_inputs', tiers, features, of_build)}) "
        f"SELECT * FROM {render('reason_cards', 'day_inputs', 'day_rules', labels, 'day_tiers')} WHERE customer_id = {{customer_id:UInt64}}"
    )
    answer = client.query(statement, parameters={"day": day, "build_id": build_id, "customer_id": customer_id})
    if not answer.result_rows:
        raise TierhouseError(_why_without_tier(client, settings, customer_id, day))
    card = dict(zip(answer.column_names, answer.result_rows[0], strict=True))
    found = client.query(f"SELECT kind, name, label, label_zh FROM {labels}", parameters={"day": day}).result_rows
    texts = {
        language: {(row[0], row[1]): row[place] for row in found if row[place]}
        for place, language in ((2, "en"), (3, "zh"))
    }
    return {**card, "rules": rules, "labels": texts}


def _rules(client: Client, published: str, as_of: date | None) -> dict[str, Any]:
    """The row of published_builds of the day."""
    if client.command(f"EXISTS TABLE {published}") != 1:
        raise TierhouseError("no day is published yet; run `tierhouse refresh` first")
    answer = client.query(
        f"SELECT * FROM {published} WHERE as_of_date = coalesce({{day:Nullable(Date)}}, (SELECT max(as_of_date) FROM {published}))",
        parameters={"day": as_of},
    )
    if not answer.result_rows:
        first, last, count = client.query(
            f"SELECT min(as_of_date), max(as_of_date), count() FROM {published}"
        ).result_rows[0]
        if not count:
            raise TierhouseError("no day is published yet; run `tierhouse refresh` first")
        raise TierhouseError(
            f"{as_of} is not published ({count} days from {first} to {last} are); run `tierhouse refresh --as-of {as_of}`"
        )
    rules = dict(zip(answer.column_names, answer.result_rows[0], strict=True))
    if not rules.get("ladder"):
        day = rules["as_of_date"]
        raise TierhouseError(
            f"{day} was published without its rules, by an earlier version; run `tierhouse refresh --as-of {day}`"
        )
    return rules


def _why_without_tier(client: Client, settings: Settings, customer_id: int, day: date) -> str:
    known = client.query(
        f"SELECT count() FROM {settings.database('facts')}.dim_customers WHERE customer_id = {{customer_id:UInt64}}",
        parameters={"customer_id": customer_id},
    ).result_rows[0][0]
    if known:
        return f"customer {customer_id} has no valid order up to {day}, and so no tier"
    return f"customer {customer_id} does not exist; `tierhouse sql` lists customers of {settings.database('marts')}.customer_tiers"

"""The reason card of one customer: why it is in its tier, and what would keep or change it, from the published snapshots.

The numbers are computed by the SQL of the mart tier_reasons (macros/reason_card.sql), so that both show the same.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from clickhouse_connect.driver.client import Client

from orchestration.errors import TierhouseError
from orchestration.macros import render
from orchestration.refresh import business_days
from orchestration.seeds import rows_in_force
from orchestration.warehouse.settings import Settings


def explain(client: Client, settings: Settings, customer_id: int, as_of: date | None = None) -> dict[str, Any]:
    """The columns of tier_reasons for one customer on a published day (default: the latest), with the rules and labels of that day.

    The rules stand under `rules`, by their names in published_builds; under `labels`, of each language, what the card says in place
    of names, by kind and name. Raises TierhouseError when nothing is published on the
    day, or the customer has no tier on it.
    """
    snapshots = settings.database("snapshots")
    rules = _rules(client, settings, as_of)
    day, build_id = rules["as_of_date"], rules["build_id"]
    of_build = "as_of_date = {day:Date} AND build_id = {build_id:String}"
    tiers, features = f"{snapshots}.customer_tier_snapshots", f"{snapshots}.customer_feature_snapshots"
    if client.command(f"EXISTS TABLE {settings.database('seeds')}.labels") != 1:
        raise TierhouseError("an earlier version refreshed the warehouse last; run `tierhouse refresh`")
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


def customer_list(settings: Settings) -> str:
    """The command that lists the customers that can be explained."""
    return f'`tierhouse sql "select customer_id, customer_name from {settings.database("marts")}.customer_tiers"`'


def _rules(client: Client, settings: Settings, as_of: date | None) -> dict[str, Any]:
    """The row of published_builds of the day."""
    published = f"{settings.database('snapshots')}.published_builds"
    if client.command(f"EXISTS TABLE {published}") != 1:
        raise TierhouseError("no day is published yet; run `tierhouse refresh` first")
    answer = client.query(
        f"SELECT * FROM {published} WHERE as_of_date = coalesce({{day:Nullable(Date)}}, (SELECT max(as_of_date) FROM {published}))",
        parameters={"day": as_of},
    )
    if not answer.result_rows:
        days = [row[0] for row in client.query(f"SELECT as_of_date FROM {published} ORDER BY as_of_date").result_rows]
        if as_of is None or not days:
            raise TierhouseError("no day is published yet; run `tierhouse refresh` first")
        raise TierhouseError(why_not_published(as_of, days, *business_days(client, settings)))
    rules = dict(zip(answer.column_names, answer.result_rows[0], strict=True))
    if not rules.get("ladder"):
        day = rules["as_of_date"]
        raise TierhouseError(
            f"{day} was published without its rules, by an earlier version; run `tierhouse refresh --as-of {day}`"
        )
    return rules


def why_not_published(day: date, published: list[date], first: date, last: date) -> str:
    """What is published instead of a day, and what to do. published: not empty. first, last: business days of the orders."""
    nearest = min(published, key=lambda one: abs(one - day))
    if len(published) <= 3:
        found = f"{' and '.join(map(str, published))} {'is' if len(published) == 1 else 'are'}"
    else:
        found = f"{len(published)} days from {published[0]} to {published[-1]} are, the nearest is {nearest}"
    advice = f"run `tierhouse refresh --as-of {day}`, or take --as-of {nearest}"
    if day < first:
        advice = f"there is no order before {first}: take --as-of {nearest}"
    if day > last:
        advice = f"there is no order after {last}: land newer ones, or take --as-of {nearest}"
    return f"{day} is not published ({found}); {advice}"


def _why_without_tier(client: Client, settings: Settings, customer_id: int, day: date) -> str:
    known = client.query(
        f"SELECT count() FROM {settings.database('facts')}.dim_customers WHERE customer_id = {{customer_id:UInt64}}",
        parameters={"customer_id": customer_id},
    ).result_rows[0][0]
    if known:
        return f"customer {customer_id} has no valid order up to {day}, and so no tier"
    return f"customer {customer_id} does not exist; {customer_list(settings)} lists those who have a tier"

"""`tierhouse simulate` alone: one day, and 52 weeks, of 200,000 customers, for proposals that touch more and more.

    python -m benchmarks.simulate [CUSTOMERS]

Measures of the base come from a hash, drift from week to week, and are laid out as the marts are; their tiers are those of the
shipped seeds. Wall time is what a person waits; CPU is what the server and this process used, which a busy machine does not
stretch.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from clickhouse_connect.driver.client import Client

from orchestration.simulation import queries
from orchestration.simulation.proposal import CONFIGURATION, proposed_seeds, version_on
from orchestration.simulation.queries import Part, Reuse, Variant
from orchestration.simulation.report import as_text, movers
from orchestration.simulation.rules import config_version_sql, relation, rules_on
from orchestration.simulation.run import Simulator
from orchestration.warehouse.client import connect, ensure_running, running_server
from orchestration.warehouse.settings import Settings

LAST = date(2026, 3, 30)
DAYS = [LAST - timedelta(days=7 * back) for back in range(51, -1, -1)]
PROPOSALS: dict[str, list[str]] = {
    "nothing": [],
    "policy: confirm_down_decisions": ["confirm_down_decisions=4"],
    "thresholds and required_criteria": ["gold.minimum_orders_per_month=6", "required_criteria=3"],
    "gates": ["overdue_days.threshold=5"],
    "weights of a score that decides": ["candidate_rule=score", "f_weight=0.30", "r_weight=0.25"],
    "all anew: midrank within regions": [
        "candidate_rule=score",
        "model.normalisation=midrank",
        "percentile_scope=region",
    ],
}

# A customer has a level that it keeps and a share of it that it does not; both are functions of hashes.
_MEASURES = """
SELECT toDate('{first}') + 7 * week AS as_of_date, 'build' AS build_id, toUInt64(customer_id) AS customer_id,
    concat('customer ', toString(customer_id)) AS customer_name,
    toLowCardinality(concat('region ', toString(customer_id % 8))) AS region_code,
    toUInt64(1 + customer_id % 400) AS account_manager_id,
    toLowCardinality(if(cityHash64(customer_id, 1) % 100 = 0, 'blocked', 'active')) AS customer_status,
    toDate('{first}') - 10 - cityHash64(customer_id, 2) % 900 AS first_order_date,
    cityHash64(customer_id, 3) % 1000 / 1000 AS level,
    cityHash64(customer_id, week, 4) % 1000 / 1000 AS noise,
    toUInt32(if(
        level < 0.15, 40 + cityHash64(customer_id, 5) % 200,
        cityHash64(customer_id, week, 6) % (2 + toUInt32(30 * (1 - level)))
    )) AS days_since_last_order,
    toUInt32(round(22 * level * level * (0.7 + 0.6 * noise))) AS orders_per_month,
    toUInt32(orders_per_month * 3 + cityHash64(customer_id, week, 7) % 3) AS order_count,
    if(
        order_count = 0, null,
        toNullable(round(300 + 7000 * pow(cityHash64(customer_id, 8) % 1000 / 1000, 2) * (0.8 + 0.4 * noise), 2))
    ) AS average_order_value,
    toDecimal64(ifNull(average_order_value, 0) * order_count, 2) AS net_amount_90d,
    toDecimal64(1000 * pow(cityHash64(customer_id, 9) % 100000 / 10000, 1.5) * (1 + week / 60), 2) AS lifetime_value,
    if(cityHash64(customer_id, 10) % 20 = 0, null, toNullable(cityHash64(customer_id, week, 11) % 1000 / 1000)) AS headroom_share,
    if(cityHash64(customer_id, 12) % 3 = 0, null, toNullable(cityHash64(customer_id, week, 13) % 1000 / 1000)) AS growth_share,
    toNullable(0.1) AS new_product_acceptance_180d,
    headroom_share AS headroom_by_size_share, growth_share AS growth_slope_share, growth_share AS expected_growth_share,
    new_product_acceptance_180d AS new_product_acceptance_fitted_180d, toNullable(toUInt8(1)) AS potential_version,
    cityHash64(customer_id, intDiv(week, 4), 14) % 12 = 0 AS is_late,
    if(customer_id % 3 = 0, toNullable(toUInt32(if(is_late, cityHash64(customer_id, 15) % 80, 0))), null) AS overdue_days_max,
    if(customer_id % 3 = 0, toNullable(toDecimal64(overdue_days_max * 100, 2)), null) AS overdue_amount,
    toNullable(toUInt32(cityHash64(customer_id, week, 16) % 4)) AS complaint_count_90d,
    toNullable(toUInt8(cityHash64(customer_id, 17) % 200 = 0)) AS has_risk_flag,
    toUInt8(0) AS cap_rank, toUInt8(if(cityHash64(customer_id, intDiv(week, 9), 18) % 200 = 0, 1, 0)) AS override_rank,
    0. AS lifetime_value_top_share, 0. AS score_top_share, 0. AS r_score, 0. AS f_score, 0. AS m_score, toNullable(0.) AS p_score
FROM (SELECT number + 1 AS customer_id FROM numbers({customers})) AS customers
CROSS JOIN (SELECT number AS week FROM numbers({weeks})) AS weeks
"""


def main() -> None:
    """Make the base, simulate each proposal for one day and for 52 weeks, print wall and CPU seconds."""
    customers = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    home = Path(tempfile.mkdtemp(prefix="tierhouse-simulate-"))
    os.environ["TIERHOUSE_HOME"] = str(home / "home")
    os.environ["TIERHOUSE_PORT"] = os.environ.get("TIERHOUSE_BENCH_PORT", "18398")
    settings = ensure_running(Settings.from_environment())
    client = connect(settings, autogenerate_session_id=False)
    server = running_server(settings.home)
    assert server is not None
    try:
        started = time.monotonic()
        make_base(client, settings, customers)
        print(
            f"{customers:,} customers, {len(DAYS)} weekly days made in {time.monotonic() - started:.0f} s", flush=True
        )
        print(f"{'proposal':36} {'day: wall':>10} {'CPU':>6} {'52 weeks: wall':>15} {'CPU':>6} {'moved':>8}")
        for name, assignments in PROPOSALS.items():
            line = f"{name:36}"
            for weeks in (0, 52):
                began, used = time.monotonic(), _cpu(server.pid)
                simulator = Simulator(client, settings, proposed_seeds(None, assignments, LAST))
                result = simulator.run(weeks)
                as_text(result, movers(result, simulator, 10), [])
                moved = int((result.outcomes[-1].current != result.outcomes[-1].proposed).sum())
                wall, cpu = time.monotonic() - began, _cpu(server.pid) - used
                line += f" {wall:{10 if not weeks else 15}.2f} {cpu:6.2f}"
            print(f"{line} {moved:8,}", flush=True)
        print(f"largest size of the server {_peak_gib(server.pid):.1f} GiB")
    finally:
        os.kill(server.pid, 15)
        time.sleep(2)
        shutil.rmtree(home, ignore_errors=True)


def make_base(client: Client, settings: Settings, customers: int) -> None:
    """The marts that a simulation reads, as 52 weekly refreshes with the shipped seeds would have left them."""
    seeds = proposed_seeds(None, [], LAST)
    rules = rules_on(seeds, LAST)
    assert rules is not None
    for layer in ("seeds", "snapshots", "tiers", "marts", "raw_marts"):
        client.command(f"CREATE DATABASE {settings.database(layer)}")
    for name in CONFIGURATION:
        client.command(
            f"CREATE TABLE {settings.database('seeds')}.{name} ENGINE = MergeTree ORDER BY tuple() AS "
            f"SELECT * FROM {relation(name, version_on(seeds, name, LAST))}"
        )
    # First the measures alone, seen through marts of another prefix, from which the machine's inputs and states follow.
    raw = replace(settings, prefix=f"{settings.prefix}_raw")
    measures = f"{raw.database('marts')}.customer_tier_history"
    text = _MEASURES.format(first=DAYS[0], customers=customers, weeks=len(DAYS))
    partitions = "SETTINGS max_partitions_per_insert_block = 0"
    layout = "ENGINE = MergeTree PARTITION BY (as_of_date, build_id) ORDER BY customer_id"
    client.command(
        f"CREATE TABLE {measures} {layout} AS SELECT * EXCEPT (level, noise, is_late) FROM ({text}) {partitions}"
    )
    client.command(f"CREATE VIEW {raw.database('marts')}.customer_features AS SELECT * FROM {measures}")
    variant = Variant("standards", rules, Reuse(overrides=True))
    snapshots, states = (
        f"{settings.database('snapshots')}.customer_tier_snapshots",
        f"{settings.database('tiers')}.customer_tier_states",
    )
    inputs = f"{settings.database('tiers')}.inputs"
    for number, day in enumerate(DAYS):
        verb = (
            f"CREATE TABLE {inputs} {layout.replace('(as_of_date, build_id)', 'as_of_date')} AS"
            if not number
            else f"INSERT INTO {inputs}"
        )
        scored = queries.inputs(raw, variant, [day], with_scores=True)
        client.command(f"{verb} SELECT * FROM ({scored})", settings={"join_use_nulls": 0})
    history = queries.replayed(raw, [(variant, f"SELECT * FROM {inputs}")], DAYS, None, Part())
    client.command(
        f"CREATE TABLE {states} {layout.replace('(as_of_date, build_id)', 'as_of_date')} AS "
        f"SELECT * EXCEPT (standing, treatment) FROM {history}",
        settings={"join_use_nulls": 0, "max_partitions_per_insert_block": 0},
    )
    tiers = "[" + ", ".join(queries.literal(tier) for tier in rules.tiers) + "]"
    version = config_version_sql(seeds, LAST)
    derived = ("cap_rank", "lifetime_value_top_share", "score_top_share", *(f"{name}_score" for name in "rfmp"))
    for number, day in enumerate(DAYS):
        verb = f"CREATE TABLE {snapshots} {layout} AS" if not number else f"INSERT INTO {snapshots}"
        where = f"as_of_date = toDate('{day}')"
        client.command(
            f"{verb} WITH {version} AS version SELECT * EXCEPT (customer), version AS config_version "
            f"FROM (SELECT * EXCEPT ({', '.join(derived)}) FROM {measures} WHERE {where}) AS measures "
            f"INNER JOIN (SELECT customer_id AS customer, {', '.join(derived)} FROM {inputs} WHERE {where}) AS inputs "
            "ON measures.customer_id = inputs.customer "
            f"INNER JOIN (SELECT customer_id AS customer, tier_rank, candidate_rank, {tiers}[tier_rank] AS tier "
            f"FROM {states} WHERE {where}) AS states ON measures.customer_id = states.customer",
            settings={"join_use_nulls": 0},
        )
    marts, published = settings.database("marts"), f"{settings.database('snapshots')}.published_builds"
    client.command(
        f"CREATE TABLE {published} ENGINE = MergeTree ORDER BY as_of_date AS SELECT DISTINCT as_of_date, build_id FROM {snapshots}"
    )
    for name in ("customer_tier_history", "customer_features"):
        client.command(
            f"CREATE VIEW {marts}.{name} AS SELECT * EXCEPT (build_id) FROM {snapshots} "
            f"WHERE (as_of_date, build_id) IN (SELECT as_of_date, build_id FROM {published})"
        )
    client.command(f"CREATE VIEW {marts}.policy_tiers AS SELECT * FROM {states}")
    client.command(
        f"CREATE VIEW {marts}.tier_value_contribution AS SELECT as_of_date, tier, tier_rank "
        f"FROM {settings.database('seeds')}.tier_standards CROSS JOIN (SELECT as_of_date FROM {published}) AS days"
    )


def _cpu(server: int) -> float:
    """CPU seconds of the server and of this process so far."""
    fields = Path(f"/proc/{server}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    own = resource.getrusage(resource.RUSAGE_SELF)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + own.ru_utime + own.ru_stime


def _peak_gib(server: int) -> float:
    line = next(
        one
        for one in Path(f"/proc/{server}/status").read_text(encoding="utf-8").splitlines()
        if one.startswith("VmHWM")
    )
    return int(line.split()[1]) / 2**20


if __name__ == "__main__":
    main()

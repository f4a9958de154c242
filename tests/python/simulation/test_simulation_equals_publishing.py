"""A simulation against what a warehouse makes of the same seeds: today's rows after publishing them, and the stored past."""

import csv
import json
import os
import shutil
import signal
import socket
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from orchestration import dbt
from orchestration.cli import main
from orchestration.errors import TierhouseError
from orchestration.landing.generator import land_demo
from orchestration.predictive import store_potential, threshold_review
from orchestration.project import PROJECT_DIR
from orchestration.reviews import review_thresholds
from orchestration.simulation import proposal, queries, run
from orchestration.simulation.proposal import proposed_seeds
from orchestration.simulation.queries import Part, Reuse, Variant
from orchestration.simulation.run import Simulator
from orchestration.warehouse.client import connect, ensure_running, running_server
from orchestration.warehouse.settings import Settings

LAST = date(2026, 3, 30)
DAYS = [LAST - timedelta(days=days) for days in (14, 7, 0)]
READER = ("analyst", "may only read")
_STATE = "customer_id, as_of_date, tier_rank, tier_since_date, earned_rank, up_count, down_count, decision, reason_code"


class Shop:
    """A warehouse with three stored Mondays, and a copy of the project whose seeds may be changed.

    From the second Monday on the second version of potential serves.
    """

    def __init__(self, settings: Settings, project: Path) -> None:
        self.settings, self.project = settings, project
        self.client: Client = connect(settings)

    def build(self, day: date, *selection: str) -> None:
        """`dbt build` of the copied project without tests."""
        exclude = ["--exclude", "resource_type:test", "resource_type:unit_test"]
        list(dbt.build(self.settings, str(uuid.uuid4()), day.isoformat(), ["--select", *selection, *exclude]))

    def publish(self, day: date, *first: str) -> None:
        """Publish a day as a refresh does; `first` names what is built before potential."""
        if first:
            self.build(day, *first)
        store_potential.refresh_potential(self.client, self.settings, day.isoformat())
        parts = ("tier_distribution", "tier_value_contribution", "tier_benefit", "tier_migration")
        snapshots = [f"{part}_snapshots" for part in ("customer_feature", "customer_tier", *parts)]
        self.build(day, "fqn:tierhouse.scoring", "fqn:tierhouse.tiers", *snapshots, "published_builds")

    def simulator(self, directory: Path | None, assignments: Sequence[str] = (), **options: str) -> Simulator:
        seeds = proposed_seeds(directory or self.project / "seeds", assignments, LAST, **options)  # type: ignore[arg-type]
        return Simulator(self.client, self.settings, seeds)

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in self.client.query(statement, settings=dict(queries.ENGINE_SETTINGS)).result_rows]

    def stored(self, policy: str, days: Sequence[date]) -> list[tuple[object, ...]]:
        """Stored states of a policy."""
        return self.rows(
            f"SELECT {_STATE} FROM tierhouse_marts.policy_tiers WHERE policy = '{policy}' "
            f"AND as_of_date IN ({queries.days_list(days)}) ORDER BY customer_id, as_of_date"
        )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    home = tmp_path_factory.mktemp("simulation")
    project = home / "project"
    for folder in ("models", "macros", "seeds"):
        shutil.copytree(PROJECT_DIR / folder, project / folder)
    shutil.copytree(PROJECT_DIR / "tests" / "dbt" / "generic", project / "tests" / "dbt" / "generic")
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(PROJECT_DIR / name, project / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIERHOUSE_READER_USER", READER[0])
        patch.setenv("TIERHOUSE_READER_PASSWORD", READER[1])
        settings = ensure_running(
            Settings.from_environment({"TIERHOUSE_HOME": str(home / "home"), "TIERHOUSE_PORT": str(port)})
        )
        for name, value in settings.environment().items():
            patch.setenv(name, value)
        patch.setattr(dbt, "PROJECT_DIR", project)
        running = running_server(settings.home)
        made = Shop(settings, project)
        land_demo(made.client, settings, customers=260, days=130, seed=3, last_date=LAST)
        # Colliding overrides, one without an end, and one for a tier that the ladder does not have.
        made.client.command(
            "INSERT INTO tierhouse_landing.manager_inputs (input_id, customer_id, manager_id, input_type, value, reason, "
            "valid_from, valid_to, entered_at, updated_at, _loaded_at, _batch_id) "
            f"SELECT 900000 + n, 1 + n % 12, 1, 'tier_override', ['diamond', 'gold', 'platinum', 'bronze'][1 + n % 4], 'promised', "
            f"toDate('{LAST}') - 60 + n, if(n % 3 = 0, NULL, toDate('{LAST}') + n - 15), "
            f"toDateTime64('{LAST} 00:00:00', 3, 'UTC') - INTERVAL 40 - n DAY, "
            f"toDateTime64('{LAST} 00:00:00', 3, 'UTC') - INTERVAL 40 - n DAY, now64(3), 'by hand' "
            "FROM (SELECT toInt32(number) AS n FROM numbers(30))"
        )
        made.build(DAYS[-1], "resource_type:seed", "fqn:tierhouse.staging", "fqn:tierhouse.facts")
        made.client.command(
            "INSERT INTO tierhouse_predictive.promotions (evaluated_on, model, served_model, verdict) "
            f"SELECT toDate('{DAYS[1]}'), 'potential', 'potential', 'promoted'"
        )
        for day in DAYS:
            made.publish(day, "dim_customers", "dim_products", "fqn:tierhouse.features")
        marts = (
            "customer_tiers",
            "customer_tier_history",
            "customer_features",
            "policy_tiers",
            "tier_value_contribution",
        )
        made.build(DAYS[-1], *marts)
        yield made
        if running:
            os.kill(running.pid, signal.SIGTERM)


@pytest.fixture
def with_seeds(shop: Shop, tmp_path: Path) -> Iterator[Callable[[dict[str, list[tuple[str, str]]]], Path]]:
    """Writes a folder with changed seeds; the seeds of the shop are as before when the test ends."""

    def write(edits: dict[str, list[tuple[str, str]]]) -> Path:
        folder = tmp_path / "proposed"
        shutil.copytree(shop.project / "seeds", folder, ignore=shutil.ignore_patterns("*.yml"))
        for name, replacements in edits.items():
            path = folder / f"{name}.csv"
            text = path.read_text(encoding="utf-8")
            for old, new in replacements:
                assert text.count(old) == 1, old
                text = text.replace(old, new)
            path.write_text(text, encoding="utf-8")
        return folder

    yield write
    for path in (PROJECT_DIR / "seeds").glob("*.csv"):
        shutil.copy(path, shop.project / "seeds" / path.name)


# Reviews come first: tests further down publish the last day under other rules.
def test_a_review_proposes_rows_that_do_what_it_says_and_changes_nothing(shop: Shop, tmp_path: Path) -> None:
    before = shop.rows("SELECT * FROM tierhouse_seeds.tier_standards ORDER BY ALL")
    reviewed = review_thresholds(shop.client, shop.settings, LAST)

    rows = shop.client.query_df(
        "SELECT * FROM tierhouse_predictive.threshold_review WHERE as_of_date = {day:Date} ORDER BY tier_rank, criterion",
        parameters={"day": LAST},
    )
    assert len(rows) == 4 * len(reviewed.reviews) == 16
    tiers = rows.groupby("tier_rank").first()
    held = shop.rows(
        f"SELECT tier_rank, count() FROM tierhouse_marts.customer_tier_history WHERE as_of_date = '{LAST}' GROUP BY 1 ORDER BY 1"
    )
    assert [(rank, tiers.loc[rank, "customer_count"]) for rank, _ in held] == held
    assert set(tiers["week_count"]) == {3} and tiers["past_simulated_customer_count"].sum() > 200
    assert (tiers["quota_share"].to_numpy() == [0.1, 0.3, 0.7, 1.0]).all()
    assert "propose" in set(tiers["verdict"])

    # Published, the rows are the seed of the next quarter; the simulation of that seed is what the review shows.
    seeds = tmp_path / "seeds"
    shutil.copytree(PROJECT_DIR / "seeds", seeds, ignore=shutil.ignore_patterns("*.yml"))
    with (seeds / "tier_standards.csv").open("a", encoding="utf-8") as file:
        file.write("".join(f"{row}\n" for row in reviewed.seed_rows))
    quarter = date(2026, 4, 1)
    simulator = Simulator(shop.client, shop.settings, proposed_seeds(seeds, [], quarter), LAST, quarter)
    proposed = simulator.run().outcomes[0].proposed
    for rank, tier in tiers.iterrows():
        assert tier["simulated_customer_count"] == (proposed == rank).sum()
        moved_in = tier["simulated_customer_count"] - tier["simulated_in_count"]
        assert moved_in == tier["customer_count"] - tier["simulated_out_count"]
    assert shop.rows("SELECT * FROM tierhouse_seeds.tier_standards ORDER BY ALL") == before


def test_a_review_reads_the_seeds_of_the_warehouse_alone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = review_thresholds(shop.client, shop.settings, LAST)
    # The files of the project may be of tomorrow, or broken: they are in the warehouse after the next refresh.
    for module in (proposal, run):
        monkeypatch.setattr(module, "PROJECT_DIR", tmp_path)
    reviewed = review_thresholds(shop.client, shop.settings, LAST)
    assert reviewed.seed_rows == expected.seed_rows != []
    assert reviewed.simulation is not None and expected.simulation is not None
    for outcome, before in zip(reviewed.simulation.outcomes, expected.simulation.outcomes, strict=True):
        assert (outcome.proposed == before.proposed).all()


def test_a_review_of_too_few_customers_says_so_and_proposes_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threshold_review, "FEWEST_CUSTOMERS", 10_000)
    reviewed = review_thresholds(shop.client, shop.settings, LAST)
    assert (reviewed.seed_rows, reviewed.simulation) == ([], None)
    stored = shop.rows(
        "SELECT DISTINCT verdict, proposed_seed_row, week_count, note, threshold = proposed_threshold, "
        "customer_count = simulated_customer_count FROM tierhouse_predictive.threshold_review"
    )
    assert stored == [("too_little_data", "", 0, "too few customers to tell where to cut", 1, 1)]


@pytest.mark.parametrize("policy", ["standards", "score"])
@pytest.mark.parametrize("weeks", [52, 2])
def test_unchanged_seeds_reproduce_the_stored_history(shop: Shop, policy: str, weeks: int) -> None:
    simulator = shop.simulator(None, policy=policy)
    days = simulator.counted_days(weeks)
    assert days == DAYS[-weeks:]
    states = shop.rows(f"SELECT {_STATE} FROM {simulator.past_states(days)} ORDER BY customer_id, as_of_date")
    assert len(states) > 200 * len(days)
    assert states == shop.stored(policy, days)


def test_each_version_of_potential_serves_some_of_the_stored_days(shop: Shop) -> None:
    served = shop.rows(
        "SELECT as_of_date, max(potential_version), min(potential_version), "
        "countIf(potential_index != potential_index_v2) "
        f"FROM tierhouse_snapshots.customer_feature_snapshots WHERE as_of_date IN ({queries.days_list(DAYS)}) "
        "GROUP BY as_of_date ORDER BY as_of_date"
    )
    assert [row[:3] for row in served] == [(DAYS[0], 1, 1), (DAYS[1], 2, 2), (DAYS[2], 2, 2)]
    assert served[0][3] > 100 and served[1][3] == served[2][3] == 0


def test_the_whole_answer_is_quiet_when_nothing_is_proposed(shop: Shop) -> None:
    result = shop.simulator(None).run(52)
    assert [outcome.horizon for outcome in result.outcomes] == ["today", "3 weeks"]
    for outcome in result.outcomes:
        assert (outcome.current == outcome.proposed).all()
        assert outcome.current.min() > 0
    current, proposed = ({**row, "variant": ""} for row in result.stability)
    assert current == proposed
    assert result.notes == []


def test_what_is_computed_anew_is_what_was_stored(shop: Shop) -> None:
    simulator = shop.simulator(None)
    both = []
    for reuse in (Reuse(), Reuse(True, True, True, True, True)):
        inputs = queries.inputs(shop.settings, Variant("v", simulator.proposed, reuse), DAYS, with_scores=True)
        rows = shop.rows(f"SELECT * FROM ({inputs}) ORDER BY customer_id, as_of_date")
        both.append(rows)
    assert len(both[0]) > 600
    assert both[0] == both[1]


def test_parts_of_the_customers_add_up_to_the_whole(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = ["gold.minimum_orders_per_month=5", "percentile_scope=region"]
    whole = shop.simulator(None, changes).run(52)
    monkeypatch.setattr("orchestration.simulation.run._DECISIONS_AT_ONCE", 200)
    parts = shop.simulator(None, changes).run(52)
    assert whole.stability == parts.stability
    assert (whole.outcomes[1].proposed == parts.outcomes[1].proposed).all()


def test_a_user_who_may_only_read_the_marts_can_simulate(shop: Shop) -> None:
    reader = replace(shop.settings, user=READER[0], password=READER[1])
    client = connect(reader)
    with pytest.raises(ClickHouseError):
        client.command("CREATE TEMPORARY TABLE t (n UInt8)")
    seeds = proposed_seeds(None, ["gold.minimum_orders_per_month=5"], LAST)
    result = Simulator(client, reader, seeds).run(52)
    same = Simulator(shop.client, shop.settings, seeds).run(52)
    assert result.stability == same.stability
    assert (result.outcomes[0].proposed == same.outcomes[0].proposed).all()
    entries = proposed_seeds(None, ["override_days_without_end=20"], LAST)
    with pytest.raises(TierhouseError, match=r"needs the grant SELECT ON tierhouse_facts\.fct_manager_inputs"):
        Simulator(client, reader, entries).run(0)


CASES = {
    "weights of a score that decides": (
        [
            "r_weight=0.15",
            "f_weight=0.4",
            "headroom_weight=0.2",
            "acceptance_weight=0.45",
            "model.monetary_input=net_amount",
        ],
        "score",
        {
            "score_weights": [(",r,0.30", ",r,0.15"), (",f,0.25", ",f,0.4")],
            "potential_weights": [("headroom,0.40", "headroom,0.2"), ("acceptance,0.25", "acceptance,0.45")],
            "scoring_models": [
                ("ratio_to_max,ratio_to_max,average_order_value", "ratio_to_max,ratio_to_max,net_amount")
            ],
            "tier_policy": [("standards,1,standards", "standards,0,standards"), ("score,0,score", "score,1,score")],
        },
    ),
    "thresholds and gates": (
        [
            "gold.minimum_orders_per_month=5",
            "diamond.minimum_average_order_value=3000",
            "silver.maximum_lifetime_value_top_share=0.6",
            "overdue_days.threshold=3",
            "f_weight=0.2",
            "m_weight=0.35",
        ],
        None,
        {
            "tier_standards": [("黄金,8,", "黄金,5,"), ("钻石,15,5000", "钻石,15,3000"), ("3,800,0.70", "3,800,0.6")],
            "tier_gates": [("overdue_days,overdue_days_max,15", "overdue_days,overdue_days_max,3")],
            "score_weights": [(",f,0.25", ",f,0.2"), (",m,0.30", ",m,0.35")],
        },
    ),
    "policy": (
        [
            "required_criteria=3",
            "percentile_scope=region",
            "criteria_band=0.05",
            "confirm_down_decisions=1",
            "minimum_dwell_days=0",
            "grace_days_after_upgrade=0",
            "lapsed_after_days=20",
            "override_days_without_end=20",
            "model.normalisation=midrank",
        ],
        None,
        {
            "tier_policy": [
                (
                    "standards,1,standards,ratio_to_max,2,base,0.10,1,3,1,56,56,1,30,protect,90,lowest,freeze,90",
                    "standards,1,standards,ratio_to_max,3,region,0.05,1,1,1,0,0,1,30,protect,20,lowest,freeze,20",
                )
            ],
            "scoring_models": [("ratio_to_max,ratio_to_max,average", "ratio_to_max,midrank,average")],
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_publishing_the_simulated_seeds_gives_the_simulated_rows(
    shop: Shop, with_seeds: Callable[[dict[str, list[tuple[str, str]]]], Path], case: str
) -> None:
    assignments, policy, edits = CASES[case]
    folder = with_seeds(edits)
    columns, simulated = shop.simulator(folder).customers()
    options = {"policy": policy} if policy else {}
    assert shop.simulator(None, assignments, **options).customers() == (columns, simulated)
    before = shop.rows(f"SELECT {', '.join(columns)} FROM tierhouse_marts.customer_tiers ORDER BY customer_id")

    for path in folder.iterdir():
        shutil.copy(path, shop.project / "seeds" / path.name)
    shop.publish(LAST, "resource_type:seed")

    published = shop.rows(f"SELECT {', '.join(columns)} FROM tierhouse_marts.customer_tiers ORDER BY customer_id")
    assert published == simulated
    tier = columns.index("tier")
    assert sum(one[tier] != other[tier] for one, other in zip(before, published, strict=True)) > 3


def test_the_command_prints_tables_and_writes_nothing(shop: Shop, tmp_path: Path) -> None:
    parts = (
        "SELECT database, table, name, rows FROM system.parts WHERE active AND database LIKE 'tierhouse%' ORDER BY ALL"
    )
    before = shop.rows(parts)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(main, ["simulate", "--set", "gold.minimum_orders_per_month=5", *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    text = run("--movers", "3", "--weeks", "0")
    assert "gold.minimum_orders_per_month 8 -> 5" in text
    answer = json.loads(run("--format", "json", "--movers", "3"))
    assert set(answer) >= {"migration", "tiers", "stability", "movers", "changes"}
    for horizon in ("today", "3 weeks"):
        moves = [row for row in answer["migration"] if row["horizon"] == horizon]
        assert sum(row["customer_count"] for row in moves) == sum(
            row["customer_count"]
            for row in answer["tiers"]
            if row["horizon"] == horizon and row["variant"] == "proposed"
        )
        assert any(row["from_tier"] == "silver" and row["to_tier"] == "gold" for row in moves)
        assert len([row for row in answer["movers"] if row["horizon"] == horizon]) == 3
    for row in answer["tiers"]:
        assert row["discount_cost_90d"] == pytest.approx(row["net_amount_90d"] * row["discount_rate"], abs=0.01)
    rows = list(csv.DictReader(run("--format", "csv", "--table", "customers").splitlines()))
    assert len(rows) > 200 and {"customer_id", "tier", "decision", "total_score"} <= set(rows[0])
    assert shop.rows(parts) == before


def test_a_part_holds_each_customer_once(shop: Shop) -> None:
    held = [
        shop.rows(
            f"SELECT customer_id FROM (SELECT arrayJoin(range(1, 500)) AS customer_id) WHERE {Part(n, 3).holds()}"
        )
        for n in range(3)
    ]
    assert sorted(row[0] for part in held for row in part) == list(range(1, 500))

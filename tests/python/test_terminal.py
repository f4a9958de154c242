"""What commands print fits 80 columns with every number whole, and is plain text wherever it goes."""

import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client
from rich.cells import cell_len

from orchestration import tables
from orchestration.cli import main
from orchestration.errors import TierhouseError
from orchestration.landing.report import LandingReport, TableReport
from orchestration.project import PROJECT_DIR
from orchestration.quality.seeds import SEEDS, read_seed
from orchestration.simulation.report import as_text, movers, tiers
from orchestration.simulation.rules import rules_on
from orchestration.simulation.run import LIKE_WITH_LIKE, NO_PAST, Base, Outcome, Simulation
from orchestration.terminal import command, empty_table, plain_text, printable, width
from orchestration.warehouse.settings import Settings

DAY = date(2026, 11, 28)
TIERS = ["diamond", "gold", "silver", "bronze"]
LABELS = ["diamond 钻石", "gold 黄金", "silver 白银", "bronze 青铜"]
VERDICTS = {
    "en": "The second version of potential cannot be judged: too little data (0 cut days, fewer than 2); it goes on.",
    "zh": "第二版潜力指数无法评估：数据不足（0个截止日，少于2个；2026-09-30：没有模型）；未经评估，暂继续使用第一版潜力指数。",
}
SETTINGS = Settings.from_environment()


def answering(*answers: list[tuple[Any, ...]]) -> Client:
    """A client whose queries have these answers, one after the other."""
    left = iter(answers)
    return cast(Client, SimpleNamespace(query=lambda *_, **__: SimpleNamespace(result_rows=next(left))))


def landing() -> str:
    parts = [TableReport("campaign_events", [], 20_000_000, 19_999_999, 19_999_999, 19_999_999)]
    return tables.landing_table(LandingReport("batch", datetime(2026, 1, 1, tzinfo=UTC), "landed", parts))


def tier_table() -> str:
    rows = [(label, 200_000, 1.0, Decimal("9876543210.00"), 1.0, 1.0, 12_345, 12_345) for label in LABELS]
    return tables.tier_table(answering(rows), SETTINGS, DAY)


def hint() -> str:
    return tables.standards_hint(answering([("diamond 钻石", 0.1, 0.4567)]), SETTINGS, DAY) or ""


def recommendations(language: str = "en") -> str:
    rows = [("co_occurrence", "too_few_customers", 1.0, 1.0, 1.0, 1.0, "list, new places")] * 6
    return tables.recommendation_table(answering(rows, [(2_000_000, 200_000)]), SETTINGS, DAY, language)


def forecast(language: str = "en") -> str:
    numbers = (98_765_432.1, 87_654_321.1, 99_876_543.1, 10.12, 10.34, 0.876)
    rows = [
        ("total", "total", "seasonal_naive", *numbers, "total"),
        ("region", "新疆维吾尔自治区 乌鲁木齐", "recent_mean", *numbers, "新疆维吾尔自治区 乌鲁木齐"),
        ("tier", "diamond 钻石", "recent_mean", *numbers, "diamond"),
    ]
    return tables.forecast_table(answering(rows), SETTINGS, DAY, language)


@pytest.mark.parametrize(
    ("day", "monday"), [(date(2026, 11, 29), "2026-11-30"), (date(2026, 11, 30), "2026-11-30"), (DAY, "2026-11-23")]
)
def test_a_forecast_names_the_week_it_begins_with(day: date, monday: str) -> None:
    nothing = (None,) * 5
    rows = [
        ("region", "unknown", "naive", 1.0, *nothing, "unknown"),
        ("tier", "gold 黄金", "naive", 1.0, *nothing, "gold"),
    ]
    english, chinese = (tables.forecast_table(answering(rows), SETTINGS, day, language) for language in ("en", "zh"))
    assert monday in english and "week from" in english and "unknown" in english
    assert monday in chinese and "起一周" in chinese and "未知" in chinese
    assert "gold 黄金" in english and "gold" not in chinese and "黄金" in chinese


def evaluation(language: str = "en") -> str:
    rows = [
        (
            "lifetime_value_in_tiers",
            "normalised_gini",
            0.876,
            "historical_margin",
            0.765,
            -0.123,
            0.123,
            1,
            VERDICTS[language],
        ),
        (
            "lifetime_value_in_tiers",
            "capture_10",
            0.876,
            "net_sales_of_90_days",
            0.765,
            -0.123,
            0.123,
            0,
            VERDICTS[language],
        ),
    ]
    return tables.evaluation_table(answering(rows, [(DAY,)]), SETTINGS, DAY, language)


def review(language: str = "en") -> str:
    bounds = [
        (tier, criterion, 1_234_567.89, 1.0, 1_234_567.89, 1.0, "propose")
        for tier in TIERS
        for criterion in ("orders_per_month", "average_order_value", "lifetime_value_top_share", "score_top_share")
    ]
    counts = (200_000, 199_999, 200_000, 199_999)
    shares = [(tier, 1.0, 1.0, 1.0, 1.0, *counts, "too_little_data", "", 52) for tier in TIERS]
    return tables.review_table(
        answering(bounds, list(zip(TIERS, LABELS, strict=True)), shares), SETTINGS, DAY, language
    )


def simulation(language: str = "en") -> str:
    rules = rules_on({name: read_seed(PROJECT_DIR / "seeds" / f"{name}.csv") for name in SEEDS}, DAY)
    assert rules is not None
    ranks = np.array([1, 2, 3, 4] * 50_000)
    base = Base(np.arange(200_000), ranks, np.full(200_000, 9_876_543), TIERS)
    outcomes = [Outcome(horizon, ranks, ranks[::-1], TIERS, TIERS) for horizon in ("today", "52 weeks")]
    measures = ("weekly_change_rate", "reversal_rate_28d", "agreement_rate", "quota_drift", "mean_dwell_weeks")
    counts = ("change_count", "upgrade_count", "downgrade_count", "median_completed_dwell_days")
    stability: list[dict[str, object]] = [
        {"variant": name, **dict.fromkeys(measures, 0.1234), **dict.fromkeys(counts, 1_234_567)}
        for name in ("current", "proposed")
    ]
    result = Simulation(DAY, rules, rules, base, outcomes, 52, stability)
    result.notes += [NO_PAST, LIKE_WITH_LIKE]
    moved = {
        "customer_id": 12_345_678,
        "customer_name": "北京市朝阳区望京街道广顺北大街有限责任公司 canteen of the northern district",
        "from_tier": "diamond",
        "to_tier": "silver",
        "net_amount_90d": Decimal("9876543210"),
        "discount_change_90d": Decimal("-98765432"),
    }
    return as_text(result, [{**moved, "horizon": "today"}], ["gold.minimum_orders_per_month 8 -> 6"], language)


def test_a_discount_of_nothing_is_0_and_not_minus_0() -> None:
    rules = rules_on({name: read_seed(PROJECT_DIR / "seeds" / f"{name}.csv") for name in SEEDS}, DAY)
    assert rules is not None
    # One customer without sales who falls, and one of bronze who gave more back than it bought.
    ranks = np.array([1, 4])
    base = Base(np.array([1, 2]), ranks, np.array([0, -500]), TIERS)
    result = Simulation(DAY, rules, rules, base, [Outcome("today", ranks, np.array([2, 4]), TIERS, TIERS)])
    simulator = cast(Any, SimpleNamespace(names=lambda _: {}))
    amounts = [row["discount_change_90d"] for row in movers(result, simulator, 9)]
    amounts += [row["discount_cost_90d"] for row in tiers(result)]
    assert len(amounts) == 9 and {str(amount) for amount in amounts} == {"0.00"}


@pytest.mark.parametrize(
    "printed", [landing, tier_table, hint, recommendations, forecast, evaluation, review, simulation]
)
def test_every_table_fits_80_columns_with_its_numbers_whole(printed: Callable[[], str]) -> None:
    text = printed()
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert "\x1b" not in text
    # An interval has its ellipsis between spaces, or at the end of a line after one.
    assert "…" not in text.replace(" …", "")


@pytest.mark.parametrize("printed", [recommendations, forecast, evaluation, review, simulation])
def test_the_tables_of_models_and_rules_are_in_chinese_too(printed: Callable[[str], str]) -> None:
    text = printed("zh")
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    data = f"MASE|recall@10|{'|'.join(TIERS)}|canteen of the northern district|gold.minimum_orders_per_month|standards"
    words = re.findall("[a-z]{2,}", text)
    assert set(words) <= set(re.findall("[a-z]{2,}", data))


def test_the_tables_of_a_refresh_load_no_library_of_models() -> None:
    code = "import sys, orchestration.tables; print([name for name in ('pandas', 'scipy', 'dagster') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_terminal_gives_its_width_and_a_pipe_80(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "132")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert width() == 132
    monkeypatch.setenv("COLUMNS", "40")
    assert width() == 80
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    monkeypatch.setenv("COLUMNS", "132")
    assert width() == 80


def test_the_command_is_named_as_short_as_it_can_be_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed = tmp_path / "checkout" / ".venv" / "bin" / "tierhouse"
    installed.parent.mkdir(parents=True)
    installed.touch(mode=0o755)
    monkeypatch.setattr("sys.argv", [str(installed), "refresh"])
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path / "checkout")
    assert command() == ".venv/bin/tierhouse"
    monkeypatch.setenv("PATH", str(installed.parent))
    assert command() == "tierhouse"
    monkeypatch.setattr("sys.argv", ["/somewhere/orchestration/cli.py"])
    assert command() == "tierhouse"


def test_data_in_a_cell_is_neither_markup_nor_a_picture_nor_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    printed = empty_table("name")
    printed.add_row("[red]Lotus[/red] :smile: [/]")
    assert plain_text(printed).splitlines()[-1] == "[red]Lotus[/red] :smile: [/]"


STEERING = "\x1b]0;title\x07\x1b[31mLotus\x9b0m\x00 \u202eback\u202c \u2066to\u2069\x7f"


def test_a_name_cannot_steer_the_terminal_and_its_row_stays_straight() -> None:
    printed = empty_table("name", "orders")
    printed.add_row(STEERING, "12")
    printed.add_row("]0;title[31mLotus0m back to", "345")
    lines = plain_text(f"customer 7  {STEERING}", printed).splitlines()
    assert lines[0] == "customer 7  ]0;title[31mLotus0m back to"
    assert lines[-2].replace(" 12", "345") == lines[-1]
    assert printable("莲花 👩‍👩‍👧 é\tone\ntwo") == "莲花 👩‍👩‍👧 é\tone\ntwo"


def test_a_failure_that_quotes_a_value_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise TierhouseError(f"customer_name={STEERING}")

    monkeypatch.setattr("orchestration.cli._warehouse", failing)
    done = CliRunner().invoke(main, ["explain", "1"])
    assert done.stderr == "tierhouse: customer_name=]0;title[31mLotus0m back to\n"

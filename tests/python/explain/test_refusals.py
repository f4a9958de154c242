"""Who asks for a customer or a day that is not there is told what is, and what to do."""

from datetime import date, timedelta

import pytest
from click.testing import CliRunner

from orchestration.cli import main
from orchestration.explain import why_not_published

FIRST, LAST = date(2026, 4, 3), date(2026, 11, 29)
DAYS = [date(2026, 11, 1) + timedelta(days=n) for n in range(10)]


@pytest.mark.parametrize(
    ("day", "published", "said"),
    [
        (date(2026, 10, 31), DAYS[:1], "(2026-11-01 is); run `tierhouse refresh --as-of 2026-10-31`, or take --as-of"),
        (date(2026, 11, 2), DAYS[:1] + DAYS[2:3], "(2026-11-01 and 2026-11-03 are); run `tierhouse refresh --as-of"),
        (FIRST - timedelta(days=1), DAYS, "nearest is 2026-11-01); there is no order before 2026-04-03: take --as-of"),
        (
            LAST + timedelta(days=1),
            DAYS,
            "there is no order after 2026-11-29: land newer ones, or take --as-of 2026-11-10",
        ),
        (LAST, DAYS, "(10 days from 2026-11-01 to 2026-11-10 are, the nearest is 2026-11-10); run `tierhouse refresh"),
        (FIRST, DAYS, "run `tierhouse refresh --as-of 2026-04-03`, or take --as-of 2026-11-01"),
    ],
)
def test_a_day_that_is_not_published_leads_to_one_that_is_or_can_be(
    day: date, published: list[date], said: str
) -> None:
    text = why_not_published(day, published, FIRST, LAST)
    assert text.startswith(f"{day} is not published (") and said in text


@pytest.mark.parametrize("text", ["abc", "1.5", "-3", "²", str(2**64)])
def test_a_text_that_is_no_customer_id_leads_to_the_customers(text: str) -> None:
    done = CliRunner().invoke(main, ["explain", "--", text])
    assert done.exit_code == 2
    assert f"`{text}` is no customer id" in done.output and "tierhouse_marts.customer_tiers" in done.output

"""What is refused and why, and that the numbers always add up: against an independent judge in Python."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deliveries import line, order, write_csv, write_orders, write_parquet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.errors import TierhouseError

TOMORROW = (datetime.now() + timedelta(days=3)).strftime("%Y-%m-%d %H:%M:%S")

BAD_LINES = [
    ({"quantity": "abc"}, "unparsable value: quantity"),
    ({"quantity": "1,5"}, "unparsable value: quantity"),
    ({"unit_price": "inf"}, "unparsable value: unit_price"),
    ({"unit_price": "1.234.567"}, "unparsable value: unit_price"),
    ({"unit_price": "2026.3.1"}, "unparsable value: unit_price"),
    ({"quantity": "1..5"}, "unparsable value: quantity"),
    ({"quantity": "-"}, "unparsable value: quantity"),
    ({"quantity": "."}, "unparsable value: quantity"),
    ({"discount_amount": "e5"}, "unparsable value: discount_amount"),
    ({"line_no": "4294967296"}, "unparsable value: line_no"),
    ({"product_id": "1.5"}, "unparsable value: product_id"),
    ({"product_id": "-4"}, "unparsable value: product_id"),
    ({"updated_at": "2024-02-30 10:00:00"}, "unparsable value: updated_at"),
    ({"updated_at": "2024-03-01 25:00:00"}, "unparsable value: updated_at"),
    ({"updated_at": "0000-00-00 00:00:00"}, "unparsable value: updated_at"),
    ({"updated_at": "05/06/2024"}, "unparsable value: updated_at"),
    ({"is_deleted": "2"}, "unparsable value: is_deleted"),
    ({"line_no": ""}, "missing key: line_no"),
    ({"order_id": ""}, "missing key: order_id"),
    ({"product_id": ""}, "missing value: product_id"),
    ({"quantity": "-1"}, "negative value: quantity"),
    ({"unit_price": "-0.001"}, "negative value: unit_price"),
    ({"discount_amount": "-3"}, "negative value: discount_amount"),
    ({"order_id": "99"}, "unknown order: order_id"),
    ({"updated_at": TOMORROW}, "date in the future: updated_at"),
    ({"unit_price": "100000001"}, "amount over the bound: unit_price"),
    ({"unit_price": "99999", "quantity": "99999"}, "amount over the bound: quantity x unit_price"),
    ({"unit_cost": "99999", "quantity": "99999"}, "amount over the bound: quantity x unit_cost"),
    ({"quantity": "x", "unit_price": "-1"}, "unparsable value: quantity; negative value: unit_price"),
]


def test_bad_lines_are_quarantined_whole_each_with_its_reason(warehouse, tmp_path):
    good = line(unit_cost="1", is_deleted="0")
    bad = [good | {"line_no": str(number)} | change for number, (change, _) in enumerate(BAD_LINES, 2)]
    delivery = write_orders(tmp_path, [order()], [good, *bad])
    outcome = warehouse.land(delivery, limit=1)["order_lines"]
    counts = (outcome.delivered, outcome.landed, outcome.already_there, outcome.quarantined)
    assert counts == (len(bad) + 1, 1, 0, len(bad))
    assert outcome.reasons == Counter(reason for _, reason in BAD_LINES)
    kept = warehouse.rows(f"SELECT _reason, {', '.join(bad[0])} FROM {{quarantine}}.order_lines")
    expected = [(reason, *row.values()) for row, (_, reason) in zip(bad, BAD_LINES, strict=True)]
    # Judged after typing: kept as the same values, not the same texts.
    of_texts = [row for row in expected if not row[0].startswith("unknown")]
    found = [row for row in kept if not row[0].startswith("unknown")]
    assert set(found) ^ set(of_texts) == set()
    assert len(found) == len(of_texts)


def test_parquet_values_are_judged_like_texts(warehouse, tmp_path):
    lines = [line(), line(1, 2, quantity="-1"), line(1, 3, unit_price="inf"), line(1, 4, unit_price="100000001"),
             line(1, 5, updated_at=TOMORROW), line(77)]  # fmt: skip
    write_csv(tmp_path / "orders.csv", [order(), order(2, status="lost"), order(3, customer_id="")])
    write_parquet(tmp_path / "order_lines.parquet", lines)
    outcome = warehouse.land(tmp_path, limit=1)
    assert outcome["order_lines"].reasons == {
        "negative value: quantity": 1,
        "unparsable value: unit_price": 1,
        "amount over the bound: unit_price": 1,
        "date in the future: updated_at": 1,
        "unknown order: order_id": 1,
    }
    assert outcome["orders"].reasons == {"unparsable value: status": 1, "missing value: customer_id": 1}


def test_a_line_of_a_refused_order_is_of_an_unknown_order_and_of_one_landed_before_is_not(warehouse, tmp_path):
    warehouse.land(write_orders(tmp_path / "one", [order(1)], [line(1)]))
    outcome = warehouse.land(write_orders(tmp_path / "two", [order(2, status="?")], [line(1, 2), line(2)]), limit=1)
    assert outcome["order_lines"].landed == 1
    assert outcome["order_lines"].reasons == {"unknown order: order_id": 1}


def test_a_refund_of_an_unknown_order_and_a_credit_note_land(warehouse, tmp_path):
    write_csv(tmp_path / "refunds.csv", [
        {"refund_id": "1", "order_id": "55", "refunded_at": "2024-03-02 10:00:00", "amount": "3"},
        {"refund_id": "2", "order_id": "1", "refunded_at": "2024-03-02 10:00:00", "amount": "-3"},
    ])  # fmt: skip
    write_csv(tmp_path / "invoices.csv", [
        {"invoice_id": "1", "customer_id": "7", "issued_on": "2024-03-02", "due_on": "2024-04-02", "amount": "-12.50"},
    ])  # fmt: skip
    outcome = warehouse.land(write_orders(tmp_path, [order()], [line()]), limit=1)
    assert outcome["refunds"].reasons == {"negative value: amount": 1}
    assert warehouse.one("SELECT amount FROM {landing}.invoices") == Decimal("-12.50")


def test_of_two_contents_with_one_version_the_same_one_lands_whatever_the_order_of_rows(warehouse, other, tmp_path):
    lines = [line(1, 1, quantity=str(quantity)) for quantity in (1, 2, 3, 2)] + [line(1, n) for n in range(2, 90)]
    first = warehouse.land(write_orders(tmp_path / "one", [order()], lines), limit=1)["order_lines"]
    random.Random(5).shuffle(lines)
    second = other.land(write_orders(tmp_path / "two", [order()], lines), limit=1)["order_lines"]
    assert (first.landed, first.already_there, first.quarantined) == (89, first.already_there, 3 - first.already_there)
    assert (first.landed, first.already_there, first.reasons) == (second.landed, second.already_there, second.reasons)
    assert warehouse.contents("order_lines") == other.contents("order_lines")


def test_a_version_that_landed_is_kept_against_a_later_delivery_with_other_content(warehouse, tmp_path):
    warehouse.land(write_orders(tmp_path / "one", [order()], [line()]))
    before = warehouse.contents("order_lines")
    changed = [line(quantity="9"), line(quantity="9", updated_at="2024-03-02 10:05:00")]
    outcome = warehouse.land(write_orders(tmp_path / "two", [order()], changed), limit=1)["order_lines"]
    assert outcome.reasons == {"duplicate key with different content and the same version": 1}
    assert outcome.landed == 1
    assert before[0] in warehouse.contents("order_lines")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_landing_the_same_files_twice_adds_nothing(warehouse, tmp_path, suffix):
    lines = [line(n, k) for n in range(1, 40) for k in range(1, 4)] + [line(1, 9, quantity="-1")]
    write_orders(tmp_path, [order(n) for n in range(1, 40)], lines, suffix)
    warehouse.land(tmp_path, limit=1)
    before = {table: warehouse.contents(table) for table in ("orders", "order_lines")}
    again = warehouse.land(tmp_path, limit=1)
    assert (again["orders"].landed, again["orders"].already_there) == (0, 39)
    assert (again["order_lines"].landed, again["order_lines"].already_there) == (0, 117)
    assert before == {table: warehouse.contents(table) for table in ("orders", "order_lines")}
    assert warehouse.one("SELECT count() FROM {quarantine}.order_lines") == 1
    assert warehouse.one("SELECT uniqExact(_loaded_at) FROM {landing}.order_lines") == 1


def test_identical_bad_rows_are_all_kept(warehouse, tmp_path):
    write_orders(tmp_path, [order()], [line()] + [line(1, 2, quantity="-1")] * 3)
    warehouse.land(tmp_path, limit=1)
    warehouse.land(tmp_path, limit=1)
    assert warehouse.one("SELECT count() FROM {quarantine}.order_lines") == 3


def test_a_batch_over_the_limit_lands_nothing_and_says_why_and_the_mended_one_lands(warehouse, tmp_path):
    good = [line(1, n) for n in range(1, 51)]
    write_orders(tmp_path, [order()], [*good, line(1, 99, quantity="-1")])
    with pytest.raises(TierhouseError) as caught:
        warehouse.land(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in ("order_lines: 1 of 51 rows (2.0%)", "negative value: quantity (1)", "quantity=-1", "line_no=99"):
        assert part in message
    assert warehouse.contents("orders") == warehouse.contents("order_lines") == []
    assert warehouse.one("SELECT count() FROM {quarantine}.order_lines") == 1
    audit = warehouse.rows(
        "SELECT status, delivered, landed, already_there, quarantined, held_back FROM {marts}.load_audit "
        "WHERE table_name = 'order_lines'"
    )
    assert audit == [("refused", 51, 0, 0, 1, 50)]
    write_csv(tmp_path / "order_lines.csv", [*good, line(1, 99)])
    assert warehouse.land(tmp_path)["order_lines"].landed == 51


def test_a_batch_over_the_limit_is_told_what_a_column_of_few_values_may_hold(warehouse, tmp_path):
    delivery = write_orders(tmp_path, [order(status="Completed")], [line()])
    with pytest.raises(TierhouseError) as refused:
        warehouse.land(delivery)
    assert (
        "orders: 1 of 1 rows (100.0%) were refused: unparsable value: status (1); "
        "status is one of created, paid, delivered, completed, cancelled; for example order_id=1"
    ) in str(refused.value)


def test_changed_rows_without_a_clock_of_the_source_are_told_what_tells_their_versions_apart(warehouse, tmp_path):
    def without_version(row: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in row.items() if name != "updated_at"}

    warehouse.land(write_orders(tmp_path / "one", [without_version(order())], [without_version(line())]))
    changed = [without_version(order(status="cancelled"))], [without_version(line(quantity="9"))]
    with pytest.raises(TierhouseError) as refusal:
        warehouse.land(write_orders(tmp_path / "two", *changed))
    for standing in ("ordered_at", "ordered_at of the order"):
        assert f"needs a later updated_at, for which {standing} stands where a file has none; " in str(refusal.value)


def test_a_share_of_refused_rows_within_the_limit_lands_the_rest(warehouse, tmp_path):
    lines = [line(1, n) for n in range(1, 100)] + [line(1, 100, quantity="-1")]
    assert warehouse.land(write_orders(tmp_path, [order()], lines))["order_lines"].landed == 99


def test_the_audit_keeps_what_the_report_says(warehouse, tmp_path):
    report = warehouse.report(write_orders(tmp_path, [order()], [line(), line(1, 2, quantity="?")]), limit=1)
    kept = warehouse.rows(
        "SELECT batch_id, table_name, status, files, delivered, landed, already_there, quarantined, reasons "
        "FROM {marts}.load_audit ORDER BY table_name DESC"
    )
    assert kept == [
        (report.batch_id, table.table, "landed", table.files, table.delivered, table.landed, table.already_there,
         table.quarantined, table.reasons)
        for table in report.tables
    ]  # fmt: skip


def test_load_times_grow_from_batch_to_batch(warehouse, tmp_path):
    times = [warehouse.report(write_orders(tmp_path / str(n), [order(n)], [line(n)])).loaded_at for n in (1, 2, 3)]
    assert times == sorted(set(times))
    found = warehouse.rows("SELECT DISTINCT toUnixTimestamp64Milli(_loaded_at) AS t FROM {landing}.orders ORDER BY t")
    assert [value for (value,) in found] == [round(time.timestamp() * 1000) for time in times]


def test_a_batch_long_before_the_last_one_says_that_a_clock_is_wrong_and_lands(warehouse, tmp_path):
    assert warehouse.report(write_orders(tmp_path / "1", [order()], [line()])).warnings == []
    journal = f"{warehouse.settings.database('incoming')}.journal"
    later = (
        f"INSERT INTO {journal} SELECT * REPLACE (loaded_at + {{seconds}} AS loaded_at, concat(batch_id, '+{{seconds}}') AS batch_id) "
        f"FROM {journal}"
    )
    warehouse.client.command(later.format(seconds=3600))
    assert warehouse.report(write_orders(tmp_path / "2", [order(2)], [line(2)])).warnings == []
    warehouse.client.command(later.format(seconds=90 * 86400))
    (warning,) = warehouse.report(write_orders(tmp_path / "3", [order(3)], [line(3)])).warnings
    assert warning.startswith("the clock says 20") and "long before the last batch, of 20" in warning
    assert warehouse.rows("SELECT order_id FROM {landing}.orders ORDER BY 1") == [(1,), (2,), (3,)]


def test_a_refusal_of_dates_in_the_future_says_what_the_clock_says(warehouse, tmp_path):
    files = write_orders(tmp_path, [order(ordered_at="2095-03-01 10:00:00")], [line()])
    with pytest.raises(TierhouseError, match=rf"The clock of this landing says {datetime.now(UTC):%Y-%m-%d} ..:.. UTC"):
        warehouse.land(files)


# --- files that cannot be landed ---


def test_a_missing_required_column_is_named(warehouse, tmp_path):
    rows = [{name: value for name, value in line().items() if name != "unit_price"}]
    with pytest.raises(TierhouseError, match=r"order_lines\.csv lacks the required column unit_price"):
        warehouse.land(write_orders(tmp_path, [order()], rows))


def test_a_header_of_another_separator_is_shown_as_it_was_read(warehouse, tmp_path):
    write_orders(tmp_path, [order()], [line()])
    path = tmp_path / "orders.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",", "~"), encoding="utf-8")
    with pytest.raises(TierhouseError, match=r"orders\.csv lacks the required columns .*; it has '[^|']*~[^|']*'$"):
        warehouse.land(tmp_path)


def test_a_workbook_is_refused_with_what_to_save_it_as(warehouse, tmp_path):
    write_orders(tmp_path, [order()], [line()])
    (tmp_path / "customers.xlsx").write_bytes(b"PK")
    with pytest.raises(TierhouseError, match=r"customers\.xlsx is a workbook; save each of its sheets as CSV UTF-8"):
        warehouse.land(tmp_path)


@pytest.mark.parametrize("absent", ["orders", "order_lines"])
def test_a_missing_required_table_is_named(warehouse, tmp_path, absent):
    write_orders(tmp_path, [order()], [line()])
    (tmp_path / f"{absent}.csv").unlink()
    with pytest.raises(TierhouseError, match=f"lacks the required table {absent};"):
        warehouse.land(tmp_path)


def test_other_tables_alone_may_follow_once_orders_are_there(warehouse, tmp_path):
    write_csv(tmp_path / "more" / "categories.csv", [{"category_id": "1", "category_name": "fruit"}])
    with pytest.raises(TierhouseError, match="lacks the required table orders"):
        warehouse.land(tmp_path / "more")
    warehouse.land(write_orders(tmp_path / "base", [order()], [line()]))
    assert warehouse.land(tmp_path / "more")["categories"].landed == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("order_lines.parquet", b"PAR1 this is no Parquet file PAR1"),
        ("order_lines.csv", b""),
        ("order_lines.csv", b'order_id,line_no,product_id,quantity,unit_price\n1,1,5,1,2\n1,2,5,"1"0,2\n'),
        ("order_lines.csv.gz", b"\x1f\x8b\x08\x00truncated"),
        ("order_lines.jsonl", b'{"order_id": 1, "line_no": \n'),
        ("order_lines.xlsx", b"PK"),
    ],
)
def test_an_unreadable_file_stops_the_landing_with_one_line_that_names_it(warehouse, tmp_path, name, content):
    write_csv(tmp_path / "orders.csv", [order()])
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TierhouseError, match=name) as caught:
        warehouse.land(tmp_path)
    assert "\n" not in str(caught.value)
    assert warehouse.contents("orders") == []
    assert warehouse.rows("SHOW TABLES FROM {incoming}") == [("journal",)]


def test_a_folder_that_is_absent_or_holds_nothing_is_named(warehouse, tmp_path):
    with pytest.raises(TierhouseError, match="is not a folder"):
        warehouse.land(tmp_path / "nowhere")
    with pytest.raises(TierhouseError, match="holds no file"):
        warehouse.land(tmp_path)


def test_a_folder_of_files_per_table_lands_as_one_and_files_may_differ_in_form(warehouse, tmp_path):
    write_csv(tmp_path / "orders" / "a.csv", [order(1)])
    write_parquet(tmp_path / "orders" / "b.parquet", [order(2)])
    write_csv(tmp_path / "order_lines.csv", [line(1), line(2)])
    outcome = warehouse.land(tmp_path)
    assert outcome["orders"].files == ["orders/a.csv", "orders/b.parquet"]
    assert (outcome["orders"].landed, outcome["order_lines"].landed) == (2, 2)


# --- an independent judge ---

_quantities = st.sampled_from(["1", "2.5", "-1", "abc", "", "1e2", "0"])
_prices = st.sampled_from(["2.55", "3", "-0.5", "nan", "200000000"])
_times = st.sampled_from(["2024-03-01 10:00:00", "2024-03-02 10:00:00", "2024-02-30 10:00:00", TOMORROW])
_lines = st.lists(
    st.fixed_dictionaries(
        {
            "order_id": st.sampled_from(["1", "2", "3", "9", ""]),
            "line_no": st.sampled_from(["1", "2", "65"]),
            "product_id": st.just("5"),
            "quantity": _quantities,
            "unit_price": _prices,
            "updated_at": _times,
        }
    ),
    min_size=1,
    max_size=25,
)


def _is_fine(row: dict[str, str], orders: set[str]) -> bool:
    """The rules once more, for the values above."""
    try:
        quantity, price = Decimal(row["quantity"]), Decimal(row["unit_price"])
        datetime.fromisoformat(row["updated_at"])
    except (ArithmeticError, ValueError):
        return False
    if quantity.is_nan() or price.is_nan() or quantity < 0 or not 0 <= price <= 100_000_000:
        return False
    return row["order_id"] in orders and row["updated_at"] != TOMORROW


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=_lines, second=_lines)
def test_random_dirty_batches_add_up_and_agree_with_a_judge_in_python(warehouse, first, second):
    warehouse.client.command(f"TRUNCATE TABLE {warehouse.settings.database('landing')}.order_lines SYNC")
    landed: dict[tuple, tuple] = {}
    for batch in (first, second):
        with TemporaryDirectory() as folder:
            write_orders(Path(folder), [order(1), order(2), order(3)], batch)
            outcome = warehouse.land(Path(folder), limit=1)["order_lines"]
        good = [row for row in batch if _is_fine(row, {"1", "2", "3"})]
        versions: dict[tuple, Counter] = {}
        for row in good:
            version = (row["order_id"], row["line_no"], row["updated_at"])
            content = (Decimal(row["quantity"]), Decimal(row["unit_price"]))
            versions.setdefault(version, Counter())[content] += 1
        there = {
            (str(order_id), str(line_no), str(at)): (quantity, price)
            for order_id, line_no, at, quantity, price in warehouse.rows(
                "SELECT order_id, line_no, formatDateTime(updated_at, '%F %T', 'Asia/Shanghai'), quantity, unit_price "
                "FROM {landing}.order_lines"
            )
        }
        new = set(versions) - set(landed)
        kept_copies = sum(versions[version][there[version]] for version in versions)
        assert set(there) == set(landed) | new
        assert outcome.landed == len(new)
        assert outcome.already_there == kept_copies - len(new)
        assert outcome.quarantined == len(batch) - kept_copies
        assert outcome.delivered == outcome.landed + outcome.already_there + outcome.quarantined == len(batch)
        assert sum(outcome.reasons.values()) == outcome.quarantined
        assert all(there[version] == content for version, content in landed.items())
        landed = there


def test_a_parquet_file_whose_statistics_are_absent_is_judged_the_same(warehouse, tmp_path):
    write_csv(tmp_path / "orders.csv", [order()])
    write_parquet(tmp_path / "order_lines.parquet", [line(), line(1, 2, quantity="-1")])
    table = pq.read_table(tmp_path / "order_lines.parquet")
    pq.write_table(table, tmp_path / "order_lines.parquet", write_statistics=False)
    assert warehouse.land(tmp_path, limit=1)["order_lines"].reasons == {"negative value: quantity": 1}


def test_a_parquet_file_may_name_its_columns_in_capitals(warehouse, tmp_path):
    write_orders(tmp_path, [order(customer_id="7")], [line(), line(1, 2, unit_cost="")])
    write_parquet(tmp_path / "order_lines.parquet", [line(1, 1, unit_cost="2"), line(1, 2, unit_cost="")])
    (tmp_path / "order_lines.csv").unlink()
    table = pq.read_table(tmp_path / "order_lines.parquet")
    table = table.rename_columns([name.upper() for name in table.column_names])
    beside = pa.array(["x", "y"])
    pq.write_table(table.append_column("Note", beside).append_column("note", beside), tmp_path / "order_lines.parquet")
    outcome = warehouse.land(tmp_path)["order_lines"]
    assert (outcome.landed, outcome.quarantined) == (2, 0)
    assert outcome.warnings == ["order_lines.parquet: ignored unknown columns Note, note"]
    assert warehouse.rows("SELECT line_no, unit_cost FROM {landing}.order_lines ORDER BY line_no") == [
        (1, Decimal(2)),
        (2, None),
    ]

    pq.write_table(table.append_column("quantity", table["QUANTITY"]), tmp_path / "order_lines.parquet")
    with pytest.raises(TierhouseError, match="has the column quantity more than once"):
        warehouse.land(tmp_path)

"""How delivered values become landing values: formats, decimals, time zones, defaults, versions."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deliveries import line, order, write_csv, write_json, write_orders, write_parquet

from orchestration.errors import TierhouseError
from orchestration.landing.contract import TABLES


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def as_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


def test_every_contract_table_exists_after_landing_only_orders(warehouse, tmp_path):
    warehouse.land(write_orders(tmp_path, [order()], [line()]))
    names = {name for (name,) in warehouse.rows("SHOW TABLES FROM {landing}")}
    assert names == set(TABLES)


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv.gz", ".csv.zst"])
def test_every_format_lands_the_same_rows_as_csv(warehouse, other, tmp_path, suffix):
    orders = [order(), order(2, delivered_at="2024-03-02 06:00:00.125"), order(3, is_deleted="1", channel="")]
    lines = [line(), line(2, unit_cost="1.2345"), line(3), line(3, 2, quantity="0.001", unit_price="1234.5678")]
    for row in orders:
        row.setdefault("delivered_at", None)
        row.setdefault("is_deleted", "0")
    for row in lines:
        row.setdefault("unit_cost", None)
    assert warehouse.land(write_orders(tmp_path / "csv", orders, lines))["order_lines"].landed == 4
    assert other.land(write_orders(tmp_path / "other", orders, lines, suffix))["order_lines"].landed == 4
    for table in ("orders", "order_lines"):
        assert warehouse.contents(table) == other.contents(table)


PRICES = ["2.55", "0.29", "1.005", "4.35", "1.1", "1033.0001", "99999.9999", "8.70"]


def write_column(path, rows, name, values):
    """Parquet of rows in which one column has these values, of a type of their own."""
    write_parquet(path, rows)
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, values), path)


def write_prices(folder, prices_of_types):
    """An order per type of its prices, each with its lines in a file of their own."""
    write_csv(folder / "orders.csv", [order(number) for number, _ in enumerate(prices_of_types, 1)])
    for number, (type, prices) in enumerate(prices_of_types, 1):
        convert = Decimal if pa.types.is_decimal(type) else str if type == pa.string() else float
        lines = [line(number, line_no) for line_no, _ in enumerate(prices, 1)]
        values = pa.array([convert(price) for price in prices], type)
        write_column(folder / "order_lines" / f"{number}.parquet", lines, "unit_price", values)


def test_prices_become_the_decimals_that_were_written_whatever_their_type(warehouse, tmp_path):
    types = [pa.float64(), pa.decimal128(9, 4), pa.decimal128(18, 12), pa.decimal256(40, 10), pa.string()]
    # A single holds seven digits.
    short = [price for price in PRICES if len(price) <= 6]
    prices_of_types = [*((type, PRICES) for type in types), (pa.float32(), short)]
    write_prices(tmp_path, prices_of_types)
    warehouse.land(tmp_path)
    for number, (type, prices) in enumerate(prices_of_types, 1):
        landed = warehouse.rows(
            f"SELECT unit_price FROM {{landing}}.order_lines WHERE order_id = {number} ORDER BY line_no"
        )
        assert [value for (value,) in landed] == [Decimal(price) for price in prices], type


def test_a_number_too_large_for_its_column_is_refused_and_the_others_land(warehouse, tmp_path):
    prices = ["1" + "0" * 20, "2.50"]
    write_prices(tmp_path, [(type, prices) for type in (pa.string(), pa.decimal128(38, 2), pa.decimal256(50, 4))])
    landed = warehouse.land(tmp_path, limit=1.0)["order_lines"]
    assert (landed.landed, landed.quarantined) == (3, 3)
    found = warehouse.rows("SELECT order_id, line_no, unit_price FROM {landing}.order_lines ORDER BY order_id")
    assert found == [(order_id, 2, Decimal("2.5")) for order_id in (1, 2, 3)]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_digits_beyond_the_scale_are_rounded_half_away_from_zero(warehouse, tmp_path, suffix):
    lines = [line(1, n, discount_amount=text) for n, text in enumerate(("2.555", "2.545", "2.5449", "0.004"), 1)]
    warehouse.land(write_orders(tmp_path, [order()], lines, suffix))
    landed = warehouse.rows("SELECT discount_amount FROM {landing}.order_lines ORDER BY line_no")
    assert [value for (value,) in landed] == [Decimal("2.56"), Decimal("2.55"), Decimal("2.54"), Decimal("0")]


@pytest.mark.parametrize(
    ("zone", "instants"),
    [
        (
            "Asia/Shanghai",
            {"2024-03-01 10:00:00": "2024-03-01 02:00:00", "2017-10-15 00:00:00": "2017-10-14 16:00:00"},
        ),
        ("Europe/London", {"2024-07-01 00:30:00": "2024-06-30 23:30:00"}),
        # Minutes after the clocks went forward, an offset taken at the wrong moment is an hour off.
        ("America/New_York", {"2024-03-10 03:05:00": "2024-03-10 07:05:00"}),
        # Days that begin at 01:00: a file of dates says midnight for every order.
        (
            "America/Sao_Paulo",
            {
                "2017-10-15 00:00:00": "2017-10-15 03:00:00",
                "2017-10-15 00:30:00": "2017-10-15 03:30:00",
                "2018-02-18 00:00:00": "2018-02-18 03:00:00",
            },
        ),
        ("Asia/Beirut", {"2024-03-31 00:00:00": "2024-03-30 22:00:00"}),
        ("Atlantic/Azores", {"2024-03-31 00:30:00": "2024-03-31 01:30:00"}),
        # A clock that comes twice is the first of the two, and one that never comes the hour before, east and west of Greenwich.
        (
            "Europe/Berlin",
            {
                "2024-10-27 02:30:00": "2024-10-27 00:30:00",
                "2024-10-27 03:00:00": "2024-10-27 02:00:00",
                "2024-03-31 02:30:00": "2024-03-31 00:30:00",
                "2024-03-31 03:00:00": "2024-03-31 01:00:00",
            },
        ),
        (
            "America/New_York",
            {"2024-11-03 01:30:00": "2024-11-03 05:30:00", "2024-03-10 02:30:00": "2024-03-10 06:30:00"},
        ),
        ("Africa/Cairo", {"2024-10-31 23:30:00": "2024-10-31 20:30:00"}),
        # A day that began at 00:30.
        (
            "Australia/Lord_Howe",
            {"1981-03-01 00:15:00": "1981-02-28 14:15:00", "2024-04-07 01:45:00": "2024-04-06 14:45:00"},
        ),
    ],
)
def test_a_timestamp_without_a_zone_is_read_in_the_business_zone(warehouse, tmp_path, zone, instants):
    inside = replace(warehouse, settings=replace(warehouse.settings, zone=zone))
    (tmp_path / "orders").mkdir()
    write_csv(tmp_path / "orders" / "1.csv", [order(n, ordered_at=local) for n, local in enumerate(instants, 1)])
    write_parquet(
        tmp_path / "orders" / "2.parquet", [order(n, ordered_at=local) for n, local in enumerate(instants, 11)]
    )
    write_csv(tmp_path / "order_lines.csv", [line()])
    inside.land(tmp_path)
    found = inside.rows("SELECT ordered_at FROM {landing}.orders ORDER BY order_id")
    assert [as_utc(moment) for (moment,) in found] == [utc(instant) for instant in instants.values()] * 2


def test_the_zone_may_change_until_something_has_landed(warehouse, tmp_path):
    london = replace(warehouse, settings=replace(warehouse.settings, zone="Europe/London"))
    with pytest.raises(TierhouseError, match="nothing landed"):
        warehouse.land(write_orders(tmp_path, [order()], [line(quantity="many")]))
    london.land(write_orders(tmp_path, [order()], [line()]))
    later = write_orders(tmp_path / "later", [order(2)], [line(2)])
    with pytest.raises(TierhouseError, match="days in Europe/London, and TIERHOUSE_ZONE is Asia/Shanghai: set it to"):
        warehouse.land(later)
    london.land(later)
    assert london.rows("SELECT order_id FROM {landing}.orders ORDER BY 1") == [(1,), (2,)]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_date_stays_the_date_where_its_midnight_is_skipped(warehouse, tmp_path, suffix):
    write = {".csv": write_csv, ".parquet": write_parquet}[suffix]
    invoice = {"invoice_id": "1", "customer_id": "7", "issued_on": "2017-10-15", "due_on": "2017-10-15", "amount": "10"}
    write(tmp_path / f"invoices{suffix}", [invoice])
    write_orders(tmp_path, [order(ordered_at="2017-10-15T00:30:00-02:00")], [line()])
    inside = replace(warehouse, settings=replace(warehouse.settings, zone="America/Sao_Paulo"))
    inside.land(tmp_path)
    issued, due, known = inside.rows("SELECT issued_on, due_on, updated_at FROM {landing}.invoices")[0]
    assert (issued, due, as_utc(known)) == (date(2017, 10, 15), date(2017, 10, 15), utc("2017-10-15 03:00:00"))
    assert as_utc(inside.one("SELECT ordered_at FROM {landing}.orders")) == utc("2017-10-15 02:30:00")


def test_a_timestamp_with_a_zone_is_an_instant_in_every_unit(warehouse, tmp_path):
    write_csv(tmp_path / "order_lines.csv", [line()])
    moment = datetime(2024, 3, 1, 10, 0, tzinfo=UTC)
    for number, unit in enumerate(("s", "ms", "us", "ns"), 1):
        values = pa.array([moment], pa.timestamp(unit, "America/New_York"))
        write_column(tmp_path / "orders" / f"{unit}.parquet", [order(number)], "ordered_at", values)
    warehouse.land(tmp_path)
    assert [as_utc(found) for (found,) in warehouse.rows("SELECT ordered_at FROM {landing}.orders")] == [moment] * 4


def test_texts_of_times_with_or_without_offset_are_understood(warehouse, tmp_path):
    texts = ["2024-03-01T10:00:00Z", "2024-03-01 18:00:00+08:00", "2024-03-01 05:00:00 -0500", "2024/3/1 18:00"]
    warehouse.land(write_orders(tmp_path, [order(n, ordered_at=text) for n, text in enumerate(texts, 1)], [line()]))
    found = warehouse.rows("SELECT order_id, ordered_at FROM {landing}.orders ORDER BY order_id")
    assert [(n, as_utc(moment)) for n, moment in found] == [(n, utc("2024-03-01 10:00:00")) for n in (1, 2, 3, 4)]


def test_whole_numbers_written_as_doubles_are_ids_and_nan_is_missing(warehouse, tmp_path):
    lines = pa.table(
        {
            "order_id": pa.array([1.0, 1.0]),
            "line_no": pa.array([1.0, 2.0]),
            "product_id": pa.array([17850.0, 3.0]),
            "quantity": pa.array([1, 2], pa.int16()),
            "unit_price": pa.array([2.5, 3.5]),
            "unit_cost": pa.array([1.5, float("nan")]),
            "discount_amount": pa.array([float("nan"), 0.25]),
            "tier_discount_amount": pa.nulls(2),
        }
    )
    write_csv(tmp_path / "orders.csv", [order(customer_id="17850.0", is_deleted="false")])
    pq.write_table(lines, tmp_path / "order_lines.parquet")
    warehouse.land(tmp_path)
    assert warehouse.rows(
        "SELECT product_id, quantity, unit_cost, discount_amount FROM {landing}.order_lines ORDER BY line_no"
    ) == [(17850, 1, Decimal("1.5"), 0), (3, 2, None, Decimal("0.25"))]


def test_dictionary_large_and_binary_texts_are_read(warehouse, tmp_path):
    write_csv(tmp_path / "order_lines.csv", [line()])
    write_parquet(tmp_path / "orders.parquet", [order()])
    table = pq.read_table(tmp_path / "orders.parquet")
    for name, type in (("status", pa.dictionary(pa.int32(), pa.string())), ("channel", pa.large_string())):
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(type))
    pq.write_table(table, tmp_path / "orders.parquet")
    warehouse.land(tmp_path)
    assert warehouse.rows("SELECT status, channel FROM {landing}.orders") == [("completed", "app")]


def test_columns_may_come_in_any_order_and_unknown_ones_are_named_and_ignored(warehouse, tmp_path):
    shuffled = {name: value for name, value in reversed(order(remark="hello").items())}
    report = warehouse.report(write_orders(tmp_path, [shuffled], [line()]))
    assert report.warnings == ["orders.csv: ignored unknown column remark"]
    assert warehouse.one("SELECT customer_id FROM {landing}.orders") == 7


def test_files_that_belong_to_no_table_are_named(warehouse, tmp_path):
    write_csv(tmp_path / "Refunds.csv", [{"refund_id": "1"}])
    (tmp_path / "complaint").mkdir()
    (tmp_path / "README.md").write_text("what this is")
    report = warehouse.report(write_orders(tmp_path, [order()], [line()]))
    assert report.warnings == ["Refunds.csv, complaint: ignored, as no table of the landing contract has this name"]


def test_text_that_is_not_utf8_is_refused_and_the_header_of_such_a_file_told(warehouse, tmp_path):
    write_orders(tmp_path, [order()], [line()])
    rows = b"".join(b"%d,plain,2024-01-01\n" % number for number in range(1, 1000))
    content = b"customer_id,business_type,registered_at\n" + rows + b"1000,caf\xe9,2024-01-01\n"
    (tmp_path / "customers.csv").write_bytes(content)
    outcome = warehouse.land(tmp_path)["customers"]
    assert (outcome.landed, outcome.reasons) == (999, {"not UTF-8 text: business_type": 1})
    (tmp_path / "customers.csv").write_bytes("customer_id,registered_at,café\n".encode("latin-1"))
    with pytest.raises(
        TierhouseError, match=r"customers\.csv is neither UTF-8, UTF-16 nor GB18030 text; save it as UTF-8"
    ):
        warehouse.land(tmp_path)


def test_a_refused_batch_is_told_in_one_line(warehouse, tmp_path):
    write_orders(tmp_path, [order(status="done\n" + "x" * 1000)], [line()])
    with pytest.raises(TierhouseError) as refusal:
        warehouse.land(tmp_path)
    assert "\n" not in str(refusal.value)
    assert "status=done xxxx" in str(refusal.value)
    assert "x" * 100 not in str(refusal.value)


def test_absent_optional_columns_take_the_contract_default(warehouse, tmp_path):
    write_csv(tmp_path / "customers.csv", [{"customer_id": "7", "registered_at": "2024-01-01 00:00:00"}])
    warehouse.land(write_orders(tmp_path, [order()], [line()]))
    assert warehouse.rows(
        "SELECT customer_name, chain_id, credit_term_days, credit_limit, status, is_deleted FROM {landing}.customers"
    ) == [("", None, 0, 0, "active", 0)]


def test_a_missing_version_is_the_event_time_of_the_row(warehouse, tmp_path):
    def without_version(row):
        return {name: value for name, value in row.items() if name != "updated_at"}

    write_csv(tmp_path / "invoices.csv", [
        {"invoice_id": "1", "customer_id": "7", "issued_on": "2024-03-05", "due_on": "2094-04-05", "amount": "10"},
    ])  # fmt: skip
    write_csv(tmp_path / "refunds.csv", [
        {"refund_id": "1", "order_id": "1", "refunded_at": "2024-03-04 12:00:00", "amount": "1", "updated_at": ""},
        {"refund_id": "2", "order_id": "1", "refunded_at": "2024-03-04 12:00:00", "amount": "1",
         "updated_at": "2024-03-06 12:00:00"},
    ])  # fmt: skip
    warehouse.land(write_orders(tmp_path, [without_version(order())], [without_version(line())]))
    at = "SELECT updated_at FROM {landing}."
    assert as_utc(warehouse.one(at + "orders")) == utc("2024-03-01 02:00:00")
    assert as_utc(warehouse.one(at + "order_lines")) == utc("2024-03-01 02:00:00")
    assert as_utc(warehouse.one(at + "invoices")) == utc("2024-03-04 16:00:00")
    refunds = warehouse.rows(at + "refunds ORDER BY refund_id")
    assert [as_utc(value) for (value,) in refunds] == [utc("2024-03-04 04:00:00"), utc("2024-03-06 04:00:00")]


def test_lines_without_version_take_the_time_of_an_order_landed_before(warehouse, tmp_path):
    warehouse.land(write_orders(tmp_path / "one", [order(1)], [line(1)]))
    late = [{name: value for name, value in line(1, 2).items() if name != "updated_at"}]
    warehouse.land(write_orders(tmp_path / "two", [order(2)], late))
    found = warehouse.one("SELECT updated_at FROM {landing}.order_lines WHERE line_no = 2")
    assert as_utc(found) == utc("2024-03-01 02:00:00")


def test_rows_without_any_time_take_the_load_time_and_land_again_only_when_they_change(warehouse, tmp_path):
    write_orders(tmp_path, [order()], [line()])
    products = [
        {"product_id": "1", "product_name": "rice", "launched_on": ""},
        {"product_id": "2", "product_name": "tea", "launched_on": "2024-01-05"},
    ]
    write_csv(tmp_path / "products.csv", products)
    assert warehouse.land(tmp_path)["products"].landed == 2
    assert warehouse.one("SELECT updated_at = _loaded_at FROM {landing}.products WHERE product_id = 1")
    assert warehouse.land(tmp_path)["products"].already_there == 2
    products[0]["product_name"] = "brown rice"
    write_csv(tmp_path / "products.csv", products)
    again = warehouse.land(tmp_path)["products"]
    assert (again.landed, again.already_there) == (1, 1)


def test_an_open_end_far_in_the_future_is_null(warehouse, tmp_path):
    write_csv(tmp_path / "manager_inputs.csv", [
        {"input_id": "1", "customer_id": "7", "manager_id": "3", "input_type": "tag", "valid_from": "2024-03-01",
         "valid_to": "9999-12-31", "entered_at": "2024-03-01 09:00:00"},
    ])  # fmt: skip
    warehouse.land(write_orders(tmp_path, [order()], [line()]))
    found = warehouse.rows("SELECT valid_from, valid_to FROM {landing}.manager_inputs")
    assert found == [(date(2024, 3, 1), None)]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_day_that_stands_for_none_is_unknown_and_told_and_the_row_lands(warehouse, tmp_path, suffix):
    days = ["9999-12-31 00:00:00", "1900-01-01 00:00:00", "1970-01-01 00:00:00", "2099-12-31 23:59:59"]
    orders = [order(1, delivered_at="2024-03-02 10:00:00")] + [
        order(number, delivered_at=day) for number, day in enumerate(days, 2)
    ]
    customers = [
        {"customer_id": str(number), "registered_at": day, "customer_name": "x", "updated_at": "2024-03-01 10:00:00"}
        for number, day in enumerate(["2020-01-01 00:00:00", "1955-05-05 10:00:00", *days])
    ]
    write = {".csv": write_csv, ".parquet": _write_times, ".jsonl": write_json}[suffix]
    write_orders(tmp_path, [order()], [line()])
    (tmp_path / "orders.csv").unlink()
    write(tmp_path / f"orders{suffix}", orders)
    write(tmp_path / f"customers{suffix}", customers)
    outcome = warehouse.land(tmp_path)
    assert (outcome["orders"].landed, outcome["customers"].landed) == (5, 6)
    told = "before 1970 or far ahead, taken as unknown"
    assert outcome["orders"].warnings == [f"orders{suffix}: 4 delivered_at {told}"]
    assert outcome["customers"].warnings == [f"customers{suffix}: 5 registered_at {told}"]
    assert warehouse.one("SELECT groupArray(order_id) FROM {landing}.orders WHERE delivered_at IS NOT NULL") == [1]
    assert warehouse.one("SELECT groupArray(customer_id) FROM {landing}.customers WHERE registered_at > 0") == [0]


def test_a_customer_of_unknown_registration_without_a_version_has_the_first_one(warehouse, tmp_path):
    write_orders(tmp_path, [order()], [line()])
    write_csv(tmp_path / "customers.csv", [{"customer_id": "7", "registered_at": "1955-05-05"}])
    write_csv(tmp_path / "products.csv", [{"product_id": "5", "product_name": "tea", "launched_on": "1900-01-01"}])
    outcome = warehouse.land(tmp_path)
    assert as_utc(warehouse.one("SELECT updated_at FROM {landing}.customers")) == utc("1970-01-02 00:00:00")
    assert warehouse.rows("SELECT launched_on, updated_at = _loaded_at FROM {landing}.products") == [(None, 1)]
    assert outcome["products"].warnings == ["products.csv: 1 launched_on before 1970 or far ahead, taken as unknown"]


def test_a_date_ahead_that_could_be_meant_and_a_day_that_is_none_are_refused(warehouse, tmp_path):
    orders = [order(), order(2, delivered_at="2098-01-01 00:00:00"), order(3, delivered_at="9999-99-99"),
              order(4, ordered_at="1900-01-01 00:00:00")]  # fmt: skip
    outcome = warehouse.land(write_orders(tmp_path, orders, [line()]), limit=1)["orders"]
    assert outcome.warnings == []
    assert outcome.reasons == {
        "date in the future: delivered_at": 1, "unparsable value: delivered_at": 1, "unparsable value: ordered_at": 1,
    }  # fmt: skip


def _write_times(path, rows):
    """Parquet with times of microseconds, which reach further than those of pandas."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    for name, values in columns.items():
        if name.endswith("_at"):
            columns[name] = pa.array([datetime.fromisoformat(value) for value in values], pa.timestamp("us"))
        elif name.endswith("_id"):
            columns[name] = [int(value) for value in values]
    pq.write_table(pa.table(columns), path)


@pytest.mark.parametrize("registered_at", [{}, {"registered_at": ""}])
def test_customers_whose_registration_is_not_delivered_land_once(warehouse, tmp_path, registered_at):
    write_orders(tmp_path, [order()], [line()])
    write_csv(tmp_path / "customers.csv", [{"customer_id": "7", "customer_name": "Lotus", **registered_at}])
    assert warehouse.land(tmp_path)["customers"].landed == 1
    assert warehouse.land(tmp_path)["customers"].landed == 0
    found = warehouse.rows("SELECT customer_name, registered_at FROM {landing}.customers")
    assert found == [("Lotus", datetime(1970, 1, 1))]

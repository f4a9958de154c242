"""Values of CSV files as spreadsheets in China save them: what lands, what stays refused, and what both cost nobody."""

from __future__ import annotations

import csv
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import spreadsheet_values
from deliveries import line, order, write_csv, write_orders
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from orchestration.errors import TierhouseError

AMBIGUOUS = "comma of thousands or decimals: {}"


def prices(warehouse) -> list[Decimal]:
    return [price for (price,) in warehouse.rows("SELECT unit_price FROM {landing}.order_lines ORDER BY line_no")]


def test_amounts_land_however_a_spreadsheet_writes_them(warehouse, tmp_path):
    texts = {
        "¥1,234.50": "1234.5", "￥1,234.50": "1234.5", "1,234.50": "1234.5", "12.5元": "12.5", "１２": "12", "１２．５０": "12.5",
        "1，234．50": "1234.5", "¥ 12": "12", " ¥12 元 ": "12", "\u00a012\u00a0": "12", "\u300012\u3000": "12", "12\t": "12",
        "1,234,567": "1234567", "12,345.6": "12345.6", "＋１２": "12", "+¥12": "12", "¥.5": "0.5", "1234.50": "1234.5",
    }  # fmt: skip
    lines = [line(1, number, unit_price=text) for number, text in enumerate(texts, 1)]
    outcome = warehouse.land(write_orders(tmp_path, [order()], lines), limit=0)["order_lines"]
    assert (outcome.delivered, outcome.landed) == (len(texts), len(texts))
    assert prices(warehouse) == [Decimal(value) for value in texts.values()]


def test_an_amount_of_no_single_meaning_is_refused_and_kept_as_it_was_delivered(warehouse, tmp_path):
    ambiguous = ["1,234", "¥1,234", "１，２３４元"]
    meaningless = [
        "12,5", "1.234,50", "0,500", "1,23,456.5", "1234,567.5", "1,234.", "¥", "元", "¥元", "-¥", "5 5", "¥¥5", "5元元", "--5",
        "5件", "五元",
    ]  # fmt: skip
    texts = ambiguous + meaningless
    refused = [line(1, number, unit_price=text, discount_amount="1元") for number, text in enumerate(texts, 2)]
    write_orders(tmp_path, [order()], [line(1, 1), *refused])
    outcome = warehouse.land(tmp_path, limit=1)["order_lines"]
    reason = "unparsable value: unit_price"
    expected = {reason: len(meaningless), f"{reason}; {AMBIGUOUS}".format("unit_price"): len(ambiguous)}
    assert (outcome.landed, outcome.reasons) == (1, expected)
    found = warehouse.rows(
        "SELECT unit_price, discount_amount, endsWith(_reason, 'decimals: unit_price') FROM {quarantine}.order_lines "
        "ORDER BY toUInt64(line_no)"
    )
    assert found == [(text, "1元", text in ambiguous) for text in texts]


def test_a_quantity_has_no_currency_and_what_tidying_finds_is_judged_as_ever(warehouse, tmp_path):
    changes = [{"quantity": "5元"}, {"unit_price": "¥-5"}, {"unit_price": "¥200,000,000.00"}, {"quantity": "1,500.5"}]
    write_orders(tmp_path, [order()], [line(1, number, **change) for number, change in enumerate(changes, 1)])
    outcome = warehouse.land(tmp_path, limit=1)["order_lines"]
    assert outcome.reasons == {
        "unparsable value: quantity": 1, "negative value: unit_price": 1, "amount over the bound: unit_price": 1,
    }  # fmt: skip
    assert warehouse.rows("SELECT line_no, quantity FROM {landing}.order_lines") == [(4, Decimal("1500.5"))]


def test_times_and_days_land_in_chinese_and_with_points(warehouse, tmp_path):
    texts = {
        "2026年3月1日": "2026-03-01 00:00:00", "2026年03月01日 05:30:00": "2026-03-01 05:30:00",
        "２０２６年３月１日　０５：３０": "2026-03-01 05:30:00", "2026年3月1日05:30": "2026-03-01 05:30:00",
        "2026.3.1": "2026-03-01 00:00:00", "2026.03.01 05:30:00": "2026-03-01 05:30:00", "2026/3/1": "2026-03-01 00:00:00",
        "2026/3/1 5:30": "2026-03-01 05:30:00", "\u00a02026-03-01\u3000": "2026-03-01 00:00:00",
        "20260301": "2026-03-01 00:00:00", "２０２６０３０１": "2026-03-01 00:00:00", "20260301 05:30": "2026-03-01 05:30:00",
        "20260301T05:30:00": "2026-03-01 05:30:00", "20260301053009": "2026-03-01 05:30:09", "2026年3月1日5时30分": "2026-03-01 05:30:00",
        "2026年3月1日 05时30分09秒": "2026-03-01 05:30:09", "2026-03-01 5时30分": "2026-03-01 05:30:00",
    }  # fmt: skip
    orders = [order(number, ordered_at=text, updated_at=text) for number, text in enumerate(texts, 1)]
    assert warehouse.land(write_orders(tmp_path, orders, [line()]), limit=0)["orders"].landed == len(texts)
    found = warehouse.rows(
        "SELECT formatDateTime(ordered_at, '%F %T', 'Asia/Shanghai'), ordered_at = updated_at FROM {landing}.orders ORDER BY order_id"
    )
    assert found == [(value, 1) for value in texts.values()]


def test_a_day_that_is_none_stays_refused(warehouse, tmp_path):
    texts = [
        "2026年3月", "2026年13月1日", "2026年2月30日", "26年3月1日", "1.3.2026", "2026.3", "2026年3.1", "20261301", "20260230", "260301",
        "12260301", "2026031", "20260301250000", "2026030105", "2026年3月1日5时", "2026年3月1日25时30分", "1767225600",
    ]  # fmt: skip
    refused = [order(number, ordered_at=text) for number, text in enumerate(texts, 2)]
    outcome = warehouse.land(write_orders(tmp_path, [order(), *refused], [line()]), limit=1)["orders"]
    assert (outcome.landed, outcome.reasons) == (1, {"unparsable value: ordered_at": len(texts)})
    assert warehouse.rows("SELECT ordered_at FROM {quarantine}.orders ORDER BY toUInt64(order_id)") == [
        (text,) for text in texts
    ]


def test_ids_choices_and_missing_values_may_have_blanks_and_wide_digits(warehouse, tmp_path):
    changes = {
        "customer_id": "\t１２\u00a0",
        "status": "\u3000completed ",
        "is_deleted": "０",
        "delivered_at": "\u3000",
    }
    other = {"is_deleted": "0", "delivered_at": None}
    write_orders(tmp_path, [order(1, **changes), order(2, **other, customer_id="\u3000")], [line(unit_cost="\u00a0")])
    outcome = warehouse.land(tmp_path, limit=1)
    assert outcome["orders"].reasons == {"missing value: customer_id": 1}
    assert warehouse.rows("SELECT customer_id, status, delivered_at FROM {landing}.orders") == [(12, "completed", None)]
    assert warehouse.rows("SELECT unit_cost FROM {landing}.order_lines") == [(None,)]


def test_free_text_lands_as_it_is_also_in_a_row_that_is_tidied(warehouse, tmp_path):
    write_orders(tmp_path, [order()], [line()])
    name = "\u3000１号店，￥ "
    write_csv(
        tmp_path / "customers.csv",
        [
            {"customer_id": n, "customer_name": name, "registered_at": day}
            for n, day in ((1, "2024-03-01"), (2, "2024年3月1日"))
        ],
    )
    assert warehouse.land(tmp_path)["customers"].landed == 2
    assert warehouse.rows("SELECT DISTINCT customer_name FROM {landing}.customers") == [(name.rstrip(" "),)]


def test_a_day_that_stands_for_none_is_unknown_in_chinese_too(warehouse, tmp_path):
    orders = [
        order(1, delivered_at="1900年1月1日"),
        order(2, delivered_at="9999-12-31"),
        order(3, delivered_at="2024年3月2日"),
    ]
    outcome = warehouse.land(write_orders(tmp_path, orders, [line()]), limit=0)["orders"]
    assert outcome.warnings == ["orders.csv: 2 delivered_at before 1970 or far ahead, taken as unknown"]
    assert warehouse.one("SELECT count() FROM {landing}.orders WHERE delivered_at IS NULL") == 2


def test_a_tidied_row_is_the_plain_one_and_lands_once(warehouse, tmp_path):
    wide = [line(1, 1, unit_price="¥2.55", updated_at="2024年3月1日 10:05:00"), line(1, 2, unit_price="x")]
    write_orders(tmp_path / "wide", [order()], wide)
    write_orders(tmp_path / "plain", [order()], [line(1, 1), line(1, 2, unit_price="x")])
    for folder, landed in (("wide", 1), ("wide", 0), ("plain", 0)):
        outcome = warehouse.land(tmp_path / folder, limit=1)["order_lines"]
        assert (outcome.delivered, outcome.landed, outcome.already_there, outcome.quarantined) == (
            2,
            landed,
            1 - landed,
            1,
        )
    assert warehouse.one("SELECT count() FROM {landing}.order_lines") == 1
    assert warehouse.rows("SHOW TABLES FROM {incoming}") == [("journal",)]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_header_in_the_middle_of_a_file_has_a_reason_of_its_own(warehouse, tmp_path, mark):
    header = "Order_ID,line_no,product_id,quantity, unit_price,note"
    text = f"{header}\n1,1,5,1,2,a\n{mark}{header}\n1,2,5,1,2,b\n{mark}order_id,line_no\n"
    write_csv(tmp_path / "orders.csv", [order()])
    (tmp_path / "order_lines.csv").write_text(text, encoding="utf-8")
    outcome = warehouse.land(tmp_path, limit=1)["order_lines"]
    assert (outcome.landed, outcome.reasons) == (2, {"repeated header": 1, "fewer fields than the header": 1})


def test_a_batch_over_the_limit_is_told_the_form_that_each_column_expects(warehouse, tmp_path):
    lines = [line(1, 1, unit_price="1,234"), line(1, "a"), line(1, 3, updated_at="yesterday", unit_price="x")]
    write_orders(tmp_path, [order()], lines)
    with pytest.raises(TierhouseError) as caught:
        warehouse.land(tmp_path)
    told = str(caught.value)
    for form in (
        "line_no is a whole number such as 1234",
        "unit_price is a number such as 1234.50",
        "updated_at is a time such as 2026-03-01 05:30:00",
    ):
        assert told.count(form) == 1
    assert AMBIGUOUS.format("unit_price") in told and "\n" not in told


def test_a_quote_that_is_never_closed_is_told_with_its_row_also_after_tidied_ones(warehouse, tmp_path):
    write_csv(tmp_path / "orders.csv", [order()])
    header = "order_id,line_no,product_id,quantity,unit_price"
    (tmp_path / "order_lines.csv").write_text(f'{header}\n1,1,5,1,¥2\n1,2,5,1,"¥2\n1,3,5,1,2\n', encoding="utf-8")
    with pytest.raises(
        TierhouseError, match="a quote opens and is never closed, in the row with order_id=1, line_no=2"
    ):
        warehouse.land(tmp_path)


_digits = st.sampled_from(["0", "1", "12", "234", "500", "１", "２３４", "000"])
_signs = st.sampled_from(["", "", "", "-", "+", "－", "−"])
_gaps = st.sampled_from(["", "", "", " ", "\u00a0", "\u3000", "\t", "\ufeff"])
_commas = st.lists(st.tuples(st.sampled_from([",", "，", ".", "．", ",", ""]), _digits), max_size=3)
_amounts = st.tuples(
    _gaps, _signs, st.sampled_from(["", "", "¥", "￥"]), _gaps, _signs, _digits,
    _commas.map(lambda groups: "".join(mark + digits for mark, digits in groups)),
    st.sampled_from(["", "", ".", ",5"]), _gaps, st.sampled_from(["", "", "元", "元元", "件"]), _gaps,
).map("".join)  # fmt: skip
_separators = st.sampled_from([("年", "月", "日"), ("年", "月", "日"), (".", ".", ""), ("/", "/", ""), ("-", "／", ""), ("年", "月", ""),
                               (".", "-", ""), ("-", "-", "日"), ("．", "．", ""), ("", "", ""), ("", "", "")])  # fmt: skip
_days = st.builds(
    lambda before, year, marks, month, day, gap, clock, after: (
        before + year + marks[0] + month + marks[1] + day + marks[2] + gap + clock + after
    ),
    _gaps,
    st.sampled_from(["2024", "2024", "２０２３", "24", "1999"]),
    _separators,
    st.sampled_from(["3", "02", "12", "１", "13", "0"]),
    st.sampled_from(["1", "09", "29", "３１", "32", "0"]),
    st.sampled_from(["", " ", "\u3000", "T", "  "]),
    st.sampled_from(["", "", "05:30:00", "5:30", "０５：３０：００", "23:59:59.5", "5时30分", "０５时30分09秒"]),
    _gaps,
)


# Each example is a landing: smaller ones would be looked for during minutes, and the row that fails is told anyway.
@settings(
    max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(_amounts, _days), min_size=1, max_size=60))
def test_random_texts_mean_what_a_second_implementation_reads(warehouse, rows):
    for layer in ("landing", "quarantine"):
        warehouse.client.command(f"TRUNCATE TABLE {warehouse.settings.database(layer)}.invoices SYNC")
    with TemporaryDirectory() as folder:
        write_orders(Path(folder), [order()], [line()])
        with (Path(folder) / "invoices.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            writer.writerow(["invoice_id", "customer_id", "issued_on", "due_on", "amount"])
            writer.writerows([number, "１", day, "2024-05-01", amount] for number, (amount, day) in enumerate(rows))
        outcome = warehouse.land(Path(folder), limit=1)["invoices"]
    landed = {
        number: (amount, day)
        for number, amount, day in warehouse.rows("SELECT invoice_id, amount, issued_on FROM {landing}.invoices")
    }
    refused = {
        int(number): (amount, day, reason)
        for number, amount, day, reason in warehouse.rows(
            "SELECT invoice_id, amount, issued_on, _reason FROM {quarantine}.invoices"
        )
    }
    expected: dict[int, tuple[Decimal, date]] = {}
    for number, (text, day_text) in enumerate(rows):
        amount, day = spreadsheet_values.amount(text), spreadsheet_values.day(day_text)
        too_much = amount is not None and abs(amount) > 100_000_000
        if amount is not None and day is not None and not too_much:
            expected[number] = (amount, day)
            continue
        reasons = [
            ("unparsable value: issued_on", day is None),
            ("unparsable value: amount", amount is None),
            ("amount over the bound: amount", too_much),
            (AMBIGUOUS.format("amount"), spreadsheet_values.may_be_a_decimal_comma(text)),
        ]
        assert refused[number] == (text, day_text, "; ".join(reason for reason, holds in reasons if holds))
    assert landed == expected
    assert outcome.delivered == len(rows) == outcome.landed + outcome.already_there + outcome.quarantined

"""CSV files as people make them: rows of another number of fields, quotes, blank lines, line ends, headers."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard
from deliveries import line, order, write_csv, write_orders

from orchestration.errors import TierhouseError

HEADER = "order_id,line_no,product_id,quantity,unit_price"
FEWER, MORE = "fewer fields than the header", "more fields than the header"
PACK = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


def deliver(directory: Path, text: str | bytes, suffix: str = "", orders: int = 3) -> Path:
    """A folder with a few orders and the order lines of this text."""
    write_csv(directory / "orders.csv", [order(number) for number in range(1, orders + 1)])
    content = text.encode() if isinstance(text, str) else text
    (directory / f"order_lines.csv{suffix}").write_bytes(PACK[suffix](content))
    return directory


def deliver_each(directory: Path, texts: list[str]) -> Path:
    """A folder with a few orders and their lines in as many files as there are texts."""
    write_csv(directory / "orders.csv", [order(number) for number in range(1, len(texts) + 1)])
    (directory / "order_lines").mkdir()
    for number, text in enumerate(texts):
        (directory / "order_lines" / f"{number}.csv").write_bytes(text.encode())
    return directory


@pytest.mark.parametrize("suffix", PACK)
def test_rows_with_too_few_or_too_many_fields_are_quarantined_and_the_others_land(warehouse, tmp_path, suffix):
    rows = ["1,1,5,1,2", "1,2,5,1", "1,3,5,1,2,9", "1,4,5,1,2,", "1", "1,5,5,1,2,8,8,8", "2,1,5,1,2"]
    outcome = warehouse.land(deliver(tmp_path, "\n".join([HEADER, *rows]), suffix), limit=1)["order_lines"]
    assert outcome.reasons == {FEWER: 2, MORE: 3}
    assert (outcome.delivered, outcome.landed, outcome.already_there, outcome.quarantined) == (7, 2, 0, 5)
    assert warehouse.rows("SELECT order_id, line_no FROM {landing}.order_lines ORDER BY 1") == [(1, 1), (2, 1)]
    kept = warehouse.rows("SELECT line_no, unit_price, _reason, _file FROM {quarantine}.order_lines ORDER BY line_no")
    file = f"order_lines.csv{suffix}"
    assert kept == [("2", None, FEWER, file), ("3", "2", MORE, file), ("4", "2", MORE, file), ("5", "2", MORE, file),
                    (None, None, FEWER, file)]  # fmt: skip
    again = warehouse.land(tmp_path, limit=1)["order_lines"]
    assert (again.delivered, again.landed, again.already_there, again.quarantined) == (7, 0, 2, 5)
    assert warehouse.one("SELECT count() FROM {quarantine}.order_lines") == 5


def test_rows_of_the_wrong_length_count_for_the_limit(warehouse, tmp_path):
    rows = [f"1,{number},5,1,2" for number in range(1, 100)]
    assert warehouse.land(deliver(tmp_path / "one", "\n".join([HEADER, *rows, "1"])))["order_lines"].landed == 99
    with pytest.raises(TierhouseError, match=f"2 of 101 rows .* were refused: {FEWER} .1., {MORE} .1.;"):
        warehouse.land(deliver(tmp_path / "two", "\n".join([HEADER, *rows, "1", "2,1,5,1,2,6"])))


@pytest.mark.parametrize("last", ["", "x", r"\N"])
def test_an_empty_or_null_last_field_is_there_and_unknown_columns_count_as_fields(warehouse, tmp_path, last):
    text = f"{HEADER},unit_cost,note\n1,1,5,1,2,,{last}\n1,2,5,1,2,3,{last}\n1,3,5,1,2,3\n"
    outcome = warehouse.land(deliver(tmp_path, text), limit=1)["order_lines"]
    assert (outcome.landed, outcome.reasons) == (2, {FEWER: 1})
    assert outcome.warnings == ["order_lines.csv: ignored unknown column note"]
    text = f"product_id,quantity,order_id,line_no,unit_price,unit_cost\n5,1,2,1,2,{last.replace('x', '1')}\n5,1,2,2,2"
    outcome = warehouse.land(deliver(tmp_path, text), limit=1)["order_lines"]
    assert (outcome.landed, outcome.reasons) == (1, {FEWER: 1})


def test_rows_of_every_table_may_be_too_short_or_too_long(warehouse, tmp_path):
    from orchestration.landing.contract import TABLES

    write_orders(tmp_path, [order()], [line()])
    for table in TABLES.values():
        names = [column.name for column in table.columns]
        fields = ["1"] * len(names)
        rows = [names, fields[:-1], [*fields, "1"], fields[:1]]
        if table.name not in ("orders", "order_lines"):
            (tmp_path / f"{table.name}.csv").write_text("\n".join(",".join(row) for row in rows), encoding="utf-8")
    for name, outcome in warehouse.land(tmp_path, limit=1).items():
        if name not in ("orders", "order_lines"):
            assert (outcome.delivered, outcome.reasons) == (3, {FEWER: 2, MORE: 1}), name


def test_a_file_of_one_column_has_no_short_rows(warehouse, tmp_path):
    write_orders(tmp_path, [order()], [line()])
    (tmp_path / "categories.csv").write_text('category_id\n1\n\n""\n2\n3,4\n', encoding="utf-8")
    outcome = warehouse.land(tmp_path, limit=1)["categories"]
    assert (outcome.delivered, outcome.landed, outcome.reasons) == (3, 2, {MORE: 1})


def test_blank_lines_are_no_rows_with_any_line_end_and_mark(warehouse, tmp_path):
    variants = [(end, mark) for end in ("\n", "\r\n") for mark in ("", "\ufeff")]
    files = []
    for number, (end, mark) in enumerate(variants, 1):
        rows = [HEADER, "", f"{number},1,5,1,2", "", "  ", f"{number},2,5,1,2", f"{number},3,5,1", "", ""]
        files.append(mark + end.join(rows))
    outcome = warehouse.land(deliver_each(tmp_path, files), limit=1)["order_lines"]
    assert (outcome.delivered, outcome.landed, outcome.reasons) == (12, 8, {FEWER: 4})


def test_a_row_without_any_value_is_no_row_and_is_told(warehouse, tmp_path):
    rows = ["1,1,5,1,2", ",,,,", ",,", ' ,"",\\N,\u3000,\t', "2,1,5,1,2", ",,,,", "  "]
    outcome = warehouse.land(deliver(tmp_path, "\n".join([HEADER, *rows])), limit=0)["order_lines"]
    assert (outcome.delivered, outcome.landed, outcome.quarantined) == (2, 2, 0)
    assert outcome.warnings == ["order_lines.csv: rows without any value, taken for none: 4"]
    audit = warehouse.rows(
        "SELECT delivered, landed, warnings FROM {marts}.load_audit WHERE table_name = 'order_lines'"
    )
    assert audit == [(2, 2, outcome.warnings)]


def test_a_row_with_a_value_in_an_unknown_column_or_with_more_separators_than_the_header_is_a_row(warehouse, tmp_path):
    rows = ["1,1,5,1,2,", ",,,,,x", ",,,,,,", ",,,,,"]
    outcome = warehouse.land(deliver(tmp_path, "\n".join([f"{HEADER},note", *rows])), limit=1)["order_lines"]
    assert (outcome.delivered, outcome.landed, outcome.quarantined) == (3, 1, 2)
    assert outcome.reasons[MORE] == 1 and "missing key: order_id" in " ".join(outcome.reasons)
    assert outcome.warnings[1:] == ["order_lines.csv: rows without any value, taken for none: 1"]


def test_quoted_separators_line_ends_and_quotes_are_text(warehouse, tmp_path):
    write_orders(tmp_path, [order()], [line()])
    text = 'customer_id,customer_name,registered_at\n7,"a, b\nc ""d""",2024-01-01\n8,5" pipe,2024-01-01\n'
    (tmp_path / "customers.csv").write_text(text, encoding="utf-8")
    assert warehouse.land(tmp_path)["customers"].landed == 2
    names = warehouse.rows("SELECT customer_name FROM {landing}.customers ORDER BY customer_id")
    assert names == [('a, b\nc "d"',), ('5" pipe',)]


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("columns", ["customer_id,customer_name,registered_at", "customer_id,registered_at,city"])
def test_a_quote_that_is_never_closed_stops_the_landing_and_its_row_is_named(warehouse, tmp_path, columns, suffix):
    write_orders(tmp_path, [order()], [line()])
    good = [f"{number},2024-01-01,2024-01-01" for number in range(1, 2000)]
    rows = [columns, *good, '2000,"2024-01-01,2024-01-01', *good] if "city" not in columns else [
        columns, *good, '2000,2024-01-01,"Lyon', *good]  # fmt: skip
    (tmp_path / f"customers.csv{suffix}").write_bytes(PACK[suffix]("\n".join(rows).encode()))
    with pytest.raises(TierhouseError, match=r"customers\.csv.*: a quote opens and is never closed.*customer_id=2000:"):
        warehouse.land(tmp_path)
    assert warehouse.contents("customers") == warehouse.contents("orders") == []
    assert warehouse.rows("SHOW TABLES FROM {incoming}") == [("journal",)]


def test_text_after_a_closing_quote_stops_the_landing_and_is_shown(warehouse, tmp_path):
    text = f'{HEADER}\n1,1,5,1,2\n1,2,"5"x,1,2\n'
    with pytest.raises(TierhouseError, match=r"cannot read order_lines\.csv: text follows .*before 'x,1,2';") as caught:
        warehouse.land(deliver(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_header_may_have_blanks_and_capitals(warehouse, tmp_path):
    text = 'Order_ID, LINE_NO ,product_id,"quantity ",Unit_Price\n1,1,5,1,2\n'
    assert warehouse.land(deliver(tmp_path, text))["order_lines"].landed == 1


def test_a_column_of_the_contract_may_occur_once_and_others_as_often_as_they_like(warehouse, tmp_path):
    with pytest.raises(TierhouseError, match="has the column quantity more than once"):
        warehouse.land(deliver(tmp_path, f"{HEADER},Quantity\n1,1,5,1,2,3\n"))
    outcome = warehouse.land(deliver(tmp_path, f"{HEADER},,\n1,1,5,1,2,,\n"))["order_lines"]
    assert outcome.landed == 1
    assert outcome.warnings == ["order_lines.csv: ignored unknown columns '', ''"]


def test_a_header_alone_delivers_nothing(warehouse, tmp_path):
    files = [HEADER, f"{HEADER}\n", f"{HEADER}\r\n\r\n"]
    outcome = warehouse.land(deliver_each(tmp_path, files))["order_lines"]
    assert (outcome.delivered, outcome.landed, outcome.quarantined) == (0, 0, 0)


@pytest.mark.parametrize("text", ["", "\n", "\n\n\n"])
def test_a_file_without_a_header_is_told_to_have_none(warehouse, tmp_path, text):
    with pytest.raises(TierhouseError, match=r"order_lines\.csv is empty; deliver at least a header"):
        warehouse.land(deliver(tmp_path, text))


def test_rows_of_another_separator_than_the_header_are_refused_with_an_example(warehouse, tmp_path):
    with pytest.raises(TierhouseError, match=f"{FEWER} .1.; for example order_id=1;1;5;1;2"):
        warehouse.land(deliver(tmp_path, f"{HEADER}\n1;1;5;1;2\n"))


@pytest.mark.parametrize("suffix", PACK)
def test_lines_that_end_with_a_carriage_return_alone_are_told_instead_of_delivering_nothing(
    warehouse, tmp_path, suffix
):
    with pytest.raises(TierhouseError, match="its lines end with a carriage return alone; save it with line feeds"):
        warehouse.land(deliver(tmp_path, f"{HEADER}\r1,1,5,1,2\r1,2,5,1,2\r", suffix))


def chinese(first: int) -> str:
    """Three customers with a comma in their names, numbered from `first` on."""
    names = enumerate(["川味", "㐂寿司", "兰州牛肉面"])
    rows = "".join(f'{first + number},"{name}，{number + 1}号店",2024/1/{number + 1}\n' for number, name in names)
    return f"customer_id,customer_name,registered_at\n{rows}"


def test_a_chinese_spreadsheet_lands_in_either_encoding_with_the_same_names(warehouse, tmp_path):
    write_orders(tmp_path, [order()], [line()])
    (tmp_path / "customers").mkdir()
    variants = [(encoding, suffix) for encoding in ("gb18030", "utf-8", "utf-8-sig") for suffix in PACK]
    for number, (encoding, suffix) in enumerate(variants):
        path = tmp_path / "customers" / f"{encoding}.csv{suffix}"
        path.write_bytes(PACK[suffix](chinese(3 * number).encode(encoding)))
    outcome = warehouse.land(tmp_path)["customers"]
    assert set(outcome.warnings) == {f"customers/gb18030.csv{suffix}: read as GB18030 text" for suffix in PACK}
    names = warehouse.rows("SELECT customer_name FROM {landing}.customers ORDER BY customer_id")
    assert names == [("川味，1号店",), ("㐂寿司，2号店",), ("兰州牛肉面，3号店",)] * len(variants)


def test_a_character_cut_by_a_piece_is_recoded_and_a_broken_one_refused(warehouse, tmp_path):
    write_orders(tmp_path, [order()], [line()])
    rows = "".join(f"{number},{'鲜' * (number % 50)},2024-01-01\n" for number in range(1, 20_000))
    content = f"customer_id,customer_name,registered_at\n{rows}".encode("gb18030") + b"20000,\x81,2024-01-01\n"
    (tmp_path / "customers.csv").write_bytes(content)
    outcome = warehouse.land(tmp_path)["customers"]
    assert (outcome.landed, outcome.reasons) == (19_999, {"not UTF-8 text: customer_name": 1})
    strange = "SELECT count() FROM {landing}.customers WHERE customer_name != repeat('鲜', toUInt64(customer_id % 50))"
    assert warehouse.one(strange) == 0


def test_the_unicode_text_of_a_spreadsheet_lands_with_tabs_and_the_same_names(warehouse, tmp_path):
    write_orders(tmp_path, [order()], [line()])
    (tmp_path / "customers").mkdir()
    variants = [(order_of_bytes, suffix) for order_of_bytes in ("utf-16-be", "utf-16-le") for suffix in PACK]
    for number, (order_of_bytes, suffix) in enumerate(variants):
        lines = chinese(3 * number).replace(",", "\t").replace("1号店", "1号店𠮷").replace("\n", "\r\n")
        path = tmp_path / "customers" / f"{order_of_bytes}.txt{suffix}"
        path.write_bytes(PACK[suffix](f"\ufeff{lines}".encode(order_of_bytes)))
    (tmp_path / "readme.txt").write_text("a note beside them", encoding="utf-8")
    report = warehouse.report(tmp_path)
    assert set(report.warnings) == {
        f"customers/{order_of_bytes}.txt{suffix}: read as UTF-16 text" for order_of_bytes, suffix in variants
    }
    names = warehouse.rows("SELECT customer_name FROM {landing}.customers ORDER BY customer_id")
    assert names == [("川味，1号店𠮷",), ("㐂寿司，2号店",), ("兰州牛肉面，3号店",)] * len(variants)


def test_half_a_character_of_utf16_is_refused_and_a_file_cut_within_one_stops_the_landing(warehouse, tmp_path):
    write_orders(tmp_path, [order()], [line()])
    rows = "".join(f"{number}\t{'鲜' * (number % 50)}\t2024-01-01\n" for number in range(1, 20_000))
    text = f"customer_id\tcustomer_name\tregistered_at\n{rows}20000\t\ud842\t2024-01-01\n"
    content = text.encode("utf-16", "surrogatepass")
    (tmp_path / "customers.tsv").write_bytes(content)
    outcome = warehouse.land(tmp_path)["customers"]
    assert (outcome.landed, outcome.reasons) == (19_999, {"not UTF-8 text: customer_name": 1})
    strange = "SELECT count() FROM {landing}.customers WHERE customer_name != repeat('鲜', toUInt64(customer_id % 50))"
    assert warehouse.one(strange) == 0
    (tmp_path / "customers.tsv").write_bytes(content[:-1])
    with pytest.raises(TierhouseError, match=r"cannot read customers\.tsv: it ends within a character"):
        warehouse.land(tmp_path)
    assert warehouse.rows("SHOW TABLES FROM {incoming}") == [("journal",)]


def test_tabs_separate_quoted_empty_and_blank_values_too(warehouse, tmp_path):
    write_orders(tmp_path, [order()], [line()])
    rows = [
        '7\t"a\tb\n""c"""\t2024-01-01\t',
        "8\t\t 2024-01-01 \tx",
        "\t\t\t",
        "9\tz\t2024-01-01",
        " 10\t,;\t2024-01-01\t\\N",
    ]
    text = "\n".join(["customer_id\tcustomer_name\tregistered_at\tcity", *rows])
    (tmp_path / "customers.csv").write_text(text, encoding="utf-8")
    outcome = warehouse.land(tmp_path, limit=1)["customers"]
    assert (outcome.delivered, outcome.landed, outcome.reasons) == (4, 3, {FEWER: 1})
    found = warehouse.rows("SELECT customer_id, customer_name, city FROM {landing}.customers ORDER BY customer_id")
    assert found == [(7, 'a\tb\n"c"', ""), (8, "", "x"), (10, ",;", "")]


def test_another_separator_is_found_in_the_header(warehouse, tmp_path):
    files = [
        f"{HEADER}\n{number},1,5,1,2\n{number},2,5,1\n{number},3,5,1,2\n".replace(",", separator)
        for number, separator in enumerate(";|\t", 1)
    ]
    outcome = warehouse.land(deliver_each(tmp_path, files), limit=1)["order_lines"]
    assert (outcome.delivered, outcome.landed, outcome.reasons) == (9, 6, {FEWER: 3})


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_recoded_file_of_several_members_lands_whole_and_one_that_is_cut_off_not_at_all(warehouse, tmp_path, suffix):
    write_orders(tmp_path, [order()], [line()])
    # The first member is smaller than what is looked at for the encoding.
    rows = "".join(f"{number},鲜果{number},2024-01-01\n" for number in range(1, 100_000)).encode("gb18030")
    head = b"customer_id,customer_name,registered_at\n"
    whole = PACK[suffix](head + rows[:1_000]) + PACK[suffix](rows[1_000:])
    path = tmp_path / f"customers.csv{suffix}"
    path.write_bytes(whole)
    assert warehouse.land(tmp_path)["customers"].landed == 99_999
    path.write_bytes(whole[:-200])
    with pytest.raises(TierhouseError, match=rf"cannot read customers\.csv\{suffix}: Truncated compressed stream"):
        warehouse.land(tmp_path)

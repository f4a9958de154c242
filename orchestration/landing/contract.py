"""The landing contract as data: which tables and columns a loader delivers, and what each value must satisfy."""

from __future__ import annotations

from dataclasses import dataclass

MONEY = "Decimal(18, 2)"
PRICE = "Decimal(18, 4)"
QUANTITY = "Decimal(18, 3)"
TIME = "DateTime64(3, 'UTC')"
CATEGORY = "LowCardinality(String)"

_FORMS = {
    "integer": "a whole number such as 1234",
    "decimal": "a number such as 1234.50",
    "time": "a time such as 2026-03-01 05:30:00",
    "date": "a day such as 2026-03-01",
    "text": "a text",
}


@dataclass(frozen=True)
class Column:
    """One contract column and the rules its values are judged by.

    type: ClickHouse type without Nullable. default: what a missing value becomes in a column that is neither nullable
    nor required. values: the only texts (or whole numbers) allowed. at_most: largest number allowed. bounded: an
    amount or quantity that the configured bound limits. may_lie_ahead: a date that may be in the future.
    may_be_unknown: a day that stands for none, before 1970 or from 2099 on (2149 where
    it may lie ahead), is unknown instead of costing the row.
    """

    name: str
    type: str
    description: str
    nullable: bool = False
    required: bool = False
    default: str | int = ""
    values: tuple[str | int, ...] = ()
    at_most: int | None = None
    may_be_negative: bool = False
    bounded: bool = False
    may_lie_ahead: bool = False
    may_be_unknown: bool = False

    @property
    def kind(self) -> str:
        """What family of values it holds: integer, decimal, text, time or date."""
        if self.type.startswith("UInt"):
            return "integer"
        if self.type.startswith("Decimal"):
            return "decimal"
        if self.type.startswith("DateTime64"):
            return "time"
        return "date" if self.type.startswith("Date") else "text"

    @property
    def scale(self) -> int:
        """Digits after the point of a decimal column."""
        return int(self.type.rstrip(")").split(",")[1])

    @property
    def form(self) -> str:
        """What a value looks like, for people whose file holds another one."""
        if self.values:
            return f"one of {', '.join(map(str, self.values))}"
        return _FORMS[self.kind]

    @property
    def full_type(self) -> str:
        """The type of the landing column, with Nullable where the contract allows a missing value."""
        if not self.nullable:
            return self.type
        inner = self.type.removeprefix("LowCardinality(").removesuffix(")") if self.type == CATEGORY else self.type
        return f"LowCardinality(Nullable({inner}))" if self.type == CATEGORY else f"Nullable({inner})"


@dataclass(frozen=True)
class Table:
    """One landing table. key: the columns that identify a source row. event_time: the column that stands in for a
    missing `updated_at`; None where the order of the line (order_lines) or the load time does. bounded_products:
    pairs of columns whose product the configured bound limits."""

    name: str
    description: str
    key: tuple[str, ...]
    contract_columns: tuple[Column, ...]
    event_time: str | None
    bounded_products: tuple[tuple[str, str], ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns a file may deliver: those of the contract, then is_deleted and updated_at."""
        return (*self.contract_columns, IS_DELETED, UPDATED_AT)

    def column(self, name: str) -> Column:
        """The column of that name. Raises KeyError when the contract has none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


IS_DELETED = Column("is_deleted", "UInt8", "1 when the source deleted the row, else 0", default=0, values=(0, 1))
UPDATED_AT = Column(
    "updated_at", TIME, "The source's clock for this version of the row; a changed row needs a later one"
)


def _key(name: str, description: str, type: str = "UInt64") -> Column:
    return Column(name, type, description, required=True)


def _id(name: str, description: str, nullable: bool = False) -> Column:
    return Column(name, "UInt64", description, nullable=nullable, required=not nullable)


def _time(name: str, description: str, nullable: bool = False, may_be_unknown: bool = False) -> Column:
    is_required = not nullable and not may_be_unknown
    return Column(name, TIME, description, nullable=nullable, required=is_required, may_be_unknown=may_be_unknown)


def _date(name: str, description: str, nullable: bool = False, may_lie_ahead: bool = False) -> Column:
    return Column(name, "Date", description, nullable=nullable, required=not nullable, may_lie_ahead=may_lie_ahead)


def _text(name: str, description: str, default: str = "") -> Column:
    return Column(name, "String", description, default=default)


def _category(name: str, description: str, default: str = "") -> Column:
    return Column(name, CATEGORY, description, default=default)


def _choice(name: str, description: str, *values: str, default: str | None = None) -> Column:
    return Column(name, CATEGORY, description, required=default is None, default=default or "", values=values)


_TABLES = (
    Table(
        "customers",
        "One row per delivered version of a business customer.",
        ("customer_id",),
        (
            _key("customer_id", "Customer"),
            _text("customer_name", "Name of the business"),
            _category("business_type", "What kind of business it is, such as restaurant or canteen"),
            _category("region_code", "Sales region"),
            _category("city", "City"),
            _id("chain_id", "Chain the customer belongs to", nullable=True),
            _time("registered_at", "When the customer registered; the epoch where unknown", may_be_unknown=True),
            _id("account_manager_id", "Account manager in charge", nullable=True),
            Column("credit_term_days", "UInt16", "Days to pay an invoice; 0 means prepaid", default=0),
            Column("credit_limit", MONEY, "Largest open amount, CNY", default=0),
            _choice("status", "State of the account", "active", "blocked", "closed", default="active"),
        ),
        "registered_at",
    ),
    Table(
        "categories",
        "One row per delivered version of a product category.",
        ("category_id",),
        (
            _key("category_id", "Category", "UInt32"),
            _text("category_name", "Name of the category"),
            Column("parent_category_id", "UInt32", "Category above it", nullable=True),
        ),
        None,
    ),
    Table(
        "products",
        "One row per delivered version of a product.",
        ("product_id",),
        (
            _key("product_id", "Product"),
            _text("product_name", "Name of the product"),
            Column("category_id", "UInt32", "Category of the product", nullable=True),
            _category("unit", "Unit it is sold in"),
            Column("launched_on", "Date", "First day on sale", nullable=True, may_lie_ahead=True, may_be_unknown=True),
            _category("status", "State of the product", "active"),
        ),
        "launched_on",
    ),
    Table(
        "orders",
        "One row per delivered version of an order header.",
        ("order_id",),
        (
            _key("order_id", "Order"),
            _id("customer_id", "Customer who ordered"),
            _time("ordered_at", "When the order was placed"),
            _time("delivered_at", "When it was delivered", nullable=True, may_be_unknown=True),
            _choice("status", "State of the order", "created", "paid", "delivered", "completed", "cancelled"),
            _category("channel", "Way the order came in"),
        ),
        "ordered_at",
    ),
    Table(
        "order_lines",
        "One row per delivered version of an order line.",
        ("order_id", "line_no"),
        (
            _key("order_id", "Order of the line"),
            _key("line_no", "Number of the line within its order", "UInt32"),
            _id("product_id", "Product ordered"),
            Column("quantity", QUANTITY, "Quantity in the product's unit", required=True, bounded=True),
            Column("unit_price", PRICE, "Price of one unit, CNY", required=True, bounded=True),
            Column("discount_amount", MONEY, "Discount of the whole line, CNY", default=0, bounded=True),
            Column(
                "tier_discount_amount",
                MONEY,
                "Part of the discount that the tier granted, CNY",
                default=0,
                bounded=True,
            ),
            Column("unit_cost", PRICE, "Cost of one unit, CNY", nullable=True, bounded=True),
        ),
        None,
        (("quantity", "unit_price"), ("quantity", "unit_cost")),
    ),
    Table(
        "refunds",
        "One row per delivered version of a refund.",
        ("refund_id",),
        (
            _key("refund_id", "Refund"),
            _id("order_id", "Order refunded"),
            Column("line_no", "UInt32", "Line refunded; null for the whole order", nullable=True),
            _time("refunded_at", "When the refund was granted"),
            Column("amount", MONEY, "Amount refunded, CNY", required=True, bounded=True),
            _category("reason", "Why it was refunded"),
            Column("quantity", QUANTITY, "Quantity refunded, where the source knows it", nullable=True, bounded=True),
        ),
        "refunded_at",
    ),
    Table(
        "complaints",
        "One row per delivered version of a complaint.",
        ("complaint_id",),
        (
            _key("complaint_id", "Complaint"),
            _id("customer_id", "Customer who complained"),
            _id("order_id", "Order it is about", nullable=True),
            _time("opened_at", "When it was opened"),
            _time("resolved_at", "When it was resolved", nullable=True, may_be_unknown=True),
            _category("category", "What it is about"),
            Column("severity", "UInt8", "1 slight, 2 serious, 3 grave", required=True, values=(1, 2, 3)),
        ),
        "opened_at",
    ),
    Table(
        "invoices",
        "One row per delivered version of an invoice.",
        ("invoice_id",),
        (
            _key("invoice_id", "Invoice"),
            _id("customer_id", "Customer invoiced"),
            _id("order_id", "Order invoiced; null for a statement over several orders", nullable=True),
            _date("issued_on", "Day of issue"),
            _date("due_on", "Last day to pay", may_lie_ahead=True),
            # A credit note is an invoice below zero.
            Column("amount", MONEY, "Amount, CNY", required=True, bounded=True, may_be_negative=True),
        ),
        "issued_on",
    ),
    Table(
        "payments",
        "One row per delivered version of a payment of an invoice.",
        ("payment_id",),
        (
            _key("payment_id", "Payment"),
            _id("invoice_id", "Invoice paid"),
            _date("paid_on", "Day the money came"),
            # A payment that bounced is booked back below zero.
            Column("amount", MONEY, "Amount, CNY", required=True, bounded=True, may_be_negative=True),
        ),
        "paid_on",
    ),
    Table(
        "credit_reports",
        "One row per delivered version of a third-party credit report.",
        ("report_id",),
        (
            _key("report_id", "Report"),
            _id("customer_id", "Customer reported on"),
            _category("provider", "Who wrote the report"),
            _date("reported_on", "Day of the report"),
            Column("credit_score", "UInt8", "0 worst to 100 best", nullable=True, at_most=100),
            Column("rating", "String", "The provider's own rating", nullable=True),
            Column("has_risk_flag", "UInt8", "1 when the provider warns, else 0", default=0, values=(0, 1)),
        ),
        "reported_on",
    ),
    Table(
        "manager_inputs",
        "One row per delivered version of an entry by an account manager.",
        ("input_id",),
        (
            _key("input_id", "Entry"),
            _id("customer_id", "Customer it concerns"),
            _id("manager_id", "Account manager who wrote it"),
            _choice("input_type", "Kind of entry", "tier_override", "tag", "note", "expected_monthly_spend"),
            _text("value", "The tier, tag, text or amount entered"),
            _text("reason", "Why"),
            _date("valid_from", "First day it holds", may_lie_ahead=True),
            _date("valid_to", "Last day it holds; null while open", nullable=True, may_lie_ahead=True),
            _time("entered_at", "When it was entered"),
        ),
        "entered_at",
    ),
    Table(
        "campaign_events",
        "One row per delivered version of a campaign event.",
        ("event_id",),
        (
            _key("event_id", "Event"),
            _id("campaign_id", "Campaign"),
            _id("customer_id", "Customer"),
            _choice("event", "What happened", "assigned", "held_out", "sent", "opened", "converted"),
            _time("occurred_at", "When it happened"),
            Column("amount", MONEY, "Amount, CNY", nullable=True, bounded=True),
        ),
        "occurred_at",
    ),
)

TABLES: dict[str, Table] = {table.name: table for table in _TABLES}

# Lines are judged against the orders of the same landing, so a landing never delivers the one without the other.
REQUIRED_TABLES = ("orders", "order_lines")

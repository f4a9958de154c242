"""The SQL of the demo world: customers, products and orders as truth, and from them the rows a source would deliver.

Chance is a hash of the seed, a number of the purpose and the ids concerned, never a random function: any row can be
    made
again alone, on any day and in any order. Days are numbers from 0, the first day of the world.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.landing.contract import TABLES
from orchestration.landing.generator_world import BUSINESS_TYPES, CATEGORIES, REGIONS

if TYPE_CHECKING:
    from orchestration.landing.generator import World

# An order's number is its day, customer and place in the day, so it needs no counter and grows with time.
ORDERS_PER_DAY = 20_000_000
# Orders older than this many days before the end of the base are delivered in their last state, as archives are.
ARCHIVE_AGE = 60
# The longest way from an order to a row about it: delivery, refund, complaint, late arrival.
LONGEST_TRAIL = 16
PRODUCTS = 1500
PRODUCTS_AT_START = 1200
DRAWS = 4096


class _Chance:
    """Makes SQL for chance from the seed of a world."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def hash(self, purpose: int, *ids: str) -> str:
        return f"cityHash64({self.seed}, {purpose}, {', '.join(ids)})"

    def share(self, purpose: int, *ids: str) -> str:
        """Uniform in [0, 1)."""
        return f"(bitShiftRight({self.hash(purpose, *ids)}, 11) / 9007199254740992.)"

    def normal(self, purpose: int, *ids: str) -> str:
        """Standard normal, with true tails."""
        return (
            f"(sqrt(-2 * log({self.share(purpose, *ids)} + 1e-15)) "
            f"* cos(6.283185307179586 * {self.share(purpose + 5000, *ids)}))"
        )


def bell(hash: str) -> str:
    """A cheap stand-in for a standard normal, within 3, from the 63 lower bits of a hash."""
    parts = (f"bitAnd(bitShiftRight({hash}, {shift}), 2097151)" for shift in (0, 21, 42))
    return f"((({' + '.join(parts)}) / 2097152. - 1.5) * 2)"


def tables_of(world: World, database: str, day: int | None = None) -> list[str]:
    """Statements that make the truth of a world, or that add one more day to it (repeatable)."""
    if day is None:
        last = world.days - 1
        invoices = _Rows(world, database, "", f"{database}.orders", last).invoices_of(f"issued_day <= {last}")
        return [
            _create_customers(database) + _customers(world, 1, world.customers),
            _create_products(world, database),
            _create_draws(world, database),
            _create_orders(database) + _orders(world, database, 0, last),
            f"CREATE TABLE {database}.invoices ENGINE = MergeTree ORDER BY (issued_day, customer_id) "
            f"COMMENT 'One row per invoice, in cents.' AS {invoices}",
        ]
    first, last = _customer_count(world, day - 1) + 1, _customer_count(world, day)
    recent = f"(SELECT * FROM {database}.orders WHERE order_id >= {max(0, day - 32) * ORDERS_PER_DAY})"
    invoices = _Rows(world, database, "", recent, day).invoices_of(f"issued_day = {day}")
    return [
        f"INSERT INTO {database}.customers {_customers(world, first, last)} "
        f"AND customer_id > (SELECT max(customer_id) FROM {database}.customers)",
        f"INSERT INTO {database}.orders {_orders(world, database, day, day)} "
        f"AND {day} > (SELECT max(day) FROM {database}.orders)",
        f"INSERT INTO {database}.invoices {invoices} AND {day} > (SELECT max(issued_day) FROM {database}.invoices)",
    ]


def base_of(world: World, database: str) -> dict[str, str]:
    """SELECTs of the history up to the last day of the base: landing table -> query with all its columns."""
    return _deliveries(world, database, f"delivery_day <= {world.days - 1}", 0, world.days - 1)


def delta_of(world: World, database: str, day: int) -> dict[str, str]:
    """SELECTs of what is delivered on one day after the base."""
    selects = _deliveries(world, database, f"delivery_day = {day}", max(0, day - LONGEST_TRAIL), day)
    return {name: select for name, select in selects.items() if name != "categories"}


def _customer_count(world: World, day: int) -> int:
    """Customers registered by a day: after the base they keep coming at the rate of its last day."""
    per_day = max(world.customers * 0.3 / world.days, 0.2)
    return world.customers + int(per_day * (day - world.days + 1))


def _create_customers(database: str) -> str:
    return (
        f"CREATE TABLE {database}.customers ENGINE = MergeTree ORDER BY customer_id "
        "COMMENT 'One row per customer: the truth its rows are made of.' AS "
    )


def _customers(world: World, first: int, last: int) -> str:
    chance = _Chance(world.seed)
    old = int(world.customers * 0.7)
    names = ", ".join(f"'{kind.name}'" for kind in BUSINESS_TYPES)
    edges, total = [], 0.0
    for kind in BUSINESS_TYPES:
        total += kind.share
        edges.append(f"{total:.4f}")
    weekdays = ", ".join(f"[{', '.join(str(value) for value in kind.weekdays)}]" for kind in BUSINESS_TYPES)
    cities = ", ".join(f"('{region}', '{city}')" for region, cities in REGIONS for city in cities)

    def of_kind(attribute: str) -> str:
        return f"[{', '.join(str(getattr(kind, attribute)) for kind in BUSINESS_TYPES)}][type_number]"

    # Much of the noise of rate and value comes from one magnitude: big customers order both more and more often.
    # Registration: 70 % before the first day, the others evenly over the base and beyond.
    return f"""
    WITH
        arrayFirstIndex(edge -> {chance.share(1, "customer_id")} < edge, [{", ".join(edges[:-1])}, 1.1]) AS type_number,
        {chance.normal(2, "customer_id")} AS magnitude,
        if(customer_id <= {old}, -1 - toInt32(900 * pow({chance.share(3, "customer_id")}, 1.4)),
            toInt32(floor((customer_id - {old} - 1) * {world.days} / greatest({world.customers} - {old}, 1)))) AS
                registered,
        -log({chance.share(4, "customer_id")} + 1e-12) * 365 / 0.30 AS lifetime,
        {chance.share(5, "customer_id")} AS slip_chance,
        [{cities}][1 + toUInt32(floor({len([c for _, cs in REGIONS for c in cs])} *
            pow({chance.share(6, "customer_id")}, 1.5)))] AS place
    SELECT
        toUInt64(number + {first}) AS customer_id,
        [{names}][type_number] AS business_type,
        toUInt8(type_number - 1) AS type_index,
        tupleElement(place, 1) AS region_code,
        tupleElement(place, 2) AS city,
        toInt32(registered) AS registered_day,
        toFloat32(magnitude) AS size,
        toFloat32(least(1.25, {of_kind("rate")} * exp(0.7 * magnitude + 0.85 * {chance.normal(7, "customer_id")}))) AS
            orders_per_day,
        toFloat32({of_kind("value")} * exp(0.6 * magnitude + 0.45 * {chance.normal(8, "customer_id")})) AS order_value,
        toFloat32({of_kind("basket")} * exp(0.22 * magnitude + 0.25 * {chance.normal(9, "customer_id")})) AS basket,
        toFloat32(0.12 + 0.35 * {chance.normal(10, "customer_id")}) AS growth_per_year,
        toInt32(if({chance.share(11, "customer_id")} < 0.05, -1, least(greatest(registered, 0) + lifetime, 30000))) AS
            dead_day,
        toInt32(if(slip_chance < 0.14, greatest(registered, 0) + 20 + slip_chance / 0.14 * {world.days + 60}, 30000))
            AS slip_day,
        toUInt64(arraySum(day -> bitShiftLeft(toUInt64(least(15, round(5 * [{weekdays}][type_number][day]
            * exp(0.5 * {chance.normal(12, "customer_id", "day")})))), 4 * day), range(1, 8))) AS weekday_pattern,
        toUInt8(6 + least(90, 10 * exp(0.3 * magnitude + 0.35 * {chance.normal(13, "customer_id")}))) AS assortment,
        toFloat32(0.02 + 0.16 * pow({chance.share(14, "customer_id")}, 3)) AS novelty,
        toUInt8(if({chance.share(15, "customer_id")} < 0.35, 1 + {chance.hash(16, "customer_id")} % {len(CATEGORIES)},
            0)) AS second_supplier_category,
        toFloat32(0.4 + 0.6 * {chance.share(17, "customer_id")}) AS second_supplier_share,
        toInt32({chance.hash(18, "customer_id")} % {2 * world.days}) AS second_supplier_from_day,
        toUInt16(multiIf({chance.share(19, "customer_id")} > 0.10 + 0.08 * greatest(magnitude, 0), 0,
            [7, 15, 30, 30, 45][1 + {chance.hash(20, "customer_id")} % 5])) AS credit_term_days,
        toFloat32(if({chance.share(21, "customer_id")} < 0.16, 0.35 + 0.5 * {chance.share(22, "customer_id")}, 0.06))
            AS late_probability,
        toFloat32(if(late_probability > 0.3, 0.05, 0.004)) AS unpaid_probability,
        toFloat32([0, 0, 0.01, 0.02, 0.03][1 + multiIf(magnitude > 2, 4, magnitude > 1.3, 3, magnitude > 0.5, 2, 0)])
            AS tier_discount,
        toFloat32(0.97 + 0.06 * {chance.share(23, "customer_id")}) AS price_level,
        multiIf(magnitude > 2, 'large', magnitude > 0.8, 'medium', magnitude > -0.8, 'small', 'tiny') AS size_class
    FROM numbers({max(last - first + 1, 0)})
    WHERE 1 """


def _create_products(world: World, database: str) -> str:
    chance = _Chance(world.seed)
    subs = [(name, sub, unit, price, swing) for name, subs, unit, price, swing in CATEGORIES for sub in subs]
    count = len(subs)
    rows = ", ".join(f"('{sub}', '{unit}', {price}, {swing})" for _, sub, unit, price, swing in subs)
    grades = "['特级', '一级', '二级', '有机', '精选', '散装', '产地直供']"
    return f"""
    CREATE TABLE {database}.products ENGINE = MergeTree ORDER BY product_id
    COMMENT 'One row per product: the truth about its price and cost.' AS
    WITH
        number % {count} AS sub,
        [{rows}][sub + 1] AS facts,
        {chance.normal(40, "number")} AS level
    SELECT
        toUInt64(number + 1) AS product_id,
        toUInt32(intDiv(sub, 4) + 1) AS category_number,
        toUInt32(100 * (intDiv(sub, 4) + 1) + sub % 4 + 1) AS category_id,
        concat(tupleElement(facts, 1), ' ', {grades}[1 + {chance.hash(41, "number")} % 7], ' ',
            toString(intDiv(number, {count}) + 1)) AS product_name,
        tupleElement(facts, 2) AS unit,
        tupleElement(facts, 3) * exp(0.45 * level) AS base_price,
        tupleElement(facts, 4) * (0.5 + {chance.share(42, "number")}) AS swing,
        365 * {chance.share(43, "number")} AS phase,
        0.03 + 0.06 * {chance.normal(44, "number")} AS drift_per_year,
        0.70 + 0.20 * {chance.share(45, "number")} AS cost_ratio,
        toInt32(if(number < {PRODUCTS_AT_START}, -30 - 600 * {chance.share(46, "number")},
            (number - {PRODUCTS_AT_START} + 1) * ({world.days} + 120) / {PRODUCTS - PRODUCTS_AT_START})) AS launched_day
    FROM numbers({PRODUCTS})"""


def _create_draws(world: World, database: str) -> str:
    """Which product a chance of 0 … DRAWS - 1 means to each kind of customer; beyond, each new product for itself."""
    chance = _Chance(world.seed)
    appetites = ", ".join(f"[{', '.join(map(str, kind.appetite))}]" for kind in BUSINESS_TYPES)
    count = sum(len(subs) for _, subs, *_ in CATEGORIES)
    depth = PRODUCTS_AT_START // count
    return f"""
    CREATE TABLE {database}.draws ENGINE = MergeTree ORDER BY draw
    COMMENT 'One row per draw: the product it means.' AS
    SELECT toUInt32(draw) AS draw, product_id, category_number, unit = 'kg' AS is_weighed, base_price, swing, phase,
        drift_per_year, cost_ratio
    FROM (
        SELECT number AS draw, arrayCumSum([{appetites}][intDiv(number, {DRAWS}) + 1]) AS edges,
            edges[-1] * {chance.share(50, "number")} AS point,
            arrayFirstIndex(edge -> point < edge, edges) - 1 AS category,
            category * 4 + {chance.hash(51, "number")} % 4 AS sub,
            toUInt64(sub + {count} * floor({depth} * pow({chance.share(52, "number")}, 2)) + 1) AS product_id
        FROM numbers({len(BUSINESS_TYPES) * DRAWS})
        UNION ALL
        SELECT 1000000 + product_id AS draw, [], 0, 0, 0, product_id FROM {database}.products
    ) AS drawn
    INNER JOIN {database}.products AS product USING (product_id)"""


def _create_orders(database: str) -> str:
    return (
        f"CREATE TABLE {database}.orders ENGINE = MergeTree ORDER BY order_id "
        "COMMENT 'One row per order: the truth its rows are made of.' AS "
    )


def _orders(world: World, database: str, first: int, last: int) -> str:
    chance = _Chance(world.seed)
    ids = ("customer_id", "day")
    origin_weekday = world.first_date.weekday()
    return f"""
    SELECT
        toUInt64(day * {ORDERS_PER_DAY} + customer_id * 2 + place) AS order_id,
        customer_id, type_index, day,
        {chance.hash(60, "order_id")} AS chance,
        toUInt32(start + if(chance % 100 < 70, 61200 + bitShiftRight(chance, 8) % 23400, 21600 + bitShiftRight(chance,
            8) % 18000)) AS ordered,
        toUInt32(next_start + 18000 + bitShiftRight(chance, 20) % 18000) AS delivered,
        toUInt8(least(24, 1 + floor(basket * exp(0.4 * {bell(chance.hash(61, "order_id"))})))) AS line_count,
        toFloat32(order_value * factor_value * exp(0.28 * {bell(chance.hash(62, "order_id"))})) AS value,
        bitShiftRight(chance, 40) % 1000 < 22 AS is_cancelled,
        bitShiftRight(chance, 40) % 1000 = 999 AS is_deleted,
        toUInt8(if(bitShiftRight(chance, 30) % 1000 < 3, 1 + bitShiftRight(chance, 34) % 3, 0)) AS days_late,
        bitShiftRight(chance, 50) % 100 < 6 AS keeps_log,
        credit_term_days, tier_discount, price_level, assortment, novelty,
        second_supplier_category, second_supplier_share, second_supplier_from_day
    FROM (
        SELECT *, arrayJoin(range(toUInt8(1 + (second < greatest(rate - 0.95, 0) + 0.03 * rate)))) AS place,
            exp(growth_per_year * 0.3 * (day - {world.days / 2}) / 365) * pow(factor, 0.3) AS factor_value
        FROM (
            SELECT customer.*, day, start, next_start, factor,
                customer.orders_per_day * factor
                    * bitAnd(bitShiftRight(customer.weekday_pattern, 4 * (1 + (day + {origin_weekday}) % 7)), 15) / 5
                    * exp(customer.growth_per_year * (day - {world.days / 2}) / 365)
                    * if(day > customer.slip_day, exp(-(day - customer.slip_day) / 40.), 1)
                    * if(day - customer.registered_day < 14, 0.6, 1) AS rate,
                {chance.share(63, *ids)} AS first,
                {chance.share(64, *ids)} AS second
            FROM {database}.customers AS customer
            INNER JOIN (
                SELECT business_type, days, starts, arrayPushBack(arrayPopFront(starts), starts[-1] + 86400) AS
                    next_starts,
                    factors FROM (
                    SELECT business_type, arraySlice(days, {first + 1}, {last - first + 1}) AS days,
                        arraySlice(starts, {first + 1}, {last - first + 1}) AS starts,
                        arraySlice(factors, {first + 1}, {last - first + 1}) AS factors FROM {database}.demand)
            ) AS demand ON demand.business_type = customer.business_type
            ARRAY JOIN days AS day, starts AS start, next_starts AS next_start, factors AS factor
            WHERE day >= customer.registered_day AND day <= customer.dead_day AND first < rate
        )
    )
    WHERE 1 """


def _deliveries(world: World, database: str, window: str, first: int, last: int) -> dict[str, str]:
    orders = (
        f"(SELECT * FROM {database}.orders WHERE order_id >= {first * ORDERS_PER_DAY} "
        f"AND order_id < {(last + 1) * ORDERS_PER_DAY})"
    )
    make = _Rows(world, database, window, orders, last)
    return {name: getattr(make, name)() for name in TABLES}


class _Rows:
    """SELECTs of the rows of each landing table. window: condition on delivery_day. orders: the orders in reach."""

    def __init__(self, world: World, database: str, window: str, orders: str, last: int) -> None:
        self.world, self.database, self.window, self.known, self.last = world, database, window, orders, last
        self.chance = _Chance(world.seed)
        self.archived = f"day < {world.days - ARCHIVE_AGE} AND NOT keeps_log"

    def day_of(self, seconds: str) -> str:
        """The day number of a moment in seconds since 1970."""
        return f"(toInt32(toDate(toDateTime({seconds}, '{self.world.zone}'))) - {self._origin()})"

    def date_of(self, day: str) -> str:
        return f"toDate({day} + {self._origin()})"

    def start_of(self, day: str) -> str:
        """The first second of a day, since 1970."""
        return f"toUnixTimestamp(toDateTime({self.date_of(day)}, '{self.world.zone}'))"

    def _origin(self) -> int:
        return (self.world.first_date - type(self.world.first_date)(1970, 1, 1)).days

    @staticmethod
    def at(seconds: str) -> str:
        return f"toDateTime64({seconds}, 3, 'UTC')"

    def customers(self) -> str:
        chance = self.chance
        managers = max(self.world.customers // 150, 3)
        manager = f"toUInt64(1 + cityHash64({self.world.seed}, 71, region_code, change) % {managers})"
        change_day = f"greatest(registered_day, 0) + 10 + {chance.hash(74, 'customer_id')} % {self.world.days}"
        # Versions: as registered; a new account manager; the account closed two months after the last order.
        return f"""
        SELECT customer_id, concat(city, ' ', business_type, ' ', toString(customer_id)) AS customer_name,
            business_type,
            region_code, city, if({chance.share(70, "customer_id")} < 0.12, toUInt64(1 +
                {chance.hash(70, "customer_id")} % 90), NULL) AS chain_id,
            {self.at("registered")} AS registered_at, {manager} AS account_manager_id, credit_term_days,
            toDecimal64(if(credit_term_days > 0, 1000 * ceil(order_value * orders_per_day * (credit_term_days + 30) /
                600), 0), 2) AS credit_limit,
            status, 0 AS is_deleted, {self.at("updated")} AS updated_at
        FROM (
            SELECT *, {self.start_of("registered_day")} + 32400 + {chance.hash(72, "customer_id")} % 30000 AS
                registered,
                arrayJoin([(registered, 'active', 0), (changed, 'active', 1), (closed, 'closed', 1)]) AS version,
                tupleElement(version, 1) AS updated, tupleElement(version, 2) AS status, tupleElement(version, 3) AS
                    change,
                if({chance.share(73, "customer_id")} < 0.08,
                    {self.start_of(change_day)} + 40000, 0) AS changed,
                if(dead_day >= 0 AND dead_day < 20000 AND {chance.share(75, "customer_id")} < 0.3,
                    {self.start_of("dead_day + 60")} + 41000, 0) AS closed,
                greatest(0, {self.day_of("updated")}) AS delivery_day
            FROM {self.database}.customers
        )
        WHERE updated > 0 AND {self.window}"""

    def categories(self) -> str:
        rows = []
        for number, (name, subs, *_) in enumerate(CATEGORIES, 1):
            rows.append(f"(toUInt32({number}), '{name}', CAST(NULL, 'Nullable(UInt32)'))")
            rows += [f"({100 * number + place}, '{sub}', {number})" for place, sub in enumerate(subs, 1)]
        return f"""
        SELECT tupleElement(row, 1) AS category_id, tupleElement(row, 2) AS category_name,
            tupleElement(row, 3) AS parent_category_id, 0 AS is_deleted, {self.at(self.start_of("-700"))} AS updated_at
        FROM (SELECT arrayJoin([{", ".join(rows)}]) AS row)"""

    def products(self) -> str:
        last_day = f"{self.chance.hash(77, 'product_id')} % {self.world.days}"
        gone = f"if({self.chance.share(76, 'product_id')} < 0.04, {last_day}, -1)"
        return f"""
        SELECT product_id, product_name, toNullable(category_id) AS category_id, unit,
            toNullable({self.date_of("launched_day")}) AS launched_on, tupleElement(version, 2) AS status, 0 AS
                is_deleted,
            {self.at("updated")} AS updated_at
        FROM (
            SELECT *, {gone} AS gone_day, arrayJoin([(launched_day, 'active'), (gone_day, 'discontinued')]) AS version,
                {self.start_of("tupleElement(version, 1)")} + 28800 AS updated, greatest(0, tupleElement(version, 1))
                    AS delivery_day
            FROM {self.database}.products
        )
        WHERE (tupleElement(version, 2) = 'active' OR gone_day > greatest(launched_day, 0)) AND {self.window}"""

    def orders(self) -> str:
        # Versions: 0 as ordered, 1 as delivered, cancelled or struck out, 2 the last state alone, as in an archive.
        late = "if(bitShiftRight(chance, 17) % 1000 < 2, 2, 0)"
        return f"""
        SELECT order_id, customer_id, {self.at("ordered")} AS ordered_at,
            if(version > 0 AND NOT is_cancelled AND NOT struck, toNullable({self.at("delivered")}), NULL) AS
                delivered_at,
            multiIf(version = 0, if(credit_term_days > 0, 'created', 'paid'), is_cancelled, 'cancelled',
                chance % 2 = 0, 'completed', 'delivered') AS status,
            ['app', 'app', 'mini_program', 'mini_program', 'phone', 'salesperson'][1 + bitShiftRight(chance, 47) % 6]
                AS channel,
            toUInt8(version > 0 AND struck) AS is_deleted, {self.at("if(version = 1, changed, first_seen)")} AS
                updated_at
        FROM (
            SELECT * EXCEPT (is_deleted), is_deleted AS struck, ordered + 5 + chance % 300 AS first_seen,
                multiIf(struck, ordered + 3600 + chance % 60000, is_cancelled, ordered + 1800 + chance % 20000,
                    delivered + 600 + chance % 18000) AS changed,
                arrayJoin(if({self.archived}, [2], [0, 1])) AS version,
                if(version = 1, {self.day_of("changed")} + {late}, day + days_late) AS delivery_day
            FROM {self.known} AS known
        )
        WHERE {self.window}"""

    def order_lines(self) -> str:
        # Lines are delivered with their order. One in a hundred is changed or struck out when the goods are packed.
        changed = "bitShiftRight(line_chance, 33) % 1000"
        return f"""
        SELECT order_id, line_no, product_id, if(version = 1 AND {changed} >= 2, toDecimal64(quantity * 0.75, 3),
            quantity) AS quantity,
            unit_price, discount_amount, tier_discount_amount, toNullable(unit_cost) AS unit_cost,
            toUInt8(version = 1 AND {changed} < 2) AS is_deleted,
            {self.at("if(version = 0, ordered + 5 + chance % 300, delivered + 600 + chance % 7200)")} AS updated_at
        FROM (
            SELECT *, arrayJoin(if({changed} < 10 AND NOT is_cancelled, [0, 1], [0])) AS version, day + version +
                if(version = 0, days_late, 0) AS delivery_day
            FROM {self.lines("1")}
        )
        WHERE {self.window}"""

    def lines(self, condition: str) -> str:
        """The truth of order lines, of the orders that satisfy the condition."""
        chance = self.chance
        newest = f"toInt32({PRODUCTS_AT_START} + day * {PRODUCTS - PRODUCTS_AT_START} / ({self.world.days} + 120.))"
        favourite = chance.hash(
            80, "customer_id", "toUInt8(assortment * pow((chance % 1024 / 1024. + line_no / line_count) % 1, 1.6))",
            "intDiv(day + customer_id % 180, 180)",
        )  # fmt: skip
        # Prices: level, season, drift, a weekly wobble, dearer before the Spring Festival by the demand for all goods.
        wobble = f"(0.94 + 0.12 * ({chance.hash(82, 'product_id', 'intDiv(day, 7)')} % 1000 / 1000.))"
        return f"""(
            SELECT *,
                price_cents * 100 AS price_units,
                reinterpret(price_units, 'Decimal64(4)') AS unit_price,
                reinterpret(quantity_units, 'Decimal64(3)') AS quantity,
                quantity_units * price_cents / 1000. AS gross,
                toInt64(round(gross * tier_discount)) AS tier_cents,
                tier_cents + if(bitShiftRight(chance, 14) % 100 < 7, toInt64(round(gross * 0.08)), 0) AS discount_cents,
                reinterpret(discount_cents, 'Decimal64(2)') AS discount_amount,
                reinterpret(tier_cents, 'Decimal64(2)') AS tier_discount_amount,
                reinterpret(cost_units, 'Decimal64(4)') AS unit_cost
            FROM (
                SELECT *,
                    base_price * (1 + swing * sin((day + phase) * 0.0172142)) * exp(drift_per_year * day / 365.) AS
                        market,
                    greatest(toInt64(round(market * {wobble} * price_level * 100)), 1) AS price_cents,
                    toInt64(round(market * cost_ratio * (0.97 + 0.06 * (bitShiftRight(line_chance, 13) % 1024 /
                        1024.)) * 10000)) AS cost_units,
                    value / line_count * exp(0.5 * {bell("line_chance")}) / price_cents * 100 AS wanted,
                    if(is_weighed, greatest(5, toInt64(round(wanted * 10))) * 100, greatest(1, toInt64(round(wanted)))
                        * 1000) AS quantity_units
                FROM (
                    SELECT *, toUInt32(if(is_new, 1000000 + new_product, type_index * {DRAWS} + {favourite} %
                        {DRAWS})) AS draw
                    FROM (
                        SELECT *, line_no, {chance.hash(81, "order_id", "line_no")} AS line_chance,
                            bitShiftRight(line_chance, 43) % 1024 < novelty * 1024 AS is_new,
                            toUInt64({newest} - bitShiftRight(line_chance, 54) % 30) AS new_product
                        FROM {self.known} AS known
                        ARRAY JOIN arrayMap(place -> toUInt32(place), range(1, line_count + 1)) AS line_no
                        WHERE {condition}
                    )
                ) AS line
                INNER JOIN {self.database}.draws AS drawn ON line.draw = drawn.draw
            )
            WHERE line_no = 1 OR category_number != second_supplier_category OR day < second_supplier_from_day
                OR bitShiftRight(line_chance, 23) % 1024 >= second_supplier_share * 1024
        )"""

    def refunds(self) -> str:
        whole = "bitShiftRight(line_chance, 45) % 100 < 45"
        refunded = "delivered + 7200 + bitShiftRight(line_chance, 5) % 604800"
        return f"""
        SELECT order_id * 32 + line_no AS refund_id, order_id, toNullable(line_no) AS line_no, {self.at("refunded")}
            AS refunded_at,
            greatest(toDecimal64(round((gross - discount_cents) * part) / 100, 2), toDecimal64('0.01', 2)) AS amount,
            ['damaged', 'not fresh', 'short weight', 'wrong product', 'late'][1 + line_chance % 5] AS reason,
            if(bitShiftRight(line_chance, 51) % 100 < 70, toNullable(toDecimal64(round(quantity_units * part) / 1000,
                3)), NULL) AS quantity,
            0 AS is_deleted, {self.at("refunded + line_chance % 1800")} AS updated_at
        FROM (
            SELECT *, if({whole}, 1, 0.1 + 0.5 * (bitShiftRight(line_chance, 9) % 1024 / 1024.)) AS part, {refunded}
                AS refunded,
                {self.day_of("refunded + line_chance % 1800")} + if(bitShiftRight(line_chance, 26) % 100 < 3, 2, 0)
                    AS delivery_day
            FROM {self.lines("NOT is_cancelled AND NOT is_deleted AND bitShiftRight(chance, 24) % 1000 < 40")}
            WHERE bitShiftRight(line_chance, 36) % 100 < 35
        )
        WHERE {self.window}"""

    def complaints(self) -> str:
        return f"""
        SELECT order_id AS complaint_id, customer_id, toNullable(order_id) AS order_id, {self.at("opened")} AS
            opened_at,
            if(version = 1, toNullable({self.at("resolved")}), NULL) AS resolved_at,
            ['quality', 'delivery', 'price', 'service'][1 + chance % 4] AS category,
            toUInt8([1, 1, 1, 1, 2, 2, 3][1 + bitShiftRight(chance, 3) % 7]) AS severity, 0 AS is_deleted,
            {self.at("if(version = 1, resolved, opened)")} AS updated_at
        FROM (
            SELECT *, delivered + 3600 + bitShiftRight(chance, 6) % 172800 AS opened,
                opened + 3600 + bitShiftRight(chance, 11) % 345600 AS resolved, arrayJoin([0, 1]) AS version,
                {self.day_of("if(version = 1, resolved, opened)")} AS delivery_day
            FROM {self.known} AS known
            WHERE NOT is_cancelled AND NOT is_deleted AND bitShiftRight(chance, 27) % 1000 < 7
        )
        WHERE {self.window}"""

    def invoices_of(self, condition: str) -> str:
        """The truth of invoices: a statement a week for terms of a week, else a month, over what was delivered."""
        day_date = self.date_of("day")
        issued = f"if(credit_term_days <= 7, toMonday({day_date}) + 7, toStartOfMonth({day_date}) + INTERVAL 1 MONTH)"
        return f"""
        SELECT customer_id, toInt32(toInt32({issued}) - {self._origin()}) AS issued_day, any(credit_term_days) AS
            term_days,
            sum(toInt64(round(gross)) - discount_cents) AS cents
        FROM {self.lines("credit_term_days > 0 AND NOT is_cancelled AND NOT is_deleted")}
        GROUP BY customer_id, issued_day HAVING {condition}"""

    def invoices(self) -> str:
        return f"""
        SELECT issued_day * 10000000 + customer_id AS invoice_id, customer_id, CAST(NULL, 'Nullable(UInt64)') AS
            order_id,
            {self.date_of("issued_day")} AS issued_on, {self.date_of("issued_day + term_days")} AS due_on,
            toDecimal64(cents / 100, 2) AS amount, 0 AS is_deleted, {self.at(self.start_of("issued_day") + " + 7200")}
                AS updated_at
        FROM (SELECT *, issued_day AS delivery_day FROM {self.database}.invoices)
        WHERE {self.window}"""

    def payments(self) -> str:
        chance = self.chance
        ids = ("customer_id", "issued_day")
        # Most pay a few days early; the late ones by a heavy-tailed delay, a few never. One in seven pays in two parts.
        return f"""
        SELECT (issued_day * 10000000 + customer_id) * 2 + part AS payment_id, issued_day * 10000000 + customer_id AS
            invoice_id,
            {self.date_of("paid_day")} AS paid_on,
            toDecimal64(if(in_parts, if(part = 0, intDiv(cents, 2), cents - intDiv(cents, 2)), cents) / 100, 2) AS
                amount,
            0 AS is_deleted, {self.at(self.start_of("paid_day") + " + 64800")} AS updated_at
        FROM (
            SELECT *, {chance.share(92, *ids)} < 0.15 AS in_parts, arrayJoin(if(in_parts, [0, 1], [0])) AS part,
                toInt32(greatest(toFloat64(issued_day), issued_day + term_days + if({chance.share(90, *ids)} <
                    late_probability,
                    least(150, exp(2.1 + 0.9 * {chance.normal(91, *ids)})), -4 * {chance.share(93, *ids)})) + 10 *
                        part) AS paid_day,
                paid_day AS delivery_day
            FROM {self.database}.invoices AS invoice
            INNER JOIN {self.database}.customers AS customer USING (customer_id)
            WHERE cents > 100 AND {chance.share(94, *ids)} >= unpaid_probability
        )
        WHERE {self.window}"""

    def credit_reports(self) -> str:
        chance = self.chance
        return f"""
        SELECT report_day * 10000000 + customer_id AS report_id, customer_id,
            ['天眼查', '企查查'][1 + customer_id % 2] AS provider,
            {self.date_of("report_day")} AS reported_on,
            toNullable(toUInt8(greatest(5, least(100, round(78 + 9 * {chance.normal(100, "customer_id", "report_day")}
                - 35 * late_probability - if(dead_day - report_day BETWEEN 0 AND 120, 18, 0)))))) AS credit_score,
            toNullable(multiIf(credit_score >= 80, 'A', credit_score >= 60, 'B', 'C')) AS rating,
            toUInt8(credit_score < 50) AS has_risk_flag, 0 AS is_deleted,
                {self.at(self.start_of("report_day") + " + 30000")} AS updated_at
        FROM (
            SELECT *, toInt32({chance.hash(101, "customer_id")} % 180 + 180 *
                arrayJoin(range({self.last // 180 + 1}))) AS report_day,
                report_day AS delivery_day
            FROM {self.database}.customers WHERE credit_term_days > 0 OR {chance.share(102, "customer_id")} < 0.15
        )
        WHERE report_day > registered_day AND {self.window}"""

    def manager_inputs(self) -> str:
        chance = self.chance
        ids = ("customer_id", "entry_day")
        return f"""
        SELECT entry_day * 10000000 + customer_id AS input_id, customer_id,
            toUInt64(1 + {chance.hash(110, "customer_id")} % 40) AS manager_id, input_type,
            multiIf(input_type = 'tier_override', ['diamond', 'gold', 'silver'][1 + {chance.hash(111, *ids)} % 3],
                input_type = 'tag', ['key account', 'price sensitive', 'seasonal'][1 + {chance.hash(111, *ids)} % 3],
                input_type = 'note', 'talked to the owner', toString(round(order_value * orders_per_day * 30, -2))) AS
                    value,
            if(input_type = 'tier_override', 'agreed with sales', '') AS reason, {self.date_of("entry_day")} AS
                valid_from,
            if(input_type = 'tier_override', toNullable({self.date_of("entry_day + 60")}), NULL) AS valid_to,
            {self.at("entered")} AS entered_at, 0 AS is_deleted, {self.at("entered")} AS updated_at
        FROM (
            SELECT *, ['tag', 'note', 'expected_monthly_spend', 'tier_override'][1 + {chance.hash(112, "customer_id")}
                % 4] AS input_type,
                toInt32({chance.hash(113, "customer_id")} % {self.world.days} + {self.world.days} *
                    arrayJoin(range({self.last // self.world.days + 1}))) AS entry_day,
                {self.start_of("entry_day")} + 50000 AS entered, entry_day AS delivery_day
            FROM {self.database}.customers WHERE {chance.share(114, "customer_id")} < 0.03
        )
        WHERE entry_day > registered_day AND {self.window}"""

    def campaign_events(self) -> str:
        chance = self.chance
        ids = ("customer_id", "campaign")
        return f"""
        SELECT campaign * 100000000 + customer_id * 8 + step AS event_id, toUInt64(campaign) AS campaign_id,
            customer_id,
            if(step = 0 AND held_out, 'held_out', ['assigned', 'sent', 'opened', 'converted'][step + 1]) AS event,
            {self.at("occurred")} AS occurred_at,
            if(step = 3, toNullable(toDecimal64(order_value * (0.5 + {chance.share(120, *ids)}), 2)), NULL) AS amount,
            0 AS is_deleted, {self.at("occurred")} AS updated_at
        FROM (
            SELECT *, {chance.share(121, *ids)} < 0.2 AS held_out, {chance.share(122, *ids)} AS response,
                arrayJoin(multiIf(held_out, [0], response < 0.12, [0, 1, 2, 3], response < 0.45, [0, 1, 2], [0, 1]))
                    AS step,
                campaign * 30 - 10 + [0, 0, 1, 3][step + 1] AS event_day, event_day AS delivery_day,
                {self.start_of("event_day")} + 36000 + 3600 * step + {chance.hash(123, *ids)} % 3000 AS occurred
            FROM (
                SELECT *, arrayJoin(range(1, {self.last // 30 + 3})) AS campaign FROM {self.database}.customers
            )
            WHERE registered_day < campaign * 30 - 10 AND dead_day > campaign * 30 - 40
                AND {chance.share(124, *ids)} < 0.04
        )
        WHERE {self.window}"""

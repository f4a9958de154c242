"""The potential functions against plain second computations."""

import tracemalloc

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from orchestration.predictive.potential import headroom_among, potential, quantile_among_others

WEIGHTS = {"headroom": 0.4, "growth": 0.35, "acceptance": 0.25}


@given(st.lists(st.sampled_from([0.0, 1.0, 2.5, 2.5, 7.0, 1e6]), min_size=2, max_size=40), st.floats(0, 1))
def test_the_quantile_among_others_is_numpys_with_the_own_value_left_out(values: list[float], quantile: float) -> None:
    array = np.array(values)
    expected = [np.quantile(np.delete(array, position), quantile) for position in range(len(array))]
    np.testing.assert_allclose(quantile_among_others(array, quantile), expected, rtol=1e-9, atol=1e-9)


def _features(**columns: list) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    base = {
        "customer_id": list(range(1, count + 1)),
        "business_type": ["hotel"] * count,
        "region_code": ["north"] * count,
        "order_count_90d": [3] * count,
        "net_amount_90d": [300.0] * count,
        "net_amount_prior_90d": [300.0] * count,
        "days_since_first_order": [400] * count,
        "category_count_90d": [1.0] * count,
        "new_product_offered_count_180d": [0] * count,
        "new_product_tried_count_180d": [0] * count,
    }
    return pd.DataFrame(base | columns)


def test_a_customer_who_buys_less_of_a_category_than_the_top_fifth_of_peers_has_headroom() -> None:
    spend = pd.DataFrame({"customer_id": range(1, 31), "category_id": 7, "spend_90d": [100.0] * 29 + [10.0]})

    result = potential(_features(order_count_90d=[3] * 30), spend, WEIGHTS).set_index("customer_id")

    assert result.loc[30, "category_headroom_90d"] == 90.0
    assert result.loc[1, "category_headroom_90d"] == 0.0


def test_headroom_is_the_sum_over_all_categories_whether_many_few_or_nobody_of_the_peers_buy_them() -> None:
    random = np.random.default_rng(3)
    customers = pd.DataFrame({"customer_id": random.permutation(90), "region_code": random.choice(["a", "b", "c"], 90)})
    share_of_buyers = np.linspace(0, 1, 41)
    table = np.where(random.random((90, 41)) < share_of_buyers, random.integers(-2, 60, (90, 41)), 0).astype(float)
    buyer, category = np.nonzero(table)
    spend = pd.DataFrame({"customer_id": buyer, "category_id": category, "spend_90d": table[buyer, category]})

    result = headroom_among(customers, spend, [["region_code"], []])

    for customer, region in customers.itertuples(index=False):
        peers = customers["customer_id"][(customers["region_code"] == region) & (customers["customer_id"] != customer)]
        own = table[customer]
        expected = np.maximum(np.quantile(table[peers], 0.8, axis=0) - own, 0).sum()
        np.testing.assert_allclose(result.loc[customer, "headroom"], expected, rtol=1e-12)


def test_headroom_of_many_customers_and_categories_needs_no_table_of_all_of_them() -> None:
    random = np.random.default_rng(4)
    customers = pd.DataFrame({"customer_id": np.arange(20_000), "business_type": random.choice(["x", "y"], 20_000)})
    spend = pd.DataFrame(
        {"customer_id": np.repeat(np.arange(20_000), 5), "category_id": random.integers(0, 3_000, 100_000)}
    )
    spend = spend.drop_duplicates().assign(spend_90d=10.0)

    tracemalloc.start()
    headroom_among(customers, spend, [["business_type"], []])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 50_000_000


def test_unknown_parts_give_their_weight_to_the_known_ones() -> None:
    features = _features(
        net_amount_90d=[300.0, 600.0],
        days_since_first_order=[20, 400],
        category_count_90d=[np.nan, np.nan],
        new_product_offered_count_180d=[10, 0],
        new_product_tried_count_180d=[9, 0],
    )
    spend = pd.DataFrame({"customer_id": [], "category_id": [], "spend_90d": []})

    result = potential(features, spend, WEIGHTS)

    assert result["potential_index"].tolist() == [10 / 20, 600 / 900]
    assert result["category_headroom_90d"].isna().all()


def test_nothing_known_gives_no_index_rather_than_zero() -> None:
    features = _features(days_since_first_order=[20], category_count_90d=[np.nan])
    spend = pd.DataFrame({"customer_id": [], "category_id": [], "spend_90d": []})

    assert potential(features, spend, WEIGHTS)["potential_index"].isna().all()


def test_the_index_does_not_depend_on_the_order_of_the_rows() -> None:
    random = np.random.default_rng(5)
    features = _features(
        business_type=list(random.choice(["hotel", "canteen"], 80)),
        region_code=list(random.choice(["north", "south"], 80)),
        net_amount_90d=list(random.uniform(0, 900, 80)),
    )
    spend = pd.DataFrame(
        {
            "customer_id": random.permutation(80) + 1,
            "category_id": random.integers(1, 5, 80),
            "spend_90d": random.uniform(0, 500, 80),
        }
    )
    shuffled = potential(features.sample(frac=1, random_state=1), spend.sample(frac=1, random_state=2), WEIGHTS)

    expected = potential(features, spend, WEIGHTS)
    pd.testing.assert_frame_equal(shuffled.sort_values("customer_id", ignore_index=True), expected, check_exact=True)

"""The reference itself against numbers worked out by hand, most of them on the small distributor."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reference.compare import differences, rank_differences
from reference.configuration import Configuration, Policy, ScoringModel, Weights
from reference.histories import random_history
from reference.money import round_half_away, to_scaled
from reference.potential import quantile_of_others
from reference.scores import compute_scores, mid_rank
from reference.snapshot import Snapshot, compute_snapshot
from reference.tables import read_folder
from reference.tiers import tier_value_contribution

SMALL = Path(__file__).parents[2] / "data" / "small_distributor"
JUNE, JULY = date(2024, 6, 30), date(2024, 7, 5)


@pytest.fixture(scope="module")
def june() -> Snapshot:
    return compute_snapshot(read_folder(SMALL), JUNE)


@pytest.fixture(scope="module")
def july() -> Snapshot:
    return compute_snapshot(read_folder(SMALL), JULY)


def test_halves_of_a_cent_are_rounded_away_from_zero():
    exact = pd.Series([5, 4, -5, -4, 15, -15, 0], dtype="Int64")
    assert round_half_away(exact, 1).tolist() == [1, 0, -1, 0, 2, -2, 0]


def test_a_float_means_the_decimal_it_was_written_as():
    assert to_scaled(pd.Series([2.55, 1.15, np.nan]), 4).tolist() == [25500, 11500, pd.NA]
    assert to_scaled(pd.Series(["2.55", Decimal("1.1500"), None]), 4).tolist() == [25500, 11500, pd.NA]
    with pytest.raises(ValueError, match="more than 2 decimals"):
        to_scaled(pd.Series(["0.005"]), 2)


def test_line_values_round_line_by_line_and_costs_once(june):
    # 0.01 + 0.02 (0.015) + 1.01 (1.005) + 1.00 (1.110555 - 0.11); 3.09 (3.085) - 0.01; 0.14 (0.135) + 0.17 (0.165)
    assert june.features.loc[120, "gross_amount_90d"] == Decimal("5.43")
    # 0.015 + 0.667665 + 2.505 + 0.1705 = 3.358165
    assert june.features.loc[120, "cost_to_date"] == Decimal("3.36")


def test_windows_leave_out_their_first_day_and_include_the_last(june):
    row = june.features.loc[105]
    counts = [row[f"order_count_{window}"] for window in ("7d", "30d", "90d", "365d", "to_date")]
    assert counts == [1, 3, 5, 8, 8]
    assert row["net_amount_90d"] == Decimal("926.00")
    assert row["net_amount_prior_90d"] == Decimal("1150.00")  # the orders of D - 90 and D - 179
    assert row["complaint_count_90d"] == 1


def test_the_business_day_ends_at_midnight_of_the_zone(june, july):
    assert june.features.loc[106, "order_count_to_date"] == 1
    assert june.features.loc[106, "days_since_last_order"] == 0
    assert july.features.loc[106, "order_count_to_date"] == 2
    assert july.features.loc[106, "days_since_last_order"] == 4


def test_cancelled_orders_and_orders_without_a_live_line_do_not_make_a_scored_customer(june):
    assert 110 not in june.features.index
    assert 111 not in june.features.index
    assert len(june.features) == 27


def test_a_late_refund_changes_only_the_snapshots_that_know_it(june, july):
    assert june.features.loc[119, "net_amount_90d"] == Decimal("600.00")
    assert july.features.loc[119, "net_amount_90d"] == Decimal("480.00")
    assert june.features.loc[119, "complaint_count_90d"] == 0
    assert july.features.loc[119, "complaint_count_90d"] == 1


def test_the_latest_known_version_of_an_order_and_a_line_counts(june, july):
    assert june.features.loc[112, "net_amount_90d"] == Decimal("360.00")
    assert july.features.loc[112, "net_amount_90d"] == Decimal("200.00")
    assert july.features.loc[112, "net_amount_prior_90d"] == Decimal("160.00")
    assert june.features.loc[113, "order_count_90d"] == 0
    assert june.features.loc[114, "net_amount_90d"] == Decimal("270.00")
    assert june.features.loc[115, "net_amount_90d"] == Decimal("150.00")  # 12 x 5.00 + 2 x 45.00
    assert july.features.loc[115, "net_amount_90d"] == Decimal("156.00")  # 12 x 5.50 + 2 x 45.00
    assert june.features.loc[128, "order_count_to_date"] == 2
    assert july.features.loc[128, "order_count_to_date"] == 1
    assert june.features.loc[129, "net_amount_30d"] == Decimal("132.00")
    assert july.features.loc[129, "net_amount_30d"] == Decimal(
        "176.00"
    )  # the cancelled 132.00 gone, 176.00 come to light


def test_master_data_reaches_back_to_its_first_version(june, july):
    assert june.features.loc[127, ["business_type", "region_code"]].tolist() == ["restaurant", "north"]
    assert july.features.loc[127, ["business_type", "region_code"]].tolist() == ["hotel", "west"]
    assert june.features.loc[109, "region_code"] == "unknown"
    assert june.features.loc[128, "region_code"] == "unknown"  # its row was deleted
    assert june.features.loc[102, "region_code"] == "west"  # changed one second before the cut-off


def test_refunded_quantities_leave_the_cost_where_they_are_stated(june):
    row = june.features.loc[123]
    # 200.00 gross - 25.00 - 8.00 - 1.50; cost 15 x 4.00 + 10 x 3.00; the deleted refund does not count
    assert row["net_amount_90d"] == Decimal("165.50")
    assert row["gross_margin_90d"] == Decimal("75.50")
    assert row["cost_365d"] == Decimal("90.00")
    assert row["cost_to_date"] == Decimal("135.00")
    assert row["refund_amount_rate_90d"] == pytest.approx(34.5 / 200)
    assert row["cost_known_share_to_date"] == pytest.approx(190 / 250)
    assert june.features.loc[122, "gross_margin_to_date"] is None


def test_a_refund_above_the_sales_makes_a_negative_average_that_scores_nothing(june):
    assert june.features.loc[108, "average_order_value_90d"] == -25.0
    assert june.features.loc[108, "cost_to_date"] == Decimal("0.00")
    assert june.scores["ratio_to_max"].loc[108, "m_score"] == 0
    assert june.tiers.loc[108, "order_value_tier"] == "bronze"


def test_what_the_tier_granted_is_added_back_to_the_average(june):
    row = june.features.loc[121]
    assert row["average_order_value_90d"] == pytest.approx((2260 + 120) / 3)
    assert row["net_average_order_value_90d"] == pytest.approx(2260 / 3)
    assert june.tiers.loc[121, "lifetime_value"] == Decimal("560.00")  # margin 430.00 + 130.00


def test_stability_of_the_order_values(june):
    values = np.array([1500.0, 2000.0, 3000.0, 5000.0])
    row = june.features.loc[116]
    assert row["order_value_cv_180d"] == pytest.approx(values.std(ddof=1) / values.mean())
    assert row["order_value_robust_cv_180d"] == pytest.approx(1.4826 * 750 / 2500)  # deviations 1000, 500, 500, 2500


def test_open_and_overdue_amounts_and_weighted_days(june, july):
    row = june.features.loc[116]
    # open: 1,500 of the partly paid, 700 due on D, 800 due the day before, 1,500 not yet due
    assert row["receivable_amount"] == Decimal("4500.00")
    assert row["overdue_amount"] == Decimal("2300.00")
    assert row["overdue_days_max"] == 16
    # (1,000 x 10 + 2,000 x 20) + (500 x 6 + 1,500 x 16) + 800 x 1, over 5,000 + 3,000 + 2,000 + 700 + 800
    assert row["weighted_days_overdue_180d"] == pytest.approx(77_800 / 11_500)
    assert july.features.loc[116, "receivable_amount"] == Decimal("4000.00")
    assert june.features.loc[117, ["is_on_credit_terms", "overdue_days_max"]].tolist() == [1, 0]
    assert june.features.loc[118, "receivable_amount"] == Decimal("0.00")
    assert july.features.loc[118, "receivable_amount"] is None
    assert june.features.loc[101, "receivable_amount"] is None


def test_new_products_are_those_someone_ordered_since_the_customer_came(june, july):
    # Ordered in 180 days and launched in them: 6 (1 May), 7 (10 March), 8 (27 June); 9 from just outside to inside.
    assert june.features.loc[126, ["new_product_offered_count_180d", "new_product_tried_count_180d"]].tolist() == [2, 1]
    assert june.features.loc[105, "new_product_offered_count_180d"] == 3
    assert june.features.loc[106, "new_product_offered_count_180d"] == 0
    assert np.isnan(june.features.loc[106, "new_product_acceptance_180d"])
    assert june.features.loc[126, "new_product_acceptance_180d"] == pytest.approx(2 / 12)
    assert june.features.loc[102, "new_product_acceptance_180d"] == pytest.approx(1 / 11)
    # By 5 July the 180 days begin on 8 January, so the corrected product 9 (3 January) is out again.
    assert july.features.loc[105, "new_product_offered_count_180d"] == 3


def test_growth_needs_half_a_year_of_history(june):
    assert june.features.loc[124, "growth_rate_90d"] == pytest.approx(1.2)
    assert june.features.loc[124, "growth_share"] == pytest.approx(220 / 320)
    assert june.features.loc[107, ["growth_rate_90d", "growth_share"]].tolist() == [-1.0, 0.0]
    assert np.isnan(june.features.loc[126, "growth_rate_90d"])  # 107 days old
    assert june.features.loc[105, "days_since_first_order"] == 180
    assert june.features.loc[105, "growth_rate_90d"] == pytest.approx(926 / 1150 - 1)


def test_the_quantile_of_the_others_leaves_out_one_value_at_a_time():
    random = np.random.default_rng(1)
    for count in (2, 3, 6, 7, 21, 50):
        values = random.integers(0, 10, count).astype(float)
        one_by_one = [np.quantile(np.delete(values, i), 0.8) for i in range(count)]
        assert quantile_of_others(values) == pytest.approx(one_by_one)


def test_mid_ranks_share_ties_and_skip_nulls():
    values = pd.Series([1.0, 2.0, 2.0, np.nan, 9.0])
    assert mid_rank(values).tolist()[:3] == [0.125, 0.5, 0.5]
    assert np.isnan(mid_rank(values)[3])


def test_scores_by_the_example_formula():
    features = pd.DataFrame(
        {
            "days_since_last_order": [0, 3, 9],
            "order_count_90d": [10, 5, 0],
            "average_order_value_90d": [200.0, 50.0, np.nan],
            "potential_index": [0.5, np.nan, 0.2],
        }
    )
    scores = compute_scores(features, ScoringModel("ratio_to_max"), Weights())
    assert scores["total_score"].tolist() == pytest.approx(
        [0.30 + 0.25 + 0.30 + 0.15 * 0.5, (0.30 * 0.25 + 0.25 * 0.5 + 0.30 * 0.25) / 0.85, 0.30 * 0.1 + 0.15 * 0.2]
    )
    assert scores["score_rank"].tolist() == [1, 2, 3]
    half_life = compute_scores(features, ScoringModel("half_life", half_life_days=3), Weights())
    assert half_life["r_score"].tolist() == pytest.approx([1, 0.5, 0.125])


def test_who_did_not_order_in_90_days_has_no_sales_to_be_ranked_by():
    features = pd.DataFrame(
        {
            "days_since_last_order": [1, 2, 120],
            "order_count_90d": [2, 1, 0],
            "average_order_value_90d": [50.0, 40.0, None],
            "net_amount_90d": [100.0, 40.0, 0.0],
            "potential_index": [None, None, None],
        }
    )
    for monetary in ("average_order_value_90d", "net_amount_90d"):
        scores = compute_scores(features, ScoringModel("m", normalisation="midrank", monetary=monetary), Weights())
        assert scores["m_score"].tolist() == [0.75, 0.25, 0.0]


def test_the_bounds_of_the_ladder_are_reached_exactly(june):
    tiers = june.tiers
    assert tiers.loc[101, ["frequency_tier", "order_value_tier", "candidate_tier"]].tolist() == ["diamond"] * 3
    assert tiers.loc[102, ["frequency_tier", "order_value_tier", "candidate_tier"]].tolist() == ["gold"] * 3
    assert tiers.loc[103, ["frequency_tier", "order_value_tier", "candidate_tier"]].tolist() == ["silver"] * 3
    assert tiers.loc[104, "order_value_tier"] == "bronze"
    assert tiers.loc[124, "lifetime_value_top_share"] == tiers.loc[125, "lifetime_value_top_share"]
    assert tiers.loc[107, "order_value_tier"] == "bronze"


def test_required_criteria_choose_between_any_and_all():
    tables = read_folder(SMALL)
    names = [t.name for t in Configuration().ladder]
    places = {}
    for required in (1, 2, 3):
        tiers = compute_snapshot(tables, JUNE, Configuration(policy=Policy(required_criteria=required))).tiers
        places[required] = tiers["candidate_tier"].map(names.index)
    assert (places[1] <= places[2]).all() and (places[2] <= places[3]).all()
    assert places[1][105] == 0 and places[3][105] == 3  # diamond by lifetime value alone


def test_shares_of_the_tiers_sum_to_one_from_the_top(june):
    last = june.contribution.iloc[-1]
    assert last["cumulative_customer_share"] == pytest.approx(1)
    assert last["cumulative_net_amount_share"] == pytest.approx(1)
    assert last["cumulative_gross_margin_share"] == pytest.approx(1)
    assert june.distribution["customer_count"].sum() == len(june.features)


def test_the_share_of_the_margin_is_unknown_down_to_the_first_tier_with_a_known_one():
    features = pd.DataFrame({"net_amount_90d": [Decimal(6), Decimal(2)], "gross_margin_90d": [Decimal(3), Decimal(1)]})
    tiers = pd.DataFrame({"tier": ["gold", "bronze"]})
    shares = tier_value_contribution(features, tiers, Configuration())
    assert shares["cumulative_customer_share"].tolist() == [0, 0.5, 0.5, 1]
    assert shares["cumulative_gross_margin_share"].isna().tolist() == [True, False, False, False]
    assert shares["cumulative_gross_margin_share"].tolist()[1:] == [0.75, 0.75, 1]


def test_absent_tables_are_null_and_never_zero():
    only_orders = {name: frame for name, frame in read_folder(SMALL).items() if name in ("orders", "order_lines")}
    features = compute_snapshot(only_orders, JUNE).features
    for column in ("refund_amount_rate_90d", "complaint_count_90d", "category_count_90d", "receivable_amount"):
        assert features[column].isna().all(), column
    assert (features["business_type"] == "unknown").all()


def test_the_order_of_delivery_does_not_matter():
    day = date(2024, 3, 31)
    tables = random_history(1, day, "Asia/Shanghai")
    turned = {name: frame.iloc[::-1] for name, frame in tables.items()}
    one, other = compute_snapshot(tables, day), compute_snapshot(turned, day)
    assert differences(one.features, other.features, "features") == []


def test_a_changed_number_is_reported():
    right = pd.DataFrame({"amount": [Decimal("1.00"), None], "rate": [0.5, 0.1]}, index=[7, 8])
    left = pd.DataFrame({"amount": [Decimal("1.01"), None], "rate": [0.5 + 1e-12, None]}, index=[7, 8])
    assert [line.split(":")[0] for line in differences(left, right, "mart")] == ["mart.amount", "mart.rate"]
    assert rank_differences(pd.Series([1, 2]), pd.Series([0.3, 0.3 + 1e-13]), "rank") == []
    assert rank_differences(pd.Series([1, 2]), pd.Series([0.3, 0.4]), "rank") != []

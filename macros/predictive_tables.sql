{# Tables that Python assets write and models read. They exist from the first run on, so that `dbt build` alone works too. #}
{% macro create_predictive_tables() %}
    {% set database = target.schema ~ '_predictive' %}
    {# on_cluster_clause() wants a relation of dbt; these tables are none. #}
    {% set cluster = adapter.get_clickhouse_cluster_name() %}
    {% set on_cluster = ' on cluster ' ~ cluster if cluster else '' %}
    {% set engine = 'ReplicatedMergeTree' if cluster else 'MergeTree' %}
    {% do run_query('create database if not exists ' ~ database ~ on_cluster) %}
    {% do run_query("create table if not exists " ~ database ~ ".potential" ~ on_cluster ~ " (
        as_of_date Date,
        customer_id UInt64,
        model_version LowCardinality(String),
        category_headroom_90d Nullable(Decimal(18, 2)),
        headroom_share Nullable(Float64),
        growth_rate_90d Nullable(Float64),
        growth_share Nullable(Float64),
        new_product_acceptance_180d Nullable(Float64),
        potential_index Nullable(Float64)
    ) engine = " ~ engine ~ " partition by as_of_date order by customer_id") %}
    {# One row per fitted model: what was learned, from which days and data, by which code. The first row of a training day serves. #}
    {% do run_query("create table if not exists " ~ database ~ ".model_artifacts" ~ on_cluster ~ " (
        model LowCardinality(String),
        version String,
        code_version LowCardinality(String),
        trained_from Date,
        trained_until Date,
        data_fingerprint String,
        parameters String,
        fitted_at DateTime64(3, 'UTC')
    ) engine = " ~ engine ~ " order by (model, trained_until, version)") %}
    {# One row per verdict: what serves from serves_from on, the model itself (served_model = model) or a baseline. Rows are only
       added, so that a rebuilt day finds what served then: macro served_model() and predictive/promotions.py read them. #}
    {% do run_query("create table if not exists " ~ database ~ ".promotions" ~ on_cluster ~ " (
        evaluated_on Date,
        model LowCardinality(String),
        served_model LowCardinality(String),
        verdict LowCardinality(String),
        serves_from Date default evaluated_on,
        written_at DateTime64(3, 'UTC')
    ) engine = " ~ engine ~ " order by (model, evaluated_on)") %}
    {# For a table that an earlier version made. #}
    {% do run_query("alter table " ~ database ~ ".promotions" ~ on_cluster ~ "
        add column if not exists serves_from Date default evaluated_on,
        add column if not exists written_at DateTime64(3, 'UTC')") %}
    {# One row per scored customer and as-of date: expected orders and margin, and whether the customer still orders. #}
    {% do run_query("create table if not exists " ~ database ~ ".lifetime_value" ~ on_cluster ~ " (
        as_of_date Date,
        customer_id UInt64,
        model_version LowCardinality(String),
        method LowCardinality(String),
        reason LowCardinality(String),
        value_method LowCardinality(String),
        is_from_revenue UInt8,
        expected_order_count_365d Float64,
        expected_order_value Decimal(18, 2),
        expected_margin_365d Decimal(18, 2),
        p_alive Nullable(Float64),
        p_no_order_30d Nullable(Float64),
        residual_value Nullable(Decimal(18, 2)),
        served_model LowCardinality(String),
        no_order_served_model LowCardinality(String)
    ) engine = " ~ engine ~ " partition by as_of_date order by customer_id") %}
    {# For a table that an earlier version made. #}
    {% do run_query("alter table " ~ database ~ ".lifetime_value" ~ on_cluster ~ "
        add column if not exists served_model LowCardinality(String),
        add column if not exists no_order_served_model LowCardinality(String)") %}
    {# One row per scored customer and as-of date: rhythm, silence, partial defection, risk. Days are open days where they say so. #}
    {% do run_query("create table if not exists " ~ database ~ ".churn" ~ on_cluster ~ " (
        as_of_date Date,
        customer_id UInt64,
        model_version LowCardinality(String),
        method LowCardinality(String),
        gap_count UInt16,
        expected_gap_days Float64,
        silence_days UInt32,
        silence_open_days Float64,
        pause_open_days Float64,
        gap_ratio Float64,
        p_no_order_30d Float64,
        p_defected Float64,
        baseline_net_amount_90d Nullable(Decimal(18, 2)),
        spend_change Nullable(Float64),
        is_spend_falling UInt8,
        dropped_category_id Nullable(UInt32),
        dropped_category_name Nullable(String),
        dropped_category_amount_90d Nullable(Decimal(18, 2)),
        churn_risk LowCardinality(String),
        reason_code LowCardinality(String),
        value_at_risk Decimal(18, 2),
        served_model LowCardinality(String) default 'churn',
        is_judged UInt8
    ) engine = " ~ engine ~ " partition by as_of_date order by customer_id") %}
    {# For a table that an earlier version made. #}
    {% do run_query("alter table " ~ database ~ ".churn" ~ on_cluster ~ "
        add column if not exists served_model LowCardinality(String) default 'churn',
        add column if not exists is_judged UInt8") %}
    {# One row per customer, as-of date and place of the list. #}
    {% do run_query("create table if not exists " ~ database ~ ".product_recommendations" ~ on_cluster ~ " (
        as_of_date Date,
        model_version LowCardinality(String),
        customer_id UInt64,
        rank UInt8,
        product_id UInt64,
        product_name LowCardinality(String),
        category_id Nullable(UInt32),
        category_name LowCardinality(Nullable(String)),
        score Float64,
        method LowCardinality(String),
        reason_code LowCardinality(String),
        order_lines_365d UInt32,
        last_bought_on Nullable(Date),
        usual_gap_days UInt16,
        goes_with_product_id Nullable(UInt64),
        goes_with_product_name LowCardinality(Nullable(String)),
        goes_with_share Nullable(Float64),
        region_share Float64
    ) engine = " ~ engine ~ " partition by as_of_date order by (customer_id, rank)") %}
    {# One row per as-of date, target and method: how well its lists foresaw the last two weeks. #}
    {% do run_query("create table if not exists " ~ database ~ ".recommendation_evaluation" ~ on_cluster ~ " (
        as_of_date Date,
        model_version LowCardinality(String),
        target LowCardinality(String),
        method LowCardinality(String),
        customer_count UInt32,
        recall_at_10 Nullable(Float64),
        recall_low Nullable(Float64),
        recall_high Nullable(Float64),
        coverage Nullable(Float64),
        role LowCardinality(String),
        verdict LowCardinality(String)
    ) engine = " ~ engine ~ " partition by as_of_date order by (target, method)") %}
    {# One row per as-of date and feature or score: how far the customers are from those of the reference day. #}
    {% do run_query("create table if not exists " ~ database ~ ".feature_drift" ~ on_cluster ~ " (
        as_of_date Date,
        model_version LowCardinality(String),
        feature LowCardinality(String),
        kind LowCardinality(String),
        reference_date Nullable(Date),
        reference_count UInt64,
        current_count UInt64,
        bin_count UInt16,
        psi Nullable(Float64),
        critical_value Nullable(Float64),
        critical_value_chi2 Nullable(Float64),
        p_value Nullable(Float64),
        p_value_of_all Nullable(Float64),
        is_alarm UInt8,
        verdict LowCardinality(String)
    ) engine = " ~ engine ~ " partition by as_of_date order by feature") %}
    {# One row per as-of date, series and coming week: net sales to expect, and how well the method did before. #}
    {% do run_query("create table if not exists " ~ database ~ ".sales_forecast" ~ on_cluster ~ " (
        as_of_date Date,
        model_version LowCardinality(String),
        dimension LowCardinality(String),
        member String,
        member_name String,
        week_start_date Date,
        weeks_ahead UInt8,
        net_amount Decimal(18, 2),
        net_amount_low Nullable(Decimal(18, 2)),
        net_amount_high Nullable(Decimal(18, 2)),
        method LowCardinality(String),
        baseline_method LowCardinality(String),
        verdict LowCardinality(String),
        mase Nullable(Float64),
        baseline_mase Nullable(Float64),
        interval_coverage Nullable(Float64),
        origin_count UInt8,
        history_week_count UInt16,
        spring_festival LowCardinality(String)
    ) engine = " ~ engine ~ " partition by as_of_date order by (dimension, member, week_start_date)") %}
    {# One row per scored customer and as-of date: the parts of potential, second version, and their index. #}
    {% do run_query("create table if not exists " ~ database ~ ".potential_parts" ~ on_cluster ~ " (
        as_of_date Date,
        customer_id UInt64,
        model_version LowCardinality(String),
        category_headroom_by_size_90d Nullable(Decimal(18, 2)),
        headroom_by_size_share Nullable(Float64),
        headroom_peers LowCardinality(String),
        growth_slope_52w Nullable(Float64),
        growth_slope_p_value Nullable(Float64),
        growth_slope_share Nullable(Float64),
        expected_net_amount_next_90d Nullable(Decimal(18, 2)),
        expected_growth_share Nullable(Float64),
        forecast_method LowCardinality(String),
        new_product_acceptance_fitted_180d Nullable(Float64),
        acceptance_method LowCardinality(String),
        potential_index_v2 Nullable(Float64)
    ) engine = " ~ engine ~ " partition by as_of_date order by customer_id") %}
    {# One row per evaluation, model and metric: the model beside the best baseline. evaluated_on: the day after the last one that it knew. #}
    {% do run_query("create table if not exists " ~ database ~ ".model_evaluation" ~ on_cluster ~ " (
        evaluated_on Date,
        known_until Date,
        model LowCardinality(String),
        metric LowCardinality(String),
        value Nullable(Float64),
        low Nullable(Float64),
        high Nullable(Float64),
        baseline LowCardinality(String),
        baseline_value Nullable(Float64),
        gain Nullable(Float64),
        gain_low Nullable(Float64),
        gain_high Nullable(Float64),
        comparison LowCardinality(String),
        is_deciding UInt8,
        verdict LowCardinality(String),
        served_model LowCardinality(String),
        horizon_days UInt16,
        origin_count UInt8,
        origins Array(Date),
        customer_count UInt32,
        baseline_values Map(String, Float64),
        reason String,
        verdict_text String,
        verdict_text_zh String
    ) engine = " ~ engine ~ " partition by evaluated_on order by (model, metric)") %}
    {# One row per reviewed day, tier and criterion: where the standards cut, and what would restore the quotas. #}
    {% do run_query("create table if not exists " ~ database ~ ".threshold_review" ~ on_cluster ~ " (
        as_of_date Date,
        policy LowCardinality(String),
        tier LowCardinality(String),
        tier_rank UInt8,
        criterion LowCardinality(String),
        threshold Float64,
        reaching_share Float64,
        proposed_threshold Float64,
        proposed_reaching_share Float64,
        quota_share Float64,
        customer_count UInt32,
        customer_share Float64,
        candidate_share Float64,
        proposed_candidate_share Float64,
        simulated_customer_count UInt32,
        simulated_in_count UInt32,
        simulated_out_count UInt32,
        week_count UInt16,
        past_customer_count Nullable(UInt32),
        past_simulated_customer_count Nullable(UInt32),
        weekly_change_rate Nullable(Float64),
        simulated_weekly_change_rate Nullable(Float64),
        verdict LowCardinality(String),
        proposed_seed_row String,
        note String
    ) engine = " ~ engine ~ " partition by as_of_date order by (tier_rank, criterion)") %}
{% endmacro %}

{# The same before the first of several builds of one run: TIERHOUSE_IS_LATER_STEP is set for those after it. #}
{% macro create_predictive_tables_once() %}
    {%- if execute and env_var('TIERHOUSE_IS_LATER_STEP', '') -%}
        {{ return('') }}
    {%- endif -%}
    {% do create_predictive_tables() %}
{% endmacro %}

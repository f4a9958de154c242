"""The rules of the dbt project, read from its manifest: who may read whom, what models must have and must not use.

Every rule has its exceptions beside it, each with a reason. An exception that nothing needs any more fails too.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from dagster_dbt import DagsterDbtTranslator

from orchestration.project import PROJECT_DIR, ensure_manifest
from orchestration.warehouse.settings import Settings

Node = dict[str, Any]

# What the models of a layer may read: models and seeds of these layers, or these sources.
MAY_READ = {
    "staging": {"landing"},
    "facts": {"staging", "facts"},
    # Features look at staging only to tell a source that delivers nothing from one with nothing to report.
    "features": {"staging", "facts", "features"},
    "scoring": {"features", "scoring", "seeds", "predictive"},
    "tiers": {"features", "scoring", "tiers", "seeds", "predictive"},
    "snapshots": {"features", "scoring", "tiers", "snapshots", "seeds", "predictive"},
    "marts": {"snapshots", "predictive"},
}

# The part of a refresh that builds a layer. dbt runs a test as soon as one of its parents is built, so that a test with
# parents in two parts would compare today with yesterday.
STEP = {
    "seeds": "features",
    "staging": "features",
    "facts": "features",
    "features": "features",
    "scoring": "tiers",
    "tiers": "tiers",
    "snapshots": "tiers",
    "marts": "marts",
}

WITHOUT_ORDER_BY = {
    "fct_watermark": "holds one row",
    "scoring_configuration": "holds one row",
}

# What makes a result depend on the moment, on chance or on the order of rows.
FORBIDDEN = {
    "the clock of the server": r"\b(today|yesterday|now|now64|current_date|current_timestamp)\s*\(",
    "chance": r"\b(rand|rand32|rand64|randCanonical|generateUUIDv4|generateUUIDv7)\s*\(",
    "buckets that tear ties apart": r"\bntile\s*\(",
    "quantiles of a sample": r"\b(quantile|quantiles|quantileIf|median|medianIf)\s*\(",
    "approximate counts": r"\b(uniq|uniqIf|uniqCombined|uniqHLL12)\s*\(",
    "a session setting": r"^\s*set\s+\w+\s*=",
}


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return json.loads(ensure_manifest(Settings.from_environment()).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def models(manifest: dict[str, Any]) -> dict[str, Node]:
    """Models of the project by name."""
    return {node["name"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model"}


def layer(unique_id: str, manifest: dict[str, Any]) -> str:
    """The layer of a node: the folder of a model, `seeds`, or the name of a source."""
    if unique_id in manifest["sources"]:
        return manifest["sources"][unique_id]["source_name"]
    node = manifest["nodes"][unique_id]
    return "seeds" if node["resource_type"] == "seed" else node["fqn"][1]


def code(text: str) -> str:
    """SQL and Jinja without their comments."""
    text = re.sub(r"\{#.*?#\}", " ", text, flags=re.DOTALL)
    return re.sub(r"--[^\n]*", " ", text)


def check(breaches: Iterable[tuple[str, str]], exceptions: dict[str, str] | None = None) -> None:
    """Fail with one line per (name, what is wrong) that is no exception, and per exception that is not needed."""
    exceptions = exceptions or {}
    found = list(breaches)
    broken = {name for name, _ in found}
    lines = [f"{name}: {what}" for name, what in found if name not in exceptions]
    stale = [(name, reason) for name, reason in exceptions.items() if name not in broken]
    lines += [f"{name}: the exception ({reason}) is not needed" for name, reason in stale]
    assert not lines, "\n" + "\n".join(lines)


def test_every_layer_reads_only_the_layers_it_may(manifest: dict[str, Any], models: dict[str, Node]) -> None:
    def breaches() -> Iterator[tuple[str, str]]:
        for name, model in models.items():
            own = layer(model["unique_id"], manifest)
            for parent in model["depends_on"]["nodes"]:
                if layer(parent, manifest) not in MAY_READ[own]:
                    yield name, f"{own} may not read {parent}"

    exceptions = {
        "tier_overrides": "an override is an entry of a manager, not a measure of a customer",
        "tier_reasons": "labels name things in texts, and no result depends on them",
        "policy_tiers": "states of policies that are not in force are in no snapshot",
    }
    check(breaches(), exceptions)


def test_every_source_is_read_and_every_landing_table_has_its_staging_model(manifest: dict[str, Any]) -> None:
    read = {parent for node in manifest["nodes"].values() for parent in node["depends_on"].get("nodes", [])}
    check((source, "no model reads it") for source in manifest["sources"] if source not in read)


def test_every_data_test_reads_models_of_one_part_of_a_refresh(manifest: dict[str, Any]) -> None:
    def step(unique_id: str) -> str:
        return "marts" if unique_id.endswith(".published_builds") else STEP[layer(unique_id, manifest)]

    def breaches() -> Iterator[tuple[str, str]]:
        for node in manifest["nodes"].values():
            parents = node["depends_on"].get("nodes", [])
            if node["resource_type"] == "test" and len({step(parent) for parent in parents}) != 1:
                yield node["name"], f"reads {', '.join(parents)}"

    check(breaches())


def test_every_model_says_first_what_a_row_is(models: dict[str, Node]) -> None:
    def breaches() -> Iterator[tuple[str, str]]:
        for name, model in models.items():
            if not re.match(r"One row( per [a-z0-9-]|: )", model["description"]):
                yield name, f"its description begins with {model['description'][:40]!r}"
            if not model["raw_code"].lstrip().startswith("-- One row"):
                yield name, "its file does not begin with the grain"

    check(breaches())


def test_every_stored_model_has_a_sort_key(models: dict[str, Node]) -> None:
    check(
        (
            (name, "has no order_by")
            for name, model in models.items()
            if model["config"]["materialized"] != "view" and model["config"].get("order_by") in (None, "", "tuple()")
        ),
        WITHOUT_ORDER_BY,
    )


def test_every_model_has_a_test(manifest: dict[str, Any], models: dict[str, Node]) -> None:
    tested = {parent for unit in manifest["unit_tests"].values() for parent in unit["depends_on"]["nodes"]}
    for node in manifest["nodes"].values():
        if node["resource_type"] == "test":
            tested.update(node["depends_on"]["nodes"])
    untested = [name for name, model in models.items() if model["unique_id"] not in tested]
    check((name, "has neither a data test nor a unit test") for name in untested)


def test_incremental_models_replace_whole_partitions_or_all_rows_of_a_key(models: dict[str, Node]) -> None:
    def breaches() -> Iterator[tuple[str, str]]:
        for name, model in models.items():
            config = model["config"]
            if config["materialized"] != "incremental":
                continue
            needed = {"insert_overwrite": "partition_by", "append": "pre-hook"}
            if not config.get(needed.get(config["incremental_strategy"], "no such strategy")):
                yield name, "must be insert_overwrite with partition_by, or append after a hook that deletes"

    check(breaches())


def test_a_full_refresh_keeps_what_is_stored_of_other_days(models: dict[str, Node]) -> None:
    check(
        (name, "--full-refresh would drop its history")
        for name, model in models.items()
        if model["fqn"][1] in ("tiers", "snapshots")
        and model["config"]["materialized"] == "incremental"
        and model["config"]["full_refresh"] is not False
    )


def test_no_model_is_a_materialized_view(models: dict[str, Node]) -> None:
    # macros/dbt_overrides.sql does not look for those that write into a table.
    kinds = ((name, model["config"]["materialized"]) for name, model in models.items())
    check((name, f"is a {kind}") for name, kind in kinds if kind not in ("view", "table", "incremental"))


def test_marts_are_views_with_an_enforced_contract(models: dict[str, Node]) -> None:
    def breaches() -> Iterator[tuple[str, str]]:
        for name, model in models.items():
            if model["fqn"][1] != "marts":
                continue
            if not model["config"]["contract"]["enforced"] or model["config"]["materialized"] != "view":
                yield name, "must be a view with an enforced contract"
            for column in model["columns"].values():
                if not column["data_type"] or not column["description"]:
                    yield name, f"{column['name']} needs a type and a description"

    check(breaches())


def test_feature_columns_are_documented_as_in_their_mart(models: dict[str, Node]) -> None:
    from_elsewhere = {
        "has_risk_flag",
        "credit_score",
        "category_headroom_90d",
        "headroom_share",
        "growth_rate_90d",
        "growth_share",
        "new_product_acceptance_180d",
        "headroom_by_size_share",
        "growth_slope_share",
        "expected_growth_share",
        "new_product_acceptance_fitted_180d",
        "potential_index",
        "potential_version",
    }
    in_mart = set(models["customer_features"]["columns"]) - from_elsewhere
    documented = models["feature_snapshot"]["columns"]
    check(
        [(name, "is not documented in feature_snapshot") for name in in_mart - set(documented)]
        + [(name, "is documented but is no column") for name in set(documented) - in_mart]
        + [(name, "has no description") for name, column in documented.items() if not column["description"]]
    )


def test_a_limit_can_follow_every_query_that_dbt_shows(manifest: dict[str, Any]) -> None:
    # `dbt show --select one_model` shows the model's tests too, and puts a limit behind each query.
    queries = {node["name"]: node["raw_code"] for node in manifest["nodes"].values() if node["resource_type"] != "seed"}
    queries |= {name: macro["macro_sql"] for name, macro in manifest["macros"].items() if ".test_" in name}
    ends_with_settings = re.compile(r"\bsettings\b[^()]*\Z", flags=re.IGNORECASE)
    check(
        (name, "ends with settings; put the query in parentheses")
        for name, query in queries.items()
        if ends_with_settings.search(re.sub(r"\{%.*?%\}", " ", code(query)))
    )


def test_nothing_depends_on_clock_chance_or_samples(manifest: dict[str, Any]) -> None:
    def sources() -> Iterator[tuple[str, str]]:
        for node in manifest["nodes"].values():
            if node["resource_type"] in ("model", "test", "operation"):
                yield node["unique_id"], node["raw_code"]
            for hook in [*node["config"].get("pre-hook", []), *node["config"].get("post-hook", [])]:
                yield node["unique_id"], hook["sql"]
        for macro in manifest["macros"].values():
            if macro["package_name"] == "tierhouse":
                yield macro["unique_id"], macro["macro_sql"]

    def breaches() -> Iterator[tuple[str, str]]:
        for name, text in sources():
            for what, pattern in FORBIDDEN.items():
                found = re.search(pattern, code(text), flags=re.IGNORECASE | re.MULTILINE)
                if found:
                    yield name, f"uses {what}: {found[0].strip()}"

    check(breaches())


def test_no_model_searches_a_whole_table_for_each_row(models: dict[str, Node]) -> None:
    # A list that grows with a table is looked through once per row: `transform` asks a hash, a join another.
    of_a_table = re.compile(r"\bindexOf\(\s*(?:tupleElement\(\s*)?\(\s*select\b", flags=re.IGNORECASE)
    check(
        (name, "searches a list from a query by indexOf")
        for name, node in models.items()
        if of_a_table.search(code(node["raw_code"]))
    )


def test_every_seed_is_versioned_and_commented(manifest: dict[str, Any]) -> None:
    def breaches() -> Iterator[tuple[str, str]]:
        for node in manifest["nodes"].values():
            if node["resource_type"] != "seed":
                continue
            with (PROJECT_DIR / node["original_file_path"]).open(encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            for column in ("valid_from", "comment"):
                if not rows or any(not row.get(column) for row in rows):
                    yield node["name"], f"has rows without {column}"
            if node["config"]["column_types"].get("valid_from") != "Date":
                yield node["name"], "must store valid_from as Date"
            if not node["description"].startswith("One row per"):
                yield node["name"], "must say what a row is"

    check(breaches())


def test_the_folder_of_a_model_is_its_database_and_the_first_part_of_its_asset_key(models: dict[str, Node]) -> None:
    def breaches() -> Iterator[tuple[str, str]]:
        translator = DagsterDbtTranslator()
        for name, model in models.items():
            folder = model["original_file_path"].split("/")[1]
            if model["config"]["schema"] != folder or not model["schema"].endswith(f"_{folder}"):
                yield name, f"lies in {folder} but is built in {model['schema']}"
            if translator.get_asset_key(model).path != [folder, name]:
                yield name, f"has the asset key {translator.get_asset_key(model).path}"

    check(breaches())


def test_an_exception_that_is_not_needed_fails() -> None:
    with pytest.raises(AssertionError, match="is not needed"):
        check([], {"some_model": "was once so"})


def test_the_comments_of_a_file_are_not_taken_for_code() -> None:
    assert "today" not in code("{# never today() #} select 1 -- today()\n")
    assert re.search(FORBIDDEN["the clock of the server"], code("select today() -- why"))
    assert not re.search(FORBIDDEN["quantiles of a sample"], code("arrayReduce('quantileExactInclusive(0.5)', x)"))

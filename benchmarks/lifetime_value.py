"""Lifetime value on a million customers: seconds and memory of fitting and scoring, beside the package `lifetimes`.

    python -m benchmarks.lifetime_value [--customers 1000000]

Every step runs in a process of its own, so that its peak memory is its own. Wall seconds are what a person waits, processor seconds
what the work costs on a machine that does other things too. `lifetimes` is measured where it can be imported; it is archived and no
dependency of anything here.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

SEED, DAYS = 1, 400
TRUTH = {"r": 0.8, "alpha": 8.0, "a": 0.8, "b": 8.0}
CONSOLE = Console(width=120)


def simulate(count: int) -> pd.DataFrame:
    """Customers of an MBG/NBD base in whole days, first orders spread over 400 days; margins by Gamma-Gamma."""
    random = np.random.default_rng(SEED)
    rate = random.gamma(TRUTH["r"], 1 / TRUTH["alpha"], count)
    stop = random.beta(TRUTH["a"], TRUTH["b"], count)
    T = random.integers(0, DAYS, count).astype(np.float64)
    now, x, last = np.zeros(count), np.zeros(count), np.zeros(count)
    ordering = np.flatnonzero(random.random(count) >= stop)
    while len(ordering):
        # Orders of one day are one.
        now[ordering] = np.ceil(now[ordering] + random.exponential(1 / rate[ordering]))
        ordering = ordering[now[ordering] <= T[ordering]]
        x[ordering] += 1
        last[ordering] = now[ordering]
        ordering = ordering[random.random(len(ordering)) >= stop[ordering]]
    mean = random.gamma(3.0 * (x + 1), 1 / (x + 1)) * random.gamma(4.0, 10.0, count)
    return pd.DataFrame(
        {
            "customer_id": np.arange(1, count + 1),
            "order_day_count": x + 1,
            "days_to_last_order": last,
            "days_since_first_order": T,
            "value_to_date": mean * (x + 1),
            "is_from_revenue": 0,
            "last_gap": np.nan,
            "gap_before": np.nan,
            "early_order_day_count": 0,
            "early_days_to_last_order": 0,
        }
    )


def _histories(frame: pd.DataFrame):
    from orchestration.predictive.order_process import group_histories

    columns = ("days_to_last_order", "days_since_first_order")
    return group_histories(frame["order_day_count"].to_numpy() - 1, *(frame[name].to_numpy() for name in columns))


def fit_orders(stops_at_start: bool, k: int = 1) -> Callable[[pd.DataFrame], str]:
    """Group the histories and fit one model of orders."""

    def run(frame: pd.DataFrame) -> str:
        from orchestration.predictive.order_process import fit_order_model

        histories, _ = _histories(frame)
        model = fit_order_model(histories, stops_at_start, k)
        values = " ".join(f"{value:.4f}" for value in (model.r, model.alpha, model.a, model.b))
        return f"{values}, {len(histories.x):,} distinct histories"

    return run


def fit_value(frame: pd.DataFrame) -> str:
    from orchestration.predictive.order_value import fit_value_model

    days = frame["order_day_count"].to_numpy()
    model = fit_value_model(days, frame["value_to_date"].to_numpy() / days)
    return f"{model.p:.4f} {model.q:.4f} {model.gamma:.4f}"


def score(stops_at_start: bool, k: int = 1) -> Callable[[pd.DataFrame], str]:
    """Score every customer with all outputs; the artifact is fitted on 20,000 customers, which is not counted."""

    def run(frame: pd.DataFrame) -> str:
        from dataclasses import replace

        from orchestration.predictive.lifetime_value import OPTIONS, fit_lifetime_value, score_lifetime_value
        from orchestration.predictive.order_process import fit_order_model

        few = frame.head(20_000)
        artifact = fit_lifetime_value(few, date(2026, 3, 31), 90, OPTIONS)
        orders = fit_order_model(_histories(few)[0], stops_at_start, k).to_parameters()
        artifact = replace(artifact, parameters={**artifact.parameters, "orders": orders})
        _restart_clock()
        scores = score_lifetime_value(frame, artifact, OPTIONS)
        return (
            f"{scores['expected_order_count_365d'].sum():,.0f} orders, {scores['expected_margin_365d'].sum():,.0f} CNY"
        )

    return run


def fit_with_lifetimes(frame: pd.DataFrame) -> str:
    from lifetimes import BetaGeoFitter

    x = frame["order_day_count"] - 1
    fitter = BetaGeoFitter().fit(x, frame["days_to_last_order"], frame["days_since_first_order"])
    return " ".join(f"{fitter.params_[name]:.4f}" for name in ("r", "alpha", "a", "b"))


def score_with_lifetimes(frame: pd.DataFrame) -> str:
    from lifetimes import BetaGeoFitter

    x, t_x, T = frame["order_day_count"] - 1, frame["days_to_last_order"], frame["days_since_first_order"]
    fitter = BetaGeoFitter().fit(x.head(20_000), t_x.head(20_000), T.head(20_000))
    _restart_clock()
    expected = fitter.conditional_expected_number_of_purchases_up_to_time(365, x, t_x, T)
    fitter.conditional_probability_alive(x, t_x, T)
    return f"{expected.sum():,.0f} orders"


STEPS: dict[str, Callable[[pd.DataFrame], str]] = {
    "BG/NBD fit": fit_orders(False),
    "MBG/NBD fit": fit_orders(True),
    "MBG/CNBD-3 fit": fit_orders(True, 3),
    "Gamma-Gamma fit": fit_value,
    "score, BG/NBD": score(False),
    "score, MBG/NBD": score(True),
    "score, MBG/CNBD-3": score(True, 3),
    "lifetimes: BG/NBD fit": fit_with_lifetimes,
    "lifetimes: expected orders and P(alive)": score_with_lifetimes,
}

_clock = [0.0, 0.0]


def _restart_clock() -> None:
    _clock[:] = [time.monotonic(), time.process_time()]


@click.command()
@click.option("--customers", default=1_000_000, show_default=True)
@click.option("--step", default="", hidden=True)
@click.option("--base", default="", hidden=True)
def main(customers: int, step: str, base: str) -> None:
    """Print one line per step; each runs in a process of its own."""
    if step:
        frame = pd.read_parquet(base)
        _restart_clock()
        result = STEPS[step](frame)
        wall, work = time.monotonic() - _clock[0], time.process_time() - _clock[1]
        print(json.dumps([result, wall, work, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20]))
        return
    table = Table("what", "wall s", "processor s", "peak GiB", "result", title=f"{customers:,} customers, {DAYS} days")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "base.parquet"
        simulate(customers).to_parquet(path)
        for name in STEPS:
            command = [sys.executable, "-m", "benchmarks.lifetime_value", "--step", name, "--base", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                table.add_row(name, "-", "-", "-", (done.stderr.strip().splitlines() or ["no word"])[-1])
                continue
            result, wall, work, memory = json.loads(done.stdout.splitlines()[-1])
            table.add_row(name, f"{wall:.2f}", f"{work:.2f}", f"{memory:.2f}", result)
    CONSOLE.print(table)


if __name__ == "__main__":
    main()

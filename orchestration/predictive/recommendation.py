"""Products to offer each customer: which method ranks them is decided by the last two weeks, and each row says why it is there.

Three kinds of lists are judged, each by what the customer bought in the two weeks after the cut-off. `all`: every product on
sale. `not_in_use`: without those bought in the 28 days before, so what was dropped or never tried; it decides the list.
`never_bought`: without those bought in the year before; it decides the last places, which are kept for new products.
Definitions: docs/definitions.md, "Recommendations".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from orchestration.predictive.one_thread import in_one_thread
from orchestration.predictive.recommendation_sources import (
    FACTORISATION,
    POPULARITY,
    REPURCHASE,
    SOURCES,
    TIE,
    TOGETHER,
    TOGETHER_PRIOR_CUSTOMERS,
    Catalogue,
    History,
    Model,
    popularity_of,
    position,
    score,
    top,
)
from orchestration.predictive.recommendation_sources import learn as learn_sources

MODEL_VERSION = "recommendation-1"

ALL, NOT_IN_USE, NEVER_BOUGHT = "all", "not_in_use", "never_bought"
TARGETS = (ALL, NOT_IN_USE, NEVER_BOUGHT)
BLEND, SERVED = "blend", "served"
# From the simplest: a later one serves only where it is better than chance explains.
METHODS = (*SOURCES, BLEND)

OUTCOME_DAYS = 14
LIST_LENGTH = 10
NEW_PLACES = 3
FEWEST_CUSTOMERS = 100
# A product this near the top of a source is one of those from which the blend learns.
POOL = 50
POOL_CUSTOMERS = 5_000
BLEND_PENALTY = 1.0

# A product goes with another one when so many customers bought both, and so much more of them than of all customers.
TOGETHER_CUSTOMERS = 5
TOGETHER_LIFT = 1.5
POPULAR_PRODUCTS = 50

_CELLS_AT_ONCE = 6_000_000
_LINEAR_ALGEBRA = ("implicit.cpu.als", "sklearn.linear_model")


@dataclass(frozen=True)
class Fold:
    """One cut-off with what was known at it and what was bought after it.

    bought_after: customer_id, product_id, each pair once, of the OUTCOME_DAYS days after the cut-off.
    """

    catalogue: Catalogue
    history: History
    bought_after: pd.DataFrame


@dataclass(frozen=True)
class Choice:
    """Which methods serve, and the weights of the blend per target. reason: judged, or why nothing could be judged."""

    list_method: str
    new_method: str
    reason: str
    weights: dict[str, dict[str, float]] = field(default_factory=dict)


# What serves where nothing can be judged: own purchases first, popular products after them.
def unjudged(reason: str) -> Choice:
    """The choice that needs no evidence; `reason` says what is missing."""
    return Choice(REPURCHASE, POPULARITY, reason)


@in_one_thread(*_LINEAR_ALGEBRA)
def learn(history: History, catalogue: Catalogue) -> Model:
    """Nearness and factors of the products, from the purchases of some customers."""
    return learn_sources(history, catalogue)


@in_one_thread(*_LINEAR_ALGEBRA)
def choose(training: Fold, judging: Fold) -> tuple[Choice, pd.DataFrame]:
    """Let every method make its lists at the cut-off of `judging`, and compare them with what was bought after it.

    The weights of the blend are learned from `training`, whose outcome ends where the history of `judging` ends, or before.
    Returns the choice, and one row per target and method: target, method, customer_count, recall_at_10, recall_low,
    recall_high (95 %), coverage, role ('list', 'new_places' or ''). Fewer than FEWEST_CUSTOMERS customers to judge by, or to learn
    from, give the unjudged choice.
    """
    training_model = learn_sources(training.history, training.catalogue)
    weights = {target: _fit_blend(training, training_model, target) for target in TARGETS}
    model = learn_sources(judging.history, judging.catalogue)
    lists: dict[tuple[str, str], list[np.ndarray]] = {(target, method): [] for target in TARGETS for method in METHODS}
    for block in _blocks(judging.history, judging.catalogue):
        for target in TARGETS:
            allowed = allowed_products(block, judging.catalogue, target)
            scores = _all_scores(block, model, judging.catalogue, weights[target])
            for method in METHODS:
                lists[target, method].append(top(scores[method], allowed, LIST_LENGTH))
    made = {key: np.vstack(parts) if parts else np.empty((0, LIST_LENGTH)) for key, parts in lists.items()}
    recalls = {
        (target, method): recall_per_customer(made[target, method], judging, target)
        for target in TARGETS
        for method in METHODS
    }
    judged = int(np.isfinite(recalls[NOT_IN_USE, POPULARITY]).sum())
    if judged < FEWEST_CUSTOMERS or not all(weights.values()):
        choice = unjudged("too_few_customers")
    else:
        winners = {target: _winner({method: recalls[target, method] for method in METHODS}) for target in TARGETS}
        choice = Choice(winners[NOT_IN_USE], winners[NEVER_BOUGHT], "judged", weights)
    served = compose(made[NOT_IN_USE, choice.list_method], made[NEVER_BOUGHT, choice.new_method], LIST_LENGTH)
    rows = [
        _judged(target, method, recalls[target, method], made[target, method], judging.catalogue, choice)
        for target in TARGETS
        for method in METHODS
    ]
    rows += [
        _judged(target, SERVED, recall_per_customer(served, judging, target), served, judging.catalogue, choice)
        for target in TARGETS
    ]
    return choice, pd.DataFrame(rows)


@in_one_thread(*_LINEAR_ALGEBRA)
def recommend(
    history: History, model: Model, catalogue: Catalogue, choice: Choice, length: int = LIST_LENGTH
) -> pd.DataFrame:
    """The list of each customer: customer_id, rank from 1, product_id, score, method, reason_code and what the reason tells.

    The first places are the list method's among products not in use; the last NEW_PLACES are the new method's among products
    never bought. Only products on sale in the customer's region; fewer rows where fewer are left. The score ranks within one
    method: it is the chance to be bought for `blend`. The method is `popularity` where another one knows nothing of the customer.
    reason_code, the first that holds: `repurchase` (bought in the year before), `goes_with` (goes_with_product_id: the nearest
    of the customer's products that are on sale), `popular` (among the region's POPULAR_PRODUCTS), `similar_customers`.
    """
    parts = [_recommend_block(block, model, catalogue, choice, length) for block in _blocks(history, catalogue)]
    return pd.concat(parts, ignore_index=True) if parts else _recommend_block(history, model, catalogue, choice, length)


def allowed_products(history: History, catalogue: Catalogue, target: str) -> np.ndarray:
    """Customers x products: on sale in the customer's region, and of the target's kind for the customer."""
    products = len(catalogue.product_ids)
    allowed = np.vstack([catalogue.sellable, np.zeros((1, products), dtype=bool)])[history.region]
    if target != ALL:
        left_out = history.counts[:, 0] > 0 if target == NOT_IN_USE else np.ones(len(history.product), dtype=bool)
        row = np.repeat(np.arange(len(history.customer_ids)), np.diff(history.indptr))
        allowed[row[left_out], history.product[left_out]] = False
    return allowed


def recall_per_customer(lists: np.ndarray, fold: Fold, target: str) -> np.ndarray:
    """Of the products of the target's kind that each customer bought after the cut-off, the share in the list; NaN for who
    bought none. A product that was not on sale at the cut-off counts as missed."""
    history, catalogue = fold.history, fold.catalogue
    row = position(history.customer_ids, fold.bought_after["customer_id"].to_numpy(np.uint64))
    column = position(catalogue.product_ids, fold.bought_after["product_id"].to_numpy(np.uint64))
    products = len(catalogue.product_ids) + 1
    bought = row * products + column
    if target != ALL:
        left_out = history.counts[:, 0] > 0 if target == NOT_IN_USE else np.ones(len(history.product), dtype=bool)
        known = np.repeat(np.arange(len(history.customer_ids)), np.diff(history.indptr)) * products + history.product
        counts = ~np.isin(bought, known[left_out])
    else:
        counts = np.ones(len(bought), dtype=bool)
    counts &= row >= 0
    size = len(history.customer_ids)
    bought_count = np.bincount(row[counts], minlength=size)
    listed = (np.arange(len(lists))[:, None] * products + lists)[lists >= 0]
    hit = counts & (column >= 0) & np.isin(bought, listed)
    with np.errstate(invalid="ignore"):
        return np.bincount(row[hit], minlength=size) / np.where(bought_count > 0, bought_count, np.nan)


def compose(listed: np.ndarray, new: np.ndarray, length: int, new_places: int = NEW_PLACES) -> np.ndarray:
    """Lists of `length`: the first of `listed`, and in the last places the first of `new`, no product twice; -1 pads the end."""
    new = new[:, :new_places]
    is_new = (listed[:, :, None] == new[:, None, :]).any(axis=2)
    room = length - (new >= 0).sum(axis=1)
    kept = (listed >= 0) & ~is_new
    kept &= np.cumsum(kept, axis=1) <= room[:, None]
    both = np.hstack([np.where(kept, listed, -1), new])
    order = np.argsort(both < 0, axis=1, kind="stable")
    return np.take_along_axis(both, order, axis=1)[:, :length]


def _blocks(history: History, catalogue: Catalogue) -> Iterator[History]:
    size = max(1, _CELLS_AT_ONCE // max(1, len(catalogue.product_ids)))
    for start in range(0, len(history.customer_ids), size):
        yield history.part(start, min(start + size, len(history.customer_ids)))


def _all_scores(
    history: History, model: Model, catalogue: Catalogue, weights: dict[str, float]
) -> dict[str, np.ndarray]:
    scores = {source: score(source, history, model, catalogue) for source in SOURCES}
    scores[BLEND] = _blend(history, scores, weights)
    return scores


def _traits(history: History, scores: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """What the blend weighs, customers x products each. Own purchases are 0 where there are none."""
    products = scores[POPULARITY].shape[1]
    lines = history.counts.sum(axis=1)
    gap = (history.first_age - history.last_age + 30) / np.maximum(lines, 1)
    own = {
        "lines_28d": np.log1p(history.counts[:, 0]),
        "lines_90d": np.log1p(history.counts[:, 1]),
        "lines_365d": np.log1p(history.counts[:, 2]),
        "was_bought": np.ones(len(lines)),
        "days_since": np.log1p(history.last_age),
        "gaps_since": np.log1p(history.last_age / gap),
    }
    for name, values in own.items():
        yield name, history.matrix(values, products).toarray()
    yield TOGETHER, np.log(scores[TOGETHER] + np.float32(1e-3))
    yield FACTORISATION, scores[FACTORISATION]
    yield POPULARITY, np.log(scores[POPULARITY] + np.float32(1e-3))


def _blend(history: History, scores: dict[str, np.ndarray], weights: dict[str, float]) -> np.ndarray:
    """Log odds to be bought; the popularity where no weights could be learned."""
    if not weights:
        return scores[POPULARITY]
    total = np.full(scores[POPULARITY].shape, weights["constant"], dtype=np.float32)
    for name, values in _traits(history, scores):
        if weights[name]:
            total += values * np.float32(weights[name])
    return total


def _fit_blend(fold: Fold, model: Model, target: str) -> dict[str, float]:
    """Logistic regression of what was bought after the cut-off on the traits of the products that any source puts near its top,
    for the first POOL_CUSTOMERS customers who bought any; empty where there are fewer than FEWEST_CUSTOMERS."""
    from sklearn.linear_model import LogisticRegression

    history, products = fold.history, len(fold.catalogue.product_ids)
    row = position(history.customer_ids, fold.bought_after["customer_id"].to_numpy(np.uint64))
    column = position(fold.catalogue.product_ids, fold.bought_after["product_id"].to_numpy(np.uint64))
    known = (row >= 0) & (column >= 0)
    buying = np.unique(row[known])[:POOL_CUSTOMERS]
    if len(buying) < FEWEST_CUSTOMERS:
        return {}
    names: list[str] = []
    tables, answers = [], []
    start = 0
    for block in _blocks(history, fold.catalogue):
        end = start + len(block.customer_ids)
        here = known & (row >= start) & (row < end)
        bought = np.zeros((len(block.customer_ids), products), dtype=bool)
        bought[row[here] - start, column[here]] = True
        allowed = allowed_products(block, fold.catalogue, target)
        bought &= allowed
        scores = {source: score(source, block, model, fold.catalogue) for source in SOURCES}
        pool = np.zeros(bought.shape, dtype=bool)
        for values in scores.values():
            near = top(values, allowed, POOL)
            listed, place = np.nonzero(near >= 0)
            pool[listed, near[listed, place]] = True
        chosen = np.isin(np.arange(start, end), buying) & bought.any(axis=1)
        pool &= chosen[:, None]
        traits = dict(_traits(block, scores))
        names = list(traits)
        tables.append(np.stack([values[pool] for values in traits.values()], axis=1).astype(np.float64))
        answers.append(bought[pool])
        start = end
    table, answer = np.vstack(tables), np.concatenate(answers)
    if answer.all() or not answer.any():
        return {}
    middle, spread = table.mean(axis=0), table.std(axis=0)
    used = spread > 0
    fitted = LogisticRegression(C=1.0 / BLEND_PENALTY, max_iter=500).fit(
        (table[:, used] - middle[used]) / spread[used], answer
    )
    weights = np.zeros(len(names))
    weights[used] = fitted.coef_[0] / spread[used]
    constant = float(fitted.intercept_[0] - weights @ middle)
    return {"constant": round(constant, 9)} | {
        name: round(float(weight), 9) for name, weight in zip(names, weights, strict=True)
    }


def _winner(recalls: dict[str, np.ndarray]) -> str:
    """The simplest method, unless a later one has a higher recall by more than the 95 % interval of the paired difference."""
    best = POPULARITY
    for method in METHODS:
        difference = (recalls[method] - recalls[best])[np.isfinite(recalls[method])]
        if len(difference) > 1 and difference.mean() > 1.96 * difference.std(ddof=1) / np.sqrt(len(difference)):
            best = method
    return best


def _judged(
    target: str, method: str, recalls: np.ndarray, lists: np.ndarray, catalogue: Catalogue, choice: Choice
) -> dict[str, object]:
    known = recalls[np.isfinite(recalls)]
    mean = float(known.mean()) if len(known) else np.nan
    half = float(1.96 * known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else np.nan
    on_sale = int(catalogue.sellable.any(axis=0).sum())
    role = ""
    if (target, method) == (NOT_IN_USE, choice.list_method):
        role = "list"
    elif (target, method) == (NEVER_BOUGHT, choice.new_method):
        role = "new_places"
    return {
        "target": target,
        "method": method,
        "customer_count": len(known),
        "recall_at_10": mean,
        "recall_low": max(0.0, mean - half),
        "recall_high": min(1.0, mean + half),
        "coverage": len(np.unique(lists[lists >= 0])) / on_sale if on_sale else np.nan,
        "role": role,
    }


def _recommend_block(history: History, model: Model, catalogue: Catalogue, choice: Choice, length: int) -> pd.DataFrame:
    chosen, scores = [], {}
    for target, method in ((NOT_IN_USE, choice.list_method), (NEVER_BOUGHT, choice.new_method)):
        if method == BLEND:
            weighed = _all_scores(history, model, catalogue, choice.weights[target])[BLEND]
            values = 1.0 / (1.0 + np.exp(-weighed.astype(np.float64)))
        else:
            weighed = score(method, history, model, catalogue)
            values = weighed.astype(np.float64)
        chosen.append(top(weighed, allowed_products(history, catalogue, target), length))
        scores[target] = values
    listed, new = chosen
    final = compose(listed, new, length)
    row, place = np.nonzero(final >= 0)
    product = final[row, place]
    is_new_place = (product[:, None] == new[row, :NEW_PLACES]).any(axis=1)
    result = pd.DataFrame(
        {
            "customer_id": history.customer_ids[row],
            "rank": (place + 1).astype(np.uint8),
            "product_id": catalogue.product_ids[product],
            "score": np.where(is_new_place, scores[NEVER_BOUGHT][row, product], scores[NOT_IN_USE][row, product]),
            "method": np.where(is_new_place, choice.new_method, choice.list_method),
        }
    )
    # Where a source knows nothing of a customer, popularity ranks; the row says so.
    is_tie = result["method"].isin([REPURCHASE, TOGETHER]) & (result["score"] <= 2 * TIE)
    result.loc[is_tie, "method"] = POPULARITY
    result.loc[is_tie, "score"] = popularity_of(history, catalogue)[row, product][is_tie].astype(np.float64)
    result["score"] = result["score"].round(6)
    return _with_reasons(result, row, product, history, model, catalogue)


def _with_reasons(
    result: pd.DataFrame, row: np.ndarray, product: np.ndarray, history: History, model: Model, catalogue: Catalogue
) -> pd.DataFrame:
    """Adds reason_code, order_lines_365d, last_age, usual_gap_days, goes_with_product_id, goes_with_share, region_share."""
    products = len(catalogue.product_ids)
    owner = np.repeat(np.arange(len(history.customer_ids)), np.diff(history.indptr))
    purchase = position(owner * products + history.product, row * products + product)
    is_bought = purchase >= 0
    lines = history.counts.sum(axis=1)
    result["order_lines_365d"] = np.where(is_bought, lines[purchase] if len(lines) else 0, 0)
    result["last_age"] = np.where(is_bought, history.last_age[purchase] if len(lines) else 0, -1)
    gap = (history.first_age - history.last_age) / np.maximum(lines - 1, 1)
    usual = np.where(is_bought & (result["order_lines_365d"] > 1), gap[purchase] if len(lines) else 0, 0)
    result["usual_gap_days"] = np.maximum(np.round(usual), usual > 0).astype(np.int64)

    partner, share, lift = _partners(row, product, history, model, catalogue)
    goes_with = ~is_bought & (partner >= 0) & (lift >= TOGETHER_LIFT)
    result["goes_with_product_id"] = np.where(goes_with, catalogue.product_ids[partner] if products else 0, 0)
    result["goes_with_share"] = np.where(goes_with, share, 0.0).round(4)

    padded = np.vstack([catalogue.popularity, np.zeros((1, products))])
    region = history.region[row]
    result["region_share"] = padded[region, product].round(4)
    favourites = top(padded.astype(np.float32), padded > 0, POPULAR_PRODUCTS)
    is_popular = (favourites[region] == product[:, None]).any(axis=1)
    result["reason_code"] = np.select(
        [is_bought, goes_with, is_popular], ["repurchase", "goes_with", "popular"], "similar_customers"
    )
    return result


def _partners(
    row: np.ndarray, product: np.ndarray, history: History, model: Model, catalogue: Catalogue
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each (customer, product) the nearest product that the customer bought and can buy, -1 without one; the share of its
    buyers who bought the product too; that share over the share among all customers."""
    products = len(catalogue.product_ids)
    nothing = np.full(len(row), -1), np.zeros(len(row)), np.zeros(len(row))
    if not len(row) or not model.customer_count:
        return nothing
    sellable = np.vstack([catalogue.sellable, np.zeros((1, products), dtype=bool)])
    owner = np.repeat(np.arange(len(history.customer_ids)), np.diff(history.indptr))
    own = history.matrix(sellable[history.region[owner], history.product], products)
    near = model.together[product].multiply(own[row]).tocoo()
    keep = near.data > 0
    pair, other, nearness = near.row[keep], near.col[keep], near.data[keep]
    both = np.round(nearness * _size(model, product[pair]) * _size(model, other))
    enough = both >= TOGETHER_CUSTOMERS
    pair, other, nearness, both = pair[enough], other[enough], nearness[enough], both[enough]
    order = np.lexsort((other, -nearness, pair))
    pair, other, both = pair[order], other[order], both[order]
    first = np.flatnonzero(np.r_[True, pair[1:] != pair[:-1]]) if len(pair) else np.array([], dtype=np.int64)
    partner, share, lift = nothing
    partner[pair[first]] = other[first]
    share[pair[first]] = both[first] / model.bought_by[other[first]]
    base = model.bought_by[product[pair[first]]] / model.customer_count
    lift[pair[first]] = share[pair[first]] / base
    return partner, share, lift


def _size(model: Model, product: np.ndarray) -> np.ndarray:
    return np.sqrt(model.bought_by[product] + np.float32(TOGETHER_PRIOR_CUSTOMERS))

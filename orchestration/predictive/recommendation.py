"""Products to offer each customer: which method ranks them is decided by the last two weeks, and each row says why it is there.

Three kinds of lists are judged, each by what the customer bought in the two weeks after the cut-off. `all`: every product on
sale. `not_in_use`: without those bought in the 28 days before, so what was dropped or never tried; it decides the list.
`never_bought`: without those bought in the year before; it decides the last places, which are kept for new products.
Definitions: docs/definitions.md, "Recommendations".
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from orchestration.predictive.one_thread import in_one_thread
from orchestration.predictive.ranking import NOTHING, scores_of, top
from orchestration.predictive.recommendation_scores import (
    ALL,
    BLEND,
    NEVER_BOUGHT,
    NOT_IN_USE,
    TARGETS,
    Block,
    Pairs,
    blocks,
    rank,
    traits,
)
from orchestration.predictive.recommendation_sources import (
    POPULARITY,
    REPURCHASE,
    SOURCES,
    TIE,
    TOGETHER,
    TOGETHER_PRIOR_CUSTOMERS,
    Catalogue,
    History,
    Model,
    position,
)
from orchestration.predictive.recommendation_sources import learn as learn_sources

MODEL_VERSION = "recommendation-2"

SERVED = "served"
RECOMMENDED = (
    "customer_id",
    "rank",
    "product_id",
    "score",
    "method",
    "order_lines_365d",
    "last_age",
    "usual_gap_days",
    "goes_with_product_id",
    "goes_with_share",
    "region_share",
    "reason_code",
)
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
    shape = (len(judging.history.customer_ids), LIST_LENGTH)
    made = {(target, method): np.full(shape, -1) for target in TARGETS for method in METHODS}
    for block in blocks(judging.history, model, judging.catalogue):
        for source in SOURCES:
            ranking = rank(source, block, LIST_LENGTH)
            for target in TARGETS:
                made[target, source][block.rows] = block.shelf.products_of(ranking.lists(target, LIST_LENGTH))
        for target in TARGETS:
            ranking = rank(BLEND, block, LIST_LENGTH, weights[target])
            made[target, BLEND][block.rows] = block.shelf.products_of(ranking.lists(target, LIST_LENGTH))
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
    parts = [_recommend_block(block, catalogue, choice, length) for block in blocks(history, model, catalogue)]
    if not parts:
        return pd.DataFrame(columns=RECOMMENDED)
    return pd.concat(parts).sort_values(["customer_id", "rank"], ignore_index=True)


def recall_per_customer(lists: np.ndarray, fold: Fold, target: str) -> np.ndarray:
    """Of the products of the target's kind that each customer bought after the cut-off, the share in the list; NaN for who
    bought none. A product that was not on sale at the cut-off counts as missed."""
    row, column, counts = _bought_after(fold, target)
    products = len(fold.catalogue.product_ids) + 1
    bought = row * products + column
    size = len(fold.history.customer_ids)
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


def _fit_blend(fold: Fold, model: Model, target: str) -> dict[str, float]:
    """Logistic regression of what was bought after the cut-off on the traits of the products that any source puts near its top,
    for the first POOL_CUSTOMERS customers who bought any; empty where there are fewer than FEWEST_CUSTOMERS."""
    from sklearn.linear_model import LogisticRegression

    products = len(fold.catalogue.product_ids)
    row, column, is_counted = _bought_after(fold, target)
    known = (row >= 0) & (column >= 0)
    buying = np.unique(row[known])[:POOL_CUSTOMERS]
    if len(buying) < FEWEST_CUSTOMERS:
        return {}
    region = fold.history.region[row]
    is_counted &= known & (region < len(fold.catalogue.regions))
    is_counted[is_counted] = fold.catalogue.sellable[region[is_counted], column[is_counted]]
    buying = np.intersect1d(buying, row[is_counted])
    names: list[str] = []
    cells, tables = [np.array([], dtype=np.int64)], []
    for block in blocks(fold.history.of(buying), model, fold.catalogue):
        pool = _pool(block, target)
        named = dict(traits(block, pool))
        names = list(named)
        cells.append(buying[block.rows[pool.row]] * products + block.shelf.columns[pool.place])
        tables.append(np.stack(list(named.values()), axis=1).astype(np.float64))
    cell = np.concatenate(cells)
    # Customer by customer: sums of the fit must not depend on the order of the blocks.
    order = np.argsort(cell)
    answer = np.isin(cell[order], row[is_counted] * products + column[is_counted])
    if answer.all() or not answer.any():
        return {}
    table = np.vstack(tables)[order]
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


def _bought_after(fold: Fold, target: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each pair of `bought_after` the rows of its customer and its product, -1 for an unknown one, and whether the customer is
    known and the product of the target's kind for the customer."""
    history, products = fold.history, len(fold.catalogue.product_ids) + 1
    row = position(history.customer_ids, fold.bought_after["customer_id"].to_numpy(np.uint64))
    column = position(fold.catalogue.product_ids, fold.bought_after["product_id"].to_numpy(np.uint64))
    is_counted = row >= 0
    if target != ALL:
        left_out = history.counts[:, 0] > 0 if target == NOT_IN_USE else np.ones(len(history.product), dtype=bool)
        known = history.owner[left_out] * products + history.product[left_out]
        is_counted &= ~np.isin(row * products + column, known)
    return row, column, is_counted


def _pool(block: Block, target: str) -> Pairs:
    """The products of the target's kind that any source puts among its POOL best, for each customer of the block."""
    products = len(block.shelf.popularity)
    cells = []
    for source in SOURCES:
        listed = rank(source, block, POOL).lists(target, POOL)
        row, place = np.nonzero(listed != NOTHING)
        cells.append(row * products + block.shelf.products_of(listed[row, place]))
    return block.pairs_of(np.unique(np.concatenate(cells)))


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
        "recall_low": np.maximum(mean - half, 0.0),
        "recall_high": np.minimum(mean + half, 1.0),
        "coverage": len(np.unique(lists[lists >= 0])) / on_sale if on_sale else np.nan,
        "role": role,
    }


def _recommend_block(block: Block, catalogue: Catalogue, choice: Choice, length: int) -> pd.DataFrame:
    keys = [
        rank(method, block, length, choice.weights.get(target)).lists(target, length)
        for target, method in ((NOT_IN_USE, choice.list_method), (NEVER_BOUGHT, choice.new_method))
    ]
    listed, new = (block.shelf.products_of(of_target) for of_target in keys)
    new, new_keys = new[:, :NEW_PLACES], keys[1][:, :NEW_PLACES]
    final = compose(listed, new, length)
    row, place = np.nonzero(final >= 0)
    product = final[row, place]
    is_new_place = (product[:, None] == new[row]).any(axis=1)
    from_list = _score_at(listed, keys[0], row, product, choice.list_method)
    from_new = _score_at(new, new_keys, row, product, choice.new_method)
    result = pd.DataFrame(
        {
            "customer_id": block.history.customer_ids[row],
            "rank": (place + 1).astype(np.uint8),
            "product_id": catalogue.product_ids[product],
            "score": np.where(is_new_place, from_new, from_list),
            "method": np.where(is_new_place, choice.new_method, choice.list_method),
        }
    )
    # Where a source knows nothing of a customer, popularity ranks; the row says so.
    is_tie = result["method"].isin([REPURCHASE, TOGETHER]) & (result["score"] <= 2 * TIE)
    result.loc[is_tie, "method"] = POPULARITY
    result.loc[is_tie, "score"] = block.shelf.popularity[product][is_tie].astype(np.float64)
    result["score"] = result["score"].round(6)
    return _with_reasons(result, row, product, block, catalogue)


def _score_at(listed: np.ndarray, keys: np.ndarray, row: np.ndarray, product: np.ndarray, method: str) -> np.ndarray:
    """The score that each (customer, product) has in its list, float64; meaningless where it is in none."""
    place = (listed[row] == product[:, None]).argmax(axis=1)
    values = scores_of(keys[row, place]).astype(np.float64)
    return 1.0 / (1.0 + np.exp(-values)) if method == BLEND else values


def _with_reasons(
    result: pd.DataFrame, row: np.ndarray, product: np.ndarray, block: Block, catalogue: Catalogue
) -> pd.DataFrame:
    """Adds reason_code, order_lines_365d, last_age, usual_gap_days, goes_with_product_id, goes_with_share, region_share."""
    history, products = block.history, len(catalogue.product_ids)
    purchase = position(history.owner * products + history.product, row * products + product)
    is_bought = purchase >= 0
    lines = history.counts.sum(axis=1)
    result["order_lines_365d"] = np.where(is_bought, lines[purchase] if len(lines) else 0, 0)
    result["last_age"] = np.where(is_bought, history.last_age[purchase] if len(lines) else 0, -1)
    gap = (history.first_age - history.last_age) / np.maximum(lines - 1, 1)
    usual = np.where(is_bought & (result["order_lines_365d"] > 1), gap[purchase] if len(lines) else 0, 0)
    result["usual_gap_days"] = np.maximum(np.round(usual), usual > 0).astype(np.int64)

    partner, share, lift = _partners(row, product, block)
    goes_with = ~is_bought & (partner >= 0) & (lift >= TOGETHER_LIFT)
    result["goes_with_product_id"] = np.where(goes_with, catalogue.product_ids[partner] if products else 0, 0)
    result["goes_with_share"] = np.where(goes_with, share, 0.0).round(4)

    popularity = catalogue.popularity[block.history.region[0]]
    result["region_share"] = popularity[product].round(4)
    favourites = top(popularity[None].astype(np.float32), popularity[None] > 0, POPULAR_PRODUCTS)
    is_popular = np.isin(product, favourites)
    result["reason_code"] = np.select(
        [is_bought, goes_with, is_popular], ["repurchase", "goes_with", "popular"], "similar_customers"
    )
    return result


def _partners(row: np.ndarray, product: np.ndarray, block: Block) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each (customer, product) the nearest product that the customer bought and can buy, -1 without one; the share of its
    buyers who bought the product too; that share over the share among all customers."""
    model, history, products = block.model, block.history, len(block.shelf.popularity)
    nothing = np.full(len(row), -1), np.zeros(len(row)), np.zeros(len(row))
    if not len(row) or not model.customer_count:
        return nothing
    own = history.matrix(np.isin(history.product, block.shelf.columns), products)
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

"""The reason card in the terminal, in English or Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from orchestration.terminal import empty_table, plain_text
from orchestration.tier_names import tier_names

Card = Mapping[str, Any]
# What people read in place of a name, by kind and name.
Called = Mapping[tuple[str, str], str]
LANGUAGES = ("en", "zh")
_CRITERIA = {
    "orders_per_month": "frequency_tier",
    "average_order_value": "order_value_tier",
    "lifetime_value": "lifetime_value_tier",
}
_LABELS = {
    "en": {
        "customer": "customer {id}  {name}",
        "comma": ", ",
        "facts": "{day}   policy {policy}   region {region}   {status}",
        "active": "active",
        "blocked": "blocked",
        "closed_customer": "closed",
        "new": "new",
        "lapsed": "lapsed",
        "in_force": "in force",
        "since": "since",
        "earned_since": " (since {day})",
        "earned": "earned",
        "candidate": "candidate\nof the day",
        "without_override": "without\noverride",
        "before": "day\nbefore",
        "criteria": "criteria: {required} of 3 reach a tier",
        "criterion": "criterion",
        "now": "now",
        "reaches": "reaches",
        "keep": "to keep {tier}",
        "next": "for {tier}",
        "orders_per_month": "orders in 30 days",
        "average_order_value": "order value, CNY",
        "lifetime_value": "lifetime value, CNY",
        "any": "any",
        "none": "out of reach",
        "share": "  share from the top",
        "band": "band of {band}: what keeps a tier is easier, what gains one is harder by it",
        "score": "score: {model}, rank {rank}, top {share}",
        "component": "component",
        "measure": "measure",
        "value": "value",
        "weight": "weight",
        "contribution": "contribution",
        "total": "total",
        "r": "recency, days since the last order",
        "f": "frequency, orders in 90 days",
        "m": "monetary value, CNY",
        "p": "potential index",
        "gates": "gates",
        "gate": "gate",
        "closes": "closes\nabove",
        "at_most": "at most",
        "state": "state",
        "open": "open",
        "closed": "closed",
        "unknown": "unknown",
        "overdue_days_max": "days overdue",
        "overdue_amount": "overdue amount, CNY",
        "complaint_count_90d": "complaints in 90 days",
        "has_risk_flag": "risk flag",
        "why": "why",
        "counter": "counter",
        "override": "override",
        "override_text": "{tier}, by account manager {manager}, until {end}: {reason}",
        "how_to_keep": "to keep it",
        "how_to_gain_next": "to gain more",
        "dates": "dates",
        "downgrade": "{day} at the earliest: falls to {tier} if nothing changes",
        "no_downgrade": "no downgrade while the measures stay as they are",
        "upgrade": "{day} at the earliest: rises if nothing changes",
        "lapse": "{day}: falls to the lowest tier without another order",
        "gate_closes": "{day}: a gate closes if the overdue invoices stay unpaid",
        "override_ends": "{day}: last day of the override, then {tier}",
    },
    "zh": {
        "customer": "客户 {id}  {name}",
        "comma": "、",
        "facts": "{day}   策略 {policy}   区域 {region}   {status}",
        "active": "正常",
        "blocked": "冻结",
        "closed_customer": "关闭",
        "new": "新客户",
        "lapsed": "流失",
        "in_force": "生效等级",
        "since": "自",
        "earned_since": "（自 {day}）",
        "earned": "应得等级",
        "candidate": "当日候选等级",
        "without_override": "无人工指定时",
        "before": "前一日",
        "criteria": "标准：3 项中满足 {required} 项即达到该等级",
        "criterion": "标准",
        "now": "当前",
        "reaches": "达到",
        "keep": "保持{tier}",
        "next": "升至{tier}",
        "orders_per_month": "近30天订单数",
        "average_order_value": "客单价（元）",
        "lifetime_value": "生命周期价值（元）",
        "any": "任意",
        "none": "无法达到",
        "share": "  从高到低的占比",
        "band": "缓冲区间 {band}：保级门槛放宽、升级门槛提高",
        "score": "得分：{model}，第 {rank} 名，前 {share}",
        "component": "分量",
        "measure": "指标",
        "value": "分值",
        "weight": "权重",
        "contribution": "贡献",
        "total": "合计",
        "r": "R 距上次下单天数",
        "f": "F 近90天订单数",
        "m": "M 消费金额（元）",
        "p": "P 潜力指数",
        "gates": "限制条件",
        "gate": "限制",
        "closes": "超过即触发",
        "at_most": "最高等级",
        "state": "状态",
        "open": "未触发",
        "closed": "已触发",
        "unknown": "未知",
        "overdue_days_max": "最长逾期天数",
        "overdue_amount": "逾期金额（元）",
        "complaint_count_90d": "近90天投诉数",
        "has_risk_flag": "风险标记",
        "why": "原因",
        "counter": "计数",
        "override": "人工指定",
        "override_text": "{tier}，客户经理 {manager}，有效期至 {end}：{reason}",
        "how_to_keep": "如何保级",
        "how_to_gain_next": "如何升级",
        "dates": "日期",
        "downgrade": "最早 {day}：若无变化将降至{tier}",
        "no_downgrade": "指标不变则不会降级",
        "upgrade": "最早 {day}：若无变化将升级",
        "lapse": "{day}：若不再下单将降至最低等级",
        "gate_closes": "{day}：若逾期款未付将触发限制",
        "override_ends": "{day}：人工指定的最后一天，之后为{tier}",
    },
}


def reason_card(card: Card, language: str = "en") -> str:
    """The card of orchestration.explain as text. language: `en` or `zh`."""
    labels = _LABELS[language]
    names = _tier_names(card, language)
    called = card["labels"][language]
    parts: list[Any] = [
        labels["customer"].format(id=card["customer_id"], name=card["customer_name"]).rstrip(),
        labels["facts"].format(
            day=card["as_of_date"],
            policy=called.get(("policy", card["policy"]), card["policy"]),
            region=labels["unknown"] if card["region_code"] == "unknown" else card["region_code"],
            status=labels["comma"].join(
                labels.get("closed_customer" if status == "closed" else status, status) for status in _statuses(card)
            ),
        ),
        "",
        _tiers(card, labels, names),
        "",
        _criteria(card, labels, names),
        "",
        _score(card, labels, names, called),
        "",
        _gates(card, labels, names, called),
        "",
        _sentences(card, labels, names, language),
    ]
    return plain_text(*parts)


def _statuses(card: Card) -> list[str]:
    """State of the account and standing, each once: a closed account stands as a blocked one, which nobody blocked."""
    statuses = list(dict.fromkeys((card["customer_status"], card["standing"])))
    return statuses[:1] if card["standing"] == "blocked" else statuses


def _tier_names(card: Card, language: str) -> dict[str, str]:
    """Names of the tiers as the sentences of the card say them: the macro tier_names."""
    tiers = (step[1] for step in card["rules"]["ladder"])
    return tier_names(zip(tiers, card["rules"]["tier_labels"], strict=True), language)


def _tiers(card: Card, labels: Mapping[str, str], names: Mapping[str, str]) -> Table:
    table = empty_table(*(labels[name] for name in ("in_force", "since", "earned", "candidate")), words=range(4))
    cells = [
        names[card["tier"]],
        str(card["tier_since_date"]),
        names[card["earned_tier"]],
        names[card["candidate_tier"]],
    ]
    cells[2] += labels["earned_since"].format(day=card["earned_since_date"])
    if card["tier_without_override"] != card["earned_tier"] or card["override_valid_to"]:
        table.add_column(labels["without_override"])
        cells.append(names[card["tier_without_override"]])
    if card["previous_tier"]:
        table.add_column(labels["before"])
        cells.append(names[card["previous_tier"]])
    table.add_row(*cells)
    return table


def _criteria(card: Card, labels: Mapping[str, str], names: Mapping[str, str]) -> RenderableType:
    """The standards, with what each target needs where they decide."""
    title = labels["criteria"].format(required=card["required_criteria"])
    table = empty_table(labels["criterion"], labels["now"], labels["reaches"], words=(0, 2), title=title)
    targets = _targets(card) if card["candidate_rule"] == "standards" else []
    for target, tier in targets:
        table.add_column(labels["keep" if target == "to_keep" else "next"].format(tier=names[tier]))
    for criterion, reached in _CRITERIA.items():
        now = _number(card[criterion], 0) if criterion == "orders_per_month" else _whole_cents(card[criterion])
        cells = [labels[criterion], now, names[card[reached]]]
        for target, _tier in targets:
            is_missed = criterion in card[f"criteria_missed_{target}"]
            needed = card[f"{criterion}_{target}"]
            if needed is None:
                text = labels["none"] if is_missed else labels["any"]
            else:
                text = f">= {_number(needed, 0 if criterion == 'orders_per_month' else 2)}"
            cells.append(f"{'✗' if is_missed else '✓'} {text}")
        table.add_row(*cells)
    limits = [f"  <= {_percent(card[f'lifetime_value_top_share_{target}'])}" for target, _ in targets]
    table.add_row(labels["share"], _percent(card["lifetime_value_top_share"]), "", *limits)
    if not targets or not card["criteria_band"]:
        return table
    return Group(table, labels["band"].format(band=_percent(card["criteria_band"])))


def _score(card: Card, labels: Mapping[str, str], names: Mapping[str, str], called: Called) -> Table:
    model = card["scoring_model"]
    title = labels["score"].format(
        model=called.get(("scoring_model", model), model),
        rank=f"{card['score_rank']:,}",
        share=_percent(card["score_top_share"]),
    )
    table = empty_table(
        labels["component"], labels["now"], labels["value"], labels["weight"], labels["contribution"], title=title
    )
    targets = _targets(card) if card["candidate_rule"] == "score" else []
    for target, tier in targets:
        table.add_column(labels["keep" if target == "to_keep" else "next"].format(tier=names[tier]))
    weights = {component: card["rules"][f"{component}_weight"] for component in "rfmp"}
    # Where potential alone counts and is unknown, nothing is left to share its weight.
    in_use = (1.0 if card["p_score"] is not None else 1 - weights["p"]) or 1.0
    measures = {
        "r": ("days_since_last_order", 0, "<="),
        "f": ("order_count", 0, ">="),
        "m": ("monetary_value", 2, ">="),
        "p": (None, 4, ">="),
    }
    for component, (measure, places, sign) in measures.items():
        score = card[f"{component}_score"]
        measured = card[measure] if measure else score
        weight = weights[component] / in_use if component != "p" else weights["p"] if score is not None else 0.0
        cells = [
            labels[component],
            _whole_cents(measured) if component == "m" else _number(measured, places),
            _number(score, 4),
            _percent(weight),
            _number(card[f"{component}_contribution"], 6),
        ]
        for target, _tier in targets:
            needed = card[f"{component}_score_{target}"]
            in_units = card[f"{measure}_{target}"] if measure else None
            if in_units is not None:
                cells.append(f"{sign} {_number(in_units, places)}")
            else:
                cells.append("-" if needed is None else f"{labels['value']} >= {_number(needed, 4)}")
        table.add_row(*cells)
    total = [labels["total"], "", "", "", _number(card["total_score"], 6)]
    for target, _tier in targets:
        needed = card[f"total_score_{target}"]
        met = "✗" if card[f"missing_count_{target}"] else "✓"
        total.append(f"{'-' if needed is None else '>= ' + _number(needed, 6)} {met}")
    table.add_section()
    table.add_row(*total)
    return table


def _gates(card: Card, labels: Mapping[str, str], names: Mapping[str, str], called: Called) -> Table:
    headings = (labels[name] for name in ("gate", "measure", "now", "closes", "at_most", "state"))
    table = empty_table(*headings, words=(0, 1, 4, 5), title=labels["gates"])
    for gate, measure, value, threshold, best_tier, is_closed in card["gates"]:
        places = 2 if measure == "overdue_amount" else 0
        state = labels["closed" if is_closed else "open"]
        table.add_row(
            called.get(("gate", gate), gate),
            labels[measure],
            labels["unknown"] if value is None else _number(value, places),
            _number(threshold, places),
            names[best_tier],
            state,
        )
    return table


def _sentences(card: Card, labels: Mapping[str, str], names: Mapping[str, str], language: str) -> Table:
    """Why, counters, override, how to, dates: a line or more each."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    suffix = "" if language == "en" else "_zh"
    table.add_row(labels["why"], card[f"decision_reason{suffix}"])
    if card[f"counter{suffix}"]:
        table.add_row(labels["counter"], card[f"counter{suffix}"])
    if card["override_valid_to"]:
        text = labels["override_text"].format(
            tier=names[card["tier"]],
            manager=card["override_manager_id"],
            end=card["override_valid_to"],
            reason=card["override_reason"],
        )
        table.add_row(labels["override"], text)
    table.add_row(labels["how_to_keep"], card[f"how_to_keep{suffix}"])
    table.add_row(labels["how_to_gain_next"], card[f"how_to_gain_next{suffix}"])
    dates = []
    if card["override_valid_to"]:
        tier = names[card["tier_without_override"]]
        dates.append(
            (card["override_valid_to"], labels["override_ends"].format(day=card["override_valid_to"], tier=tier))
        )
    for column, label in (
        ("earliest_downgrade_on", "downgrade"),
        ("earliest_upgrade_on", "upgrade"),
        ("lapses_on", "lapse"),
        ("gate_closes_on", "gate_closes"),
    ):
        if card[column]:
            tier = names.get(card["earliest_downgrade_tier"] or "", "")
            dates.append((card[column], labels[label].format(day=card[column], tier=tier)))
    if not card["earliest_downgrade_on"] and card["standing"] != "blocked" and not card["override_valid_to"]:
        dates.append((card["as_of_date"], labels["no_downgrade"]))
    for position, (_, text) in enumerate(sorted(dates)):
        table.add_row(labels["dates"] if not position else "", text)
    return table


def _targets(card: Card) -> list[tuple[str, str]]:
    """The tier to keep, unless it is the lowest, and the next one, unless there is none; none while blocked."""
    if card["standing"] == "blocked":
        return []
    lowest = card["rules"]["ladder"][-1][1]
    targets = [("to_keep", card["tier_without_override"])] if card["tier_without_override"] != lowest else []
    return targets + ([("for_next", card["next_tier"])] if card["next_tier"] else [])


def _number(value: Any, places: int) -> str:
    return "-" if value is None else f"{value:,.{places}f}"


def _whole_cents(value: Any) -> str:
    """Never more than the amount is, as in the sentences: what falls short of a bound must not look like the bound."""
    return _number(None if value is None else Decimal(str(value)).quantize(Decimal("0.01"), ROUND_FLOOR), 2)


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"

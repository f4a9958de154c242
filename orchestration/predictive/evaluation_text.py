"""What an evaluation found, in one sentence in English and one in Chinese."""

from __future__ import annotations

import math

from orchestration.predictive.evaluation import PROMOTED, TOO_LITTLE_DATA, Evaluation

_METRICS = {
    "normalised_gini": ("normalised Gini", "归一化基尼系数"),
    "brier": ("Brier score", "布里尔得分"),
}
_NAMES = {
    "lifetime_value": ("The lifetime value model", "客户终身价值模型"),
    "lifetime_value_in_tiers": (
        "Margin to date + the model's margin of 365 days, as tiers use it,",
        "历史毛利加模型预测的365天毛利（分层所用）",
    ),
    "lifetime_value_no_order": ("P(no order in 30 days) of the lifetime value model", "终身价值模型的30天内不下单概率"),
    "churn": ("The churn model", "流失模型"),
    "potential": ("The second version of potential", "第二版潜力指数"),
    "potential_index": ("the first version of potential", "第一版潜力指数"),
    "spend_forecast": ("The forecast of spend in potential", "潜力中的消费预测模型"),
    "historical_spend": ("net sales to date", "历史净销售额"),
    "historical_margin": ("margin to date", "历史毛利"),
    "net_sales_of_90_days": ("net sales of the last 90 days", "近90天净销售额"),
    "margin_of_90_days": ("margin of the last 90 days", "近90天毛利"),
    "order_count": ("orders in 365 days", "365天订单数"),
    "recency": ("days since the last order", "距上次下单天数"),
    "decayed_spend": (
        "net sales to date x exp(-days since the last order / 90)",
        "历史净销售额 x exp(-距上次下单天数/90)",
    ),
    "example_formula": ("the example formula", "示例公式"),
    "midrank_formula": ("the mid-rank formula", "百分位公式"),
}


def name_zh(name: str) -> str:
    """A model or a baseline in Chinese."""
    return _NAMES.get(name, (name, name))[1].removesuffix("（分层所用）")


def signed(gain: float) -> str:
    """A gain in three decimals; in the one digit that counts where they are all 0, so that -0.0003 is not -0.000."""
    text = f"{gain:+z.3f}"
    if float(text) or abs(gain) < 1e-6:
        return text
    return f"{gain:+.{-math.floor(math.log10(abs(gain)))}f}"


def in_words(evaluation: Evaluation) -> tuple[str, str]:
    """The verdict with its numbers."""
    question = evaluation.question
    model, model_zh = _NAMES.get(question.model, (question.model, question.model))
    served, served_zh = _NAMES.get(evaluation.served_model, (evaluation.served_model, evaluation.served_model))
    is_plural = served.startswith(("net sales", "orders", "days"))
    serve, are = ("serve", "are") if is_plural else ("serves", "is")
    if evaluation.verdict == TOO_LITTLE_DATA:
        serves = ("; it goes on serving unjudged", "；未经评估，暂继续使用")
        if question.in_use:
            serves = f"; {served} {serve}", f"；继续使用{served_zh}"
        elif question.is_advice:
            serves = "", ""
        return (
            f"{model} cannot be judged: too little data ({evaluation.reason}){serves[0]}.",
            f"{model_zh}无法评估：数据不足（{evaluation.reason_zh}）{serves[1]}。",
        )
    decided = evaluation.rows[evaluation.rows["is_deciding"]].iloc[0]
    metric, metric_zh = _METRICS.get(question.deciding_metric, (question.deciding_metric, question.deciding_metric))
    best, best_zh = _NAMES.get(evaluation.best_baseline, (evaluation.best_baseline, evaluation.best_baseline))
    numbers = f"{decided['value']:.3f}", f"{decided['baseline_value']:.3f}"
    gain = signed(decided["gain"]), signed(decided["gain_low"]), signed(decided["gain_high"])
    over = f"{len(evaluation.origin_days)} cut days, {evaluation.customer_count:,} customers, {question.horizon_days} days after each"
    over_zh = (
        f"{len(evaluation.origin_days)}个截止日，{evaluation.customer_count:,}位客户，其后{question.horizon_days}天"
    )
    measured = f"{metric} {numbers[0]} against {numbers[1]} of {best}, gain {gain[0]} ({gain[1]} to {gain[2]}); {over}"
    measured_zh = (
        f"{metric_zh} {numbers[0]}，{best_zh} {numbers[1]}，提升 {gain[0]}（{gain[1]} 至 {gain[2]}）；{over_zh}"
    )
    if evaluation.verdict == PROMOTED:
        now = ("is promoted", "予以采用") if question.is_advice else ("serves", "投入使用")
        return (
            f"{model} beats every baseline and {now[0]}: {measured}.",
            f"{model_zh}优于所有基线，{now[1]}：{measured_zh}。",
        )
    still = (
        (f"{are} to be preferred", "宜采用")
        if question.is_advice
        else (serve, "继续使用" if question.in_use else "改用")
    )
    return (
        f"{model} does not beat the best baseline by more than the interval, so {served} {still[0]}: {measured}.",
        f"{model_zh}未能明显优于最佳基线，{still[1]}{served_zh}：{measured_zh}。",
    )

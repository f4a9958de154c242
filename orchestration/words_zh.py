"""The Chinese of what tables of the command line say, by the English."""

from __future__ import annotations

_CHINESE = {
    # Names of columns.
    "tier": "等级",
    "quota": "配额",
    "held": "现有",
    "reached": "达标",
    "proposed": "方案",
    "verdict": "结论",
    "criterion": "标准",
    "threshold": "门槛",
    "share\nreaching it": "达到\n占比",
    "share\nthen": "方案\n占比",
    "that morning": "当日",
    "under the\nproposal": "按方案",
    "after {weeks}\nweeks": "{weeks} 周后",
    "method": "方法",
    "recall@10:\nall": "前10召回率：\n全部",
    "not in\nuse": "近期\n未购",
    "never\nbought": "从未\n购买",
    "coverage": "覆盖率",
    "serves": "用于",
    "series": "序列",
    "week from\n{monday}": "{monday}\n起一周",
    "80 % interval": "80 % 区间",
    "base-\nline": "基线",
    "inside": "区间\n命中",
    "model": "模型",
    "metric": "指标",
    "value": "数值",
    "best baseline": "最佳基线",
    "its": "基线值",
    "gain, 95 %": "提升，95 %",
    "from \\ to": "原 \\ 新",
    "customers\nnow": "客户数\n现为",
    "share\nnow": "占比\n现为",
    "discount\n90 d now": "90 天折扣\n现为",
    "customer": "客户",
    "name": "名称",
    "from": "原等级",
    "to": "新等级",
    "net sales\n90 d": "90 天\n净销售额",
    "discount\n90 d": "90 天\n折扣",
    "over {weeks} weeks": "{weeks} 周内",
    "current": "现行",
    # Titles and sentences.
    "Where the standards cut on {day}": "{day} 各标准的门槛",
    "Shares in the tier or a better one: its quota, held on the day, reached by the measures, reached under the proposal": (
        "该等级及以上的占比：配额、当日现有、指标达标、按方案达标"
    ),
    "Customers in the tier": "各等级客户数",
    "To publish it, add to seeds/tier_standards.csv:": "若要采用，请在 seeds/tier_standards.csv 中添加：",
    "{count} recommendations for {customers} customers on {day}; methods by the two weeks before it ({verdict})": (
        "{day} 为 {customers} 位客户推荐 {count} 项；各方法按此前两周评估（{verdict}）"
    ),
    "Net sales to expect after {day}": "{day} 之后的预计净销售额",
    "Models up to {day}; * decides": "截至 {day} 的模型；* 为决定性指标",
    "The verdicts decide what serves from {day} on.": "上述结论自 {day} 起生效。",
    "Simulated on {day}: {count} customers, policy {policy}": "模拟日 {day}：{count} 位客户，策略 {policy}",
    " instead of {policy}": "（原为 {policy}）",
    "nothing is changed": "无改动",
    "Published this morning: {count} customers in another tier": "若今日发布：{count} 位客户等级变化",
    "Had the rules been in force for {weeks} weeks: {count} customers in another tier": (
        "若规则已生效 {weeks} 周：{count} 位客户等级变化"
    ),
    "note: ": "注：",
    "the past weeks hold no other stored day, so there is no past to replay": "过去几周没有其他已存日期，无法回放",
    "stored days between the weeks' last ones, or days of other rules: `current` is today's rules replayed over the same days, "
    "so that like is compared with like": (
        "有已存日期不是各周最后一天，或使用过其他规则：“现行”为按当前规则回放相同日期的结果，以便同口径比较"
    ),
    "{versions} begins later and does not count; --rules-of picks the day that does": (
        "{versions} 稍后才生效，本次不计；可用 --rules-of 指定其生效的日期"
    ),
    "{day}  predicted in {seconds} s": "{day}  预测完成，{seconds} 秒",
    "{day}  evaluated in {seconds} s": "{day}  评估完成，{seconds} 秒",
    "{day}  reviewed in {seconds} s; nothing is changed": "{day}  复核完成，{seconds} 秒；未作任何改动",
    # What stands in cells.
    "all": "合计",
    "total": "合计",
    "other": "其他",
    "unknown": "未知",
    "none": "无",
    "holds": "合适",
    "propose": "建议调整",
    "out of reach": "无法达到",
    "too little data": "数据不足",
    "too few customers": "客户过少",
    "history too short": "历史过短",
    "judged": "已评估",
    "no customer": "无客户",
    "orders per month": "每月订单数",
    "average order value": "客单价",
    "lifetime value top share": "生命周期价值排名占比",
    "score top share": "得分排名占比",
    "popularity": "热销",
    "repurchase": "复购",
    "co occurrence": "关联购买",
    "factorisation": "矩阵分解",
    "blend": "混合",
    "served": "实际推荐",
    "list": "清单",
    "new places": "新品位",
    "seasonal naive": "去年同期",
    "naive": "上周值",
    "ets": "指数平滑",
    "structural": "结构模型",
    "recent mean": "近期均值",
    "brier": "布里尔得分",
    "gini": "基尼系数",
    "capture 10": "前 10 % 捕获率",
    "spearman": "秩相关",
    "log loss": "对数损失",
    "changes per customer-week": "每客户每周变化",
    "undone within 28 days": "28 天内撤回",
    "agrees with the candidate": "与候选等级一致",
    "drift of the quotas": "配额漂移",
    "changes": "变化次数",
    "upgrades": "升级",
    "downgrades": "降级",
    "mean dwell, weeks": "平均停留周数",
    "median dwell, days": "停留天数中位数",
}


def said(language: str, english: str, **values: object) -> str:
    """A text in `en` or `zh`, with values in its braces; English where there is no Chinese."""
    text = _CHINESE.get(english, english) if language == "zh" else english
    return text.format(**values) if values else text

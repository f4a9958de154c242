"""What the demo world is made of: kinds of customers, categories, seasons. Plain data and pure functions of dates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from math import cos, pi


@dataclass(frozen=True)
class BusinessType:
    """A kind of customer. share: of all customers. rate: median orders a day. value: median CNY of an order.
    basket: median lines of an order. weekdays: relative demand Monday to Sunday. festival: demand during the Spring
    Festival week. winter: how much more is ordered in January than in the mean (negative: in July). appetite:
    relative weight of the top-level categories, in their order."""

    name: str
    share: float
    rate: float
    value: float
    basket: float
    weekdays: tuple[float, ...]
    festival: float
    winter: float
    appetite: tuple[int, ...]


BUSINESS_TYPES = (
    BusinessType("restaurant", 0.42, 0.040, 850, 3.5, (0.8, 0.9, 0.9, 1.0, 1.3, 1.3, 0.9), 0.25, 0.05,
                 (22, 5, 16, 8, 8, 5, 7, 8, 5, 4, 8, 4)),
    BusinessType("canteen", 0.12, 0.053, 2100, 4.4, (1.3, 1.3, 1.3, 1.3, 1.1, 0.25, 0.45), 0.03, 0.0,
                 (26, 6, 18, 9, 4, 8, 10, 6, 4, 2, 5, 2)),
    BusinessType("hotel", 0.06, 0.060, 2900, 4.5, (0.9, 0.9, 1.0, 1.1, 1.2, 1.1, 0.8), 0.75, -0.05,
                 (16, 12, 14, 7, 14, 5, 5, 5, 7, 8, 4, 3)),
    BusinessType("hotpot", 0.08, 0.047, 1700, 3.9, (0.7, 0.8, 0.8, 0.9, 1.4, 1.5, 0.9), 0.40, 0.35,
                 (18, 2, 26, 4, 12, 3, 2, 8, 1, 4, 14, 6)),
    BusinessType("shop", 0.20, 0.031, 480, 3.0, (1.0, 1.0, 1.0, 1.0, 1.1, 1.1, 0.8), 0.55, 0.0,
                 (24, 22, 8, 4, 3, 12, 5, 3, 9, 6, 2, 2)),
    BusinessType("bakery", 0.05, 0.026, 620, 2.7, (0.9, 0.9, 1.0, 1.0, 1.3, 1.1, 0.8), 0.35, 0.05,
                 (2, 14, 1, 0, 0, 24, 26, 2, 26, 3, 1, 1)),
    BusinessType("tea_shop", 0.07, 0.033, 430, 2.5, (0.8, 0.9, 0.9, 1.0, 1.3, 1.3, 0.8), 0.30, -0.30,
                 (0, 40, 0, 0, 0, 1, 4, 4, 32, 16, 1, 2)),
)  # fmt: skip

# Top-level category, its four sub-categories, unit, median price in CNY, and how much prices swing over a year.
CATEGORIES = (
    ("蔬菜", ("叶菜", "根茎", "瓜果茄果", "菌菇"), "kg", 6.0, 0.22),
    ("水果", ("柑橘", "瓜类", "浆果", "苹果梨"), "kg", 12.0, 0.18),
    ("猪牛羊肉", ("猪肉", "牛肉", "羊肉", "加工肉"), "kg", 48.0, 0.08),
    ("禽类", ("鸡肉", "鸭肉", "冷冻禽", "内脏"), "kg", 24.0, 0.05),
    ("水产", ("活鲜", "冻鱼", "虾蟹", "贝类"), "kg", 55.0, 0.12),
    ("蛋品", ("鲜鸡蛋", "鸭蛋", "加工蛋", "蛋液"), "kg", 11.0, 0.10),
    ("米面粮油", ("大米", "面粉", "食用油", "杂粮"), "bag", 85.0, 0.02),
    ("调味品", ("酱油醋", "香辛料", "酱料", "味精糖盐"), "bottle", 14.0, 0.01),
    ("乳品", ("牛奶", "奶油", "黄油", "奶酪"), "box", 38.0, 0.03),
    ("酒水饮料", ("饮料", "啤酒", "白酒", "果汁"), "box", 56.0, 0.02),
    ("豆制品冻品", ("豆腐", "丸子", "面点", "速冻蔬菜"), "pack", 13.0, 0.03),
    ("厨房用品", ("一次性餐具", "清洁", "包装", "纸品"), "pack", 18.0, 0.01),
)

# Region, its cities.
REGIONS = (
    ("华北", ("北京", "天津", "石家庄", "太原")),
    ("华东", ("上海", "杭州", "南京", "苏州", "合肥")),
    ("华南", ("广州", "深圳", "佛山", "南宁")),
    ("华中", ("武汉", "长沙", "郑州")),
    ("西南", ("成都", "重庆", "昆明")),
    ("东北", ("沈阳", "哈尔滨", "大连")),
)

_SPRING_FESTIVALS = {
    date.fromisoformat(text)
    for text in (
        "2015-02-19", "2016-02-08", "2017-01-28", "2018-02-16", "2019-02-05", "2020-01-25", "2021-02-12",
        "2022-02-01", "2023-01-22", "2024-02-10", "2025-01-29", "2026-02-17", "2027-02-06", "2028-01-26",
        "2029-02-13", "2030-02-03", "2031-01-23", "2032-02-11", "2033-01-31", "2034-02-19", "2035-02-08",
        "2036-01-28", "2037-02-15", "2038-02-04", "2039-01-24", "2040-02-12",
    )
}  # fmt: skip


def demand(day: date, kind: BusinessType) -> float:
    """Relative demand of a kind of customer on a day: the season, the Spring Festival and the National Day week."""
    season = 1.0 + kind.winter * cos(2 * pi * (day.timetuple().tm_yday - 15) / 365.25)
    if day.month == 10 and day.day <= 7:
        season *= 0.15 if kind.name == "canteen" else 1.15
    return season * _around_spring_festival(day, kind)


def _around_spring_festival(day: date, kind: BusinessType) -> float:
    for offset in range(-20, 21):
        if day - timedelta(days=offset) in _SPRING_FESTIVALS:
            break
    else:
        return 1.0
    if offset < -3:
        # Stocking up; canteens send their people home early instead.
        return 1.0 + 0.35 * (offset + 20) / 16 if kind.name != "canteen" else (1.0 if offset < -8 else 0.4)
    if offset < 0:
        return 0.9 if kind.name != "canteen" else 0.1
    if offset < 7:
        return kind.festival
    return min(1.0, kind.festival + (1.0 - kind.festival) * (offset - 6) / 9)

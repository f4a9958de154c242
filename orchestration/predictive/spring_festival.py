"""The Spring Festival, which moves between 21 January and 20 February: its dates, and how many days of a week it touches.

A table, since the Chinese calendar follows the sky and no library here computes it.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

# First day of the first month, 2005 to 2044.
_NEW_YEARS = {
    date.fromisoformat(text)
    for text in (
        "2005-02-09", "2006-01-29", "2007-02-18", "2008-02-07", "2009-01-26", "2010-02-14", "2011-02-03", "2012-01-23",
        "2013-02-10", "2014-01-31", "2015-02-19", "2016-02-08", "2017-01-28", "2018-02-16", "2019-02-05", "2020-01-25",
        "2021-02-12", "2022-02-01", "2023-01-22", "2024-02-10", "2025-01-29", "2026-02-17", "2027-02-06", "2028-01-26",
        "2029-02-13", "2030-02-03", "2031-01-23", "2032-02-11", "2033-01-31", "2034-02-19", "2035-02-08", "2036-01-28",
        "2037-02-15", "2038-02-04", "2039-01-24", "2040-02-12", "2041-02-01", "2042-01-22", "2043-02-10", "2044-01-30",
    )
}  # fmt: skip

# Days from the new year, first and last: stocking up, the days at home, the slow return.
_PHASES = ((-18, -4), (-3, 6), (7, 15))
PHASES = ("before_spring_festival", "spring_festival", "after_spring_festival")


def phase_shares(mondays: list[date]) -> np.ndarray:
    """Weeks x PHASES: the share of the seven days from each Monday that lie in each phase. Years after 2044 have none."""
    shares = np.zeros((len(mondays), len(_PHASES)))
    for place, monday in enumerate(mondays):
        for phase, (first, last) in enumerate(_PHASES):
            for offset in range(first, last + 1):
                shares[place, phase] += any(
                    monday + timedelta(days=weekday - offset) in _NEW_YEARS for weekday in range(7)
                )
    return shares / 7

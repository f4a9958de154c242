"""The days on which customers ordered, as flat arrays, and what can be asked of them at a day: only what lay before it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class OrderHistory:
    """Order days of customers, several orders of a day counting once.

    customer_id: unique, shape (n,). business_type: index into `type_names`, shape (n,). first_day: day of the customer's first
    order ever, shape (n,). days: all order days, ascending within a customer, customers one after the other; offsets: where
    each one begins, shape (n + 1,). Days are numbers since 1970-01-01 in the business zone.
    """

    customer_id: np.ndarray
    business_type: np.ndarray
    type_names: tuple[str, ...]
    first_day: np.ndarray
    days: np.ndarray
    offsets: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Order days of each customer."""
        return np.diff(self.offsets)

    @property
    def owner(self) -> np.ndarray:
        """The position of the customer of each order day."""
        return np.repeat(np.arange(len(self.customer_id)), self.counts)

    def until(self, day: int, since: int = 0) -> OrderHistory:
        """The history as it stood at the end of `day`, without order days before `since`; customers with none are left out."""
        owner = self.owner
        kept = (self.days <= day) & (self.days >= since)
        counts = np.bincount(owner[kept], minlength=len(self.customer_id))
        present = counts > 0
        return replace(
            self,
            customer_id=self.customer_id[present],
            business_type=self.business_type[present],
            first_day=self.first_day[present],
            days=self.days[kept],
            offsets=np.concatenate([[0], np.cumsum(counts[present])]),
        )

    def orders_between(self, after: int, until: int) -> np.ndarray:
        """Order days of each customer in (after, until]."""
        inside = (self.days > after) & (self.days <= until)
        return np.bincount(self.owner[inside], minlength=len(self.customer_id))

    def per_day(self, first: int, last: int) -> np.ndarray:
        """Customers that ordered on each day from `first` to `last`, shape (types, days)."""
        inside = (self.days >= first) & (self.days <= last)
        kind, width = self.business_type[self.owner[inside]], last - first + 1
        cells = np.bincount(kind * width + (self.days[inside] - first), minlength=len(self.type_names) * width)
        return cells.reshape(len(self.type_names), width)

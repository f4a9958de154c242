"""The same digits on any number of threads, and for a customer whoever else is in the block."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import ParamSpec, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def in_one_thread(*libraries: str) -> Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]:
    """Decorator: linear algebra in one thread, since several add up in another order.

    libraries: modules that bring linear algebra of their own; loaded first, as the limit holds for what is there when it is set.
    """

    def decorate(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        @wraps(function)
        def run(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> _Result:
            for library in ("scipy.linalg", *libraries):
                import_module(library)
            with threadpool_limits(1):
                return function(*arguments, **named)

        return run

    return decorate


def row_by_row_product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """left @ right (rows x inner, inner x columns), where a row of the result depends on its row of `left` alone.

    A plain product rounds some rows by other kernels than others, depending on how many there are.
    """
    return np.einsum("ik,kj->ij", left, right, optimize=False)

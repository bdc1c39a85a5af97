"""Amounts as Kubernetes writes them, brought to the form in which it stores them."""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import TypeVar

Name = TypeVar("Name", bound=str)

_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)")
_DECIMAL = {
    **{suffix: Fraction(1, 1000) ** (3 - index) for index, suffix in enumerate("num")},
    "": Fraction(1),
    **{suffix: Fraction(1000) ** (index + 1) for index, suffix in enumerate("kMGTPE")},
}
_BINARY = {f"{suffix}i": Fraction(1024) ** (index + 1) for index, suffix in enumerate("KMGTPE")}


def canonical(quantity: str) -> str:
    """Give the form that the API server stores, for example 1Gi for 1024Mi and 500m for 0.5.

    Raises ValueError if it is no amount. What cannot be written whole is rounded up, as the API server does.
    """
    value, suffix = _parsed(quantity)
    if suffix in _BINARY and value >= 1024:
        return _largest(value, {"": Fraction(1), **_BINARY})
    return _largest(value, _DECIMAL)


def canonical_map(quantities: Mapping[Name, str]) -> dict[Name, str]:
    """Give `canonical` of every amount."""
    return {name: canonical(quantity) for name, quantity in quantities.items()}


def whole_bytes(quantity: str) -> int:
    """Give an amount of bytes as a number, rounded down. Raises ValueError if it is no amount."""
    value, _ = _parsed(quantity)
    return int(value)


def _parsed(quantity: str) -> tuple[Fraction, str]:
    match = _AMOUNT.fullmatch(quantity)
    suffixes = {**_DECIMAL, **_BINARY}
    if not match or match[2] not in suffixes:
        raise ValueError(f"{quantity!r} is no amount: write for example 500m, 2 or 20Gi")
    return Fraction(match[1]) * suffixes[match[2]], match[2]


def _largest(value: Fraction, suffixes: Mapping[str, Fraction]) -> str:
    """Write the value with the largest suffix that leaves a whole number."""
    if value == 0:
        return "0"
    whole = [suffix for suffix, factor in suffixes.items() if (value / factor).denominator == 1]
    if not whole:
        smallest = min(suffixes, key=lambda suffix: suffixes[suffix])
        return f"{-(-value // suffixes[smallest])}{smallest}"
    suffix = max(whole, key=lambda suffix: suffixes[suffix])
    return f"{value / suffixes[suffix]}{suffix}"

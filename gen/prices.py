"""What a model costs: as the recipe says, else as the dated price list in this package says, else unknown.

An unknown price is not zero: whoever has to keep a limit in dollars must be told it, or limit tokens.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Any, TypeVar

from .settings import Price
from .teachers.base import Teacher

T = TypeVar("T")

_DATE = re.compile(r"-\d{4}-?\d{2}-?\d{2}$")


@dataclass(frozen=True)
class PriceList:
    """Prices by the host where a model is asked, and by its name or a pattern of names."""

    version: str
    date: str  # ISO
    source: str
    by_host: Mapping[str, Mapping[str, Price]]

    def price(self, model: str, host: str) -> Price | None:
        """What the provider at `host` asks for `model`; None where the list does not say."""
        return matching(self.by_host.get(host, {}), model)

    def as_dict(self) -> dict[str, str]:
        return {"version": self.version, "date": self.date, "source": self.source}


@cache
def price_list() -> PriceList:
    """The list that this package ships, `prices.toml`."""
    text = resources.files(__package__).joinpath("prices.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)
    by_host: dict[str, dict[str, Price]] = {}
    for part in table.values():
        if isinstance(part, dict):
            prices = {name: Price(**price) for name, price in part["models"].items()}
            by_host.update(dict.fromkeys(part["hosts"], prices))
    return PriceList(table["version"], table["date"].isoformat(), table["source"], by_host)


def prices_of(models: Iterable[Teacher], own: Mapping[str, Price]) -> dict[str, Price]:
    """identity -> price of those of `models` whose price is known. `own` are a recipe's, by identity or pattern of it.

    A model that does not say at which `host` it is asked has no price in the list.
    """
    found = {model.model: _price(model, own) for model in models}
    return {identity: price for identity, price in found.items() if price is not None}


def _price(model: Teacher, own: Mapping[str, Price]) -> Price | None:
    return matching(own, model.model) or price_list().price(model.model.partition(":")[2], getattr(model, "host", ""))


def matching(table: Mapping[str, T], name: str) -> T | None:
    """What `table` holds for `name`: under the name, under the name without a date, or under its longest pattern."""
    for exact in (name, _DATE.sub("", name)):
        if exact in table:
            return table[exact]
    patterns = [key for key in table if ("*" in key or "?" in key) and fnmatchcase(name, key)]
    return table[max(patterns, key=lambda key: (len(key), key))] if patterns else None

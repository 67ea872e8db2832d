"""Reserve the worst case before asking, settle on the reply, stop before the limit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .charges import Charge, Spent, Unpriced
from .errors import RecipeError
from .recipe import BudgetSettings, Price
from .teachers.base import Ask, Outcome, Usage, schema_text

MICRO = 1_000_000


class _Hold(NamedTuple):
    tokens: int
    microusd: int
    lost: int = 0  # tries without a reply that may be billed, each as dear as this one

    @property
    def lost_tokens(self) -> int:
        return self.lost * self.tokens

    @property
    def lost_microusd(self) -> int:
        return self.lost * self.microusd


class Room(NamedTuple):
    """How many times a path of asks still fits, at its worst."""

    of_run: int  # beside what this run has used, replayed replies included: the same whenever it is replayed
    of_ledger: int  # beside what was spent by anybody


class Budget:
    """Counts every token and micro-dollar that the ledger holds, plus what is reserved for asks in flight.

    What this run has used is counted apart, replayed replies included, so that a decision about how far the
    budget reaches is the same in the first run and in its replay. A worst case is one token per UTF-8 byte of
    the prompt and of the schema, which servers show to the model (a byte-level tokenizer cannot make more), and
    `max_tokens` of reply, so the limit holds whatever comes back.
    """

    def __init__(self, limits: BudgetSettings, prices: Mapping[str, Price], spent: Spent) -> None:
        self._limits = limits
        self._prices = prices
        self._tokens = spent.counted_tokens
        self._microusd = spent.counted_microusd
        self._used_tokens = 0
        self._used_microusd = 0
        self._holds: dict[str, _Hold] = {}
        self._held_tokens = 0
        self._held_microusd = 0
        self.exhausted = False  # set by the asker when nothing in flight can free what the next ask needs

    def require_price(self, model: str) -> None:
        """Raises RecipeError if a limit in USD is set and the price of `model` is not known."""
        if self._limits.usd is not None and self.price(model) is None:
            raise RecipeError(
                what=f"--budget {self._limits.usd:g} USD is set, and the price of {model!r} is not known",
                why="an unknown price is not zero: the limit could not be kept",
                do=f'give [prices."{model}"] with input and output (USD per million tokens) in recipe.toml,'
                " or limit tokens with --budget-tokens",
            )

    def count_unpriced(self, unpriced: Iterable[Unpriced]) -> None:
        """Counts replies that were kept when no price was known: at today's price, at the worst where usage is unknown.

        Raises RecipeError if a limit in USD is set and there is no price today either.
        """
        for group in unpriced:
            price = self.price(group.model)
            if price is not None:
                tokens = group.prompt_tokens * _fresh(price) + group.completion_tokens * price.output
                self._microusd += math.ceil(round(tokens + group.other_tokens * max(_fresh(price), price.output), 6))
            elif self._limits.usd is not None:
                raise RecipeError(
                    what=f"--budget {self._limits.usd:g} USD is set, and the ledger holds {group.replies} replies of"
                    f" {group.model!r}, whose price is not known",
                    why="everything in the ledger counts, and an unknown price is not zero",
                    do=f'give [prices."{group.model}"] with input and output (USD per million tokens) in recipe.toml,'
                    " or limit tokens with --budget-tokens, or use another --out",
                )

    def price(self, model: str) -> Price | None:
        if model.partition("?")[0].rpartition(":")[2].startswith("rehearsal-"):
            return Price(input=0, output=0)  # composed here; nobody is paid
        return self._prices.get(model)

    def cost(self, model: str, usage: Usage) -> int | None:
        """Micro-dollars of one reply, rounded up; None where price or usage is unknown."""
        price = self.price(model)
        if price is None or usage.prompt_tokens is None or usage.completion_tokens is None:
            return None
        cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
        cheap = price.input if price.cached_input is None else price.cached_input
        prompt = (usage.prompt_tokens - cached) * _fresh(price) + cached * cheap
        # USD per million tokens is micro-dollars per token. 100 * 0.07 is 7.000000000000001 and costs 7.
        return math.ceil(round(prompt + usage.completion_tokens * price.output, 6))

    def reserve(self, ask: Ask) -> bool:
        """True if the worst case of `ask` fits beside all that is in flight; it is held until `settle`."""
        hold = self._worst_case(ask)
        if not self._fits(hold):
            return False
        self._holds[ask.id] = hold
        self._held_tokens += hold.tokens
        self._held_microusd += hold.microusd
        return True

    def again(self, ask: Ask) -> bool:
        """True if one more try of `ask` fits: the one before gave no reply, and may be billed all the same."""
        hold = self._holds[ask.id]
        if not self._fits(hold):
            return False
        self._holds[ask.id] = hold._replace(lost=hold.lost + 1)
        self._held_tokens += hold.tokens
        self._held_microusd += hold.microusd
        return True

    def fits(self, ask: Ask) -> bool:
        """True if `ask` could be reserved now."""
        return self._fits(self._worst_case(ask))

    def _fits(self, hold: _Hold) -> bool:
        tokens = self._tokens + self._held_tokens + hold.tokens
        microusd = self._microusd + self._held_microusd + hold.microusd
        within_tokens = self._limits.tokens is None or tokens <= self._limits.tokens
        return within_tokens and (self._limits.usd is None or microusd <= self._limits.usd * MICRO)

    def settle(self, ask: Ask, outcome: Outcome) -> Charge:
        """Releases the hold and counts what the reply used; the worst case where that is unknown."""
        hold = self.release(ask)
        charge = self._charge(ask, outcome, hold)
        self._tokens += charge.counted_tokens
        self._microusd += charge.counted_microusd
        self._use(charge)
        return charge

    def release(self, ask: Ask) -> _Hold:
        """Gives back what was held for `ask`, of which nothing is counted."""
        hold = self._holds.pop(ask.id)
        self._held_tokens -= hold.tokens + hold.lost_tokens
        self._held_microusd -= hold.microusd + hold.lost_microusd
        return hold

    def replay(self, charge: Charge) -> None:
        """Counts a reply from the ledger as used by this run; it is among what was spent already.

        By what it was charged then, so that a price that changed since changes nothing of what was decided.
        """
        self._use(charge)

    def _use(self, charge: Charge) -> None:
        self._used_tokens += charge.counted_tokens
        self._used_microusd += charge.counted_microusd

    @property
    def spent_usd(self) -> float:
        """Everything in the ledger, the worst case where usage is unknown."""
        return self._microusd / MICRO

    @property
    def reserved_usd(self) -> float:
        """The worst case of all that is in flight."""
        return self._held_microusd / MICRO

    @property
    def limited(self) -> bool:
        return self._limits.tokens is not None or self._limits.usd is not None

    def _charge(self, ask: Ask, outcome: Outcome, hold: _Hold) -> Charge:
        usage = outcome.usage
        cost = self.cost(ask.model, usage)
        if usage.prompt_tokens is not None and usage.completion_tokens is not None:
            tokens = usage.prompt_tokens + usage.completion_tokens
            return Charge(cost, tokens + hold.lost_tokens, (cost or 0) + hold.lost_microusd)
        if outcome.failure == "bad_request":  # refused before a model saw it: nobody charges for that
            return Charge(0, hold.lost_tokens, hold.lost_microusd)
        return Charge(cost, hold.tokens + hold.lost_tokens, hold.microusd + hold.lost_microusd)

    def affordable(self, path: Sequence[Ask]) -> Room | None:
        """How many times the whole `path` of asks fits into what is left, at its worst; None: no limit."""
        if not self.limited:
            return None
        holds = [self._worst_case(ask) for ask in path]
        tokens, microusd = sum(hold.tokens for hold in holds), sum(hold.microusd for hold in holds)

        def times(used_tokens: int, used_microusd: int) -> int:
            rooms = []
            if self._limits.tokens is not None:
                rooms.append((self._limits.tokens - used_tokens) // max(1, tokens))
            if self._limits.usd is not None:
                rooms.append(int(self._limits.usd * MICRO - used_microusd) // max(1, microusd))
            return max(0, min(rooms))

        return Room(times(self._used_tokens, self._used_microusd), times(self._tokens, self._microusd))

    def _worst_case(self, ask: Ask) -> _Hold:
        # 8 tokens a message for the chat template's own markers.
        prompt = sum(_bytes(m.content) + 8 for m in ask.messages)
        if ask.schema is not None:
            prompt += len(schema_text(ask.schema))
        cost = self.cost(ask.model, Usage(prompt, ask.sampling.max_tokens))
        return _Hold(tokens=prompt + ask.sampling.max_tokens, microusd=cost or 0)


def _fresh(price: Price) -> float:
    """Of a prompt token that was not read from a cache: it may have been written into one."""
    return max(price.input, price.cache_write or 0.0)


def _bytes(text: str) -> int:
    """The length of `text` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))

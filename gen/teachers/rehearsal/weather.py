"""Bad weather by a schedule: which request meets which fault. A TOML file, read and checked; no clock, no network."""

from __future__ import annotations

import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ...errors import RecipeError
from ...settings import Part, checked

Status = Literal["400", "401", "402", "403", "404", "408", "409", "425", "429", "500", "502", "503", "504", "529"]
Kind = Literal[
    Status, "reset", "hang", "outage", "drip", "wrong_type", "html", "truncated", "empty", "other_model", "no_usage",
    "same_id", "expired_key",
]  # fmt: skip

Count = Annotated[int, Field(ge=1)]
Moment = Annotated[float, Field(ge=0)]


class Fault(Part):
    """One kind of weather, and when it is met; the conditions that are given must all hold.

    requests     the first and the last, counted from 1 in the order of their arrival
    seconds      from and to, since the first request
    share        of the requests that the others leave, drawn with the schedule's seed
    above        met only while more than so many requests are in flight, this one included
    retry_after  seconds, sent as `Retry-After` with an HTTP status; None: no such header
    for_seconds  how long an outage lasts (5 unless given), a drip takes (5), a hang hangs (until the client goes)
    """

    kind: Kind
    requests: tuple[Count, Count] | None = None
    seconds: tuple[Moment, Moment] | None = None
    share: float = Field(default=1.0, gt=0, le=1)
    above: int | None = Field(default=None, ge=0)
    retry_after: float | None = Field(default=None, ge=0)
    for_seconds: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name in ("requests", "seconds"):
            bounds = getattr(self, name)
            if bounds is not None and bounds[0] > bounds[1]:
                raise ValueError(f"{name} should name the first before the last, not {list(bounds)}")
        return self

    def met(self, *, number: int, seconds: float, in_flight: int, draw: float) -> bool:
        return (
            (self.requests is None or self.requests[0] <= number <= self.requests[1])
            and (self.seconds is None or self.seconds[0] <= seconds <= self.seconds[1])
            and (self.above is None or in_flight > self.above)
            and draw < self.share
        )


class Weather(Part):
    """A schedule: the first fault that is met is the one that happens."""

    seed: int = Field(default=1, ge=0, lt=2**31)
    faults: tuple[Fault, ...] = ()

    def at(self, *, number: int, seconds: float, in_flight: int) -> Fault | None:
        """What request `number` (from 1) meets, `seconds` after the first one."""
        for place, fault in enumerate(self.faults):
            draw = _draw(self.seed, place, number)
            if fault.met(number=number, seconds=seconds, in_flight=in_flight, draw=draw):
                return fault
        return None


def _draw(seed: int, place: int, number: int) -> float:
    """Of [0, 1), evenly; the same for the same request of the same schedule, in whatever order they are answered."""
    digest = sha256(f"weather\0{seed}\0{place}\0{number}".encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48


def read_weather(path: Path) -> Weather:
    """Raises RecipeError where the file is missing, is no TOML, or holds what no schedule has."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(
            what=f"the schedule {str(path)!r} cannot be read: {error.strerror}",
            why="it says which requests meet which fault",
            do="give the path of a TOML file with [[faults]]",
        ) from error
    except ValueError as error:  # of UTF-8, and of TOML
        raise RecipeError(
            what=f"{path} is no TOML: {error}",
            why="a schedule that is half read would make other weather than was meant",
            do='mend that place; a fault is written [[faults]], and below it kind = "429"',
        ) from error
    return checked(Weather, table, path)

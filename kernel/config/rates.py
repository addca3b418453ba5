"""Rates: so many in a period, as settings write them."""

import re
from typing import NamedTuple

_RATE = re.compile(r"([0-9]{1,7})/([0-9]{0,5})(s|min|h)")
_SECONDS = {"s": 1, "min": 60, "h": 3600}


class Rate(NamedTuple):
    """`quota` in `seconds`; a quota of 0 is no limit."""

    quota: int
    seconds: int


def parse_rate(text: str) -> Rate:
    """Return the rate that is written as `120/min`, `20/10s` or `5/h`; `0` is no limit. Raises ValueError."""
    if text == "0":
        return Rate(0, 1)
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a rate")
    quota, many, unit = match.groups()
    rate = Rate(int(quota), int(many or 1) * _SECONDS[unit])
    if not 1 <= rate.seconds <= 86_400:
        raise ValueError(f"{text!r} is not about a period of up to a day")
    return rate

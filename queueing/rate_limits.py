"""Rate limits of each user in the waiting room and at its exit: counted by the script that checks in, in its round trip."""

from kernel.redis.rate_limits import RateLimit

JOIN = RateLimit("join", "RATE_LIMIT_JOIN")
STATUS = RateLimit("status", "RATE_LIMIT_STATUS")
RESERVE = RateLimit("reserve", "RATE_LIMIT_RESERVE")

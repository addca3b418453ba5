"""Values as they go over the wire: ids, moments, JSON that was compressed once."""

import gzip
import re
from datetime import datetime
from uuid import UUID

from kernel.errors import InvalidInput

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def parse_id(value: object, message: str) -> UUID:
    """A UUID as clients write it (36 characters, either case). Raises InvalidInput(message) for anything else."""
    if isinstance(value, str) and _UUID.fullmatch(value):
        return UUID(value)
    raise InvalidInput(message)


def timestamp(moment: datetime | None) -> str | None:
    """UTC with milliseconds, `2030-06-01T10:00:00.000Z`: what JavaScript's Date writes. `moment` is in UTC."""
    if moment is None:
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


class Packed(bytes):
    """JSON that was compressed once, by `packed`, for all who ask. Who can not unpack it gets it unpacked, by
    `kernel.http.middleware.compress_large`."""


def packed(answer: bytes) -> Packed:
    return Packed(gzip.compress(answer, compresslevel=1, mtime=0))  # twice as fast as the default, and 10 % larger

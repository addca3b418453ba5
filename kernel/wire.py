"""Values in the format of the wire: ids, timestamps, base64url, compressed JSON."""

import base64
import gzip
import re
from datetime import datetime
from uuid import UUID

from kernel.errors import InvalidInput

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def parse_id(value: object, message: str) -> UUID:
    """Parse a UUID of 36 characters, in either case. Raises InvalidInput(message) for anything else."""
    if isinstance(value, str) and _UUID.fullmatch(value):
        return UUID(value)
    raise InvalidInput(message)


def timestamp(moment: datetime | None) -> str | None:
    """Format a moment in UTC as JavaScript's Date does: `2030-06-01T10:00:00.000Z`."""
    if moment is None:
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def base64url(data: bytes) -> str:
    """Encode in the alphabet for URLs without padding, as JOSE does it (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class GzippedJSON(bytes):
    """Compressed JSON, made once for all clients.

    `kernel.http.middleware.compress_responses` decompresses it for clients that do not accept gzip.
    """


def gzip_json(data: bytes) -> GzippedJSON:
    # Level 1 takes half the time of the default, for 10 % more bytes. Without mtime, equal data gives equal bytes.
    return GzippedJSON(gzip.compress(data, compresslevel=1, mtime=0))

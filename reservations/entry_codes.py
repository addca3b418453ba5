"""Entry codes: signed proof of a paid seat or ticket, which a scanner at the door can verify without a connection.

A code is a JWT, signed with Ed25519 (`EdDSA`). The key is derived from SECRET_KEY; those of SECRET_KEY_FALLBACKS stay
published, so that codes that were printed before a change are still good.
"""

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

from kernel.wire import base64url

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ALGORITHM = "EdDSA"


def sign(claims: dict[str, Any]) -> str:
    """Return a code that says this. `claims` as in docs/shop.md."""
    import jwt  # here, as below: it imports cryptography (8 MB), which most processes do not need

    key = _private_key(settings.SECRET_KEY)
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": _key_id(key), "typ": None})


def public_keys() -> list[dict[str, str]]:
    """Return the keys that codes can be verified with, the current one first, as JWKs (RFC 8037)."""
    keys = [_private_key(secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    return [
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": ALGORITHM,
            "use": "sig",
            "kid": _key_id(key),
            "x": base64url(_public(key)),
        }
        for key in keys
    ]


def qr_path(text: str) -> dict[str, Any]:
    """Return a QR code as an SVG path: `size` in modules, with the quiet zone of four, and `path`."""
    import segno

    code = segno.make(text, error="m", micro=False, boost_error=False)
    rows = [list(row) for row in code.matrix_iter(border=4)]
    return {"size": len(rows), "path": "".join(_runs(row, y) for y, row in enumerate(rows))}


def _runs(row: list[int], y: int) -> str:
    """Return the dark modules of a row, each run of them as one rectangle."""
    path, x = "", 0
    while x < len(row):
        length = next((n for n, module in enumerate(row[x:]) if not module), len(row) - x)
        path += f"M{x} {y}h{length}v1h-{length}z" if length else ""
        x += length or 1
    return path


@lru_cache(maxsize=10)
def _private_key(secret: str) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    seed = HKDF(SHA256(), length=32, salt=None, info=b"ticketservice entry codes").derive(secret.encode())
    return Ed25519PrivateKey.from_private_bytes(seed)


def _public(key: "Ed25519PrivateKey") -> bytes:
    return key.public_key().public_bytes_raw()


def _key_id(key: "Ed25519PrivateKey") -> str:
    return base64url(hashlib.sha256(_public(key)).digest()[:6])

"""Buyers for trying the shop: with DEBUG only, and only where tokens are verified with JWT_SECRET."""

import re
import time
import uuid

from django.conf import settings

SECONDS = 86_400
MOST = 99
NAMES = (
    ("김하늘", "Haneul Kim"), ("이도윤", "Doyun Lee"), ("박서연", "Seoyeon Park"), ("최지우", "Jiwoo Choi"),
    ("정민재", "Minjae Jung"), ("강유나", "Yuna Kang"), ("조현우", "Hyunwoo Cho"), ("윤가람", "Garam Yoon"),
    ("장소라", "Sora Jang"), ("임태오", "Taeo Lim"), ("한별", "Byeol Han"), ("오은결", "Eungyeol Oh"),
)  # fmt: skip
_NAMESPACE = uuid.UUID("d3305eed-0000-4000-8000-00000000b0b0")
_NUMBER = re.compile(r"[1-9]\d?", re.ASCII)


def exist() -> bool:
    """Whether there are demo buyers here. False wherever people really sign in."""
    return bool(
        settings.DEBUG and settings.JWT_SECRET and not settings.AUTH_SERVICE_URL and not settings.SHOP_LOGIN_URL
    )


def cookie(buyer: str) -> str:
    """Return the name of a demo buyer's cookie; one that nobody has for anything but a number from 1 to 99."""
    return f"shop_buyer_{buyer}" if _NUMBER.fullmatch(buyer) else "shop_buyer"


def issue_token(buyer: str) -> tuple[str, float]:
    """Return a token of a demo buyer, and until when it is good. Raises ValueError if there is no such buyer."""
    import jwt  # here: it imports cryptography, which other pages do without

    if not exist() or not _NUMBER.fullmatch(buyer):
        raise ValueError(buyer)
    now = int(time.time())
    names = NAMES[(int(buyer) - 1) % len(NAMES)]
    claims = {
        "userId": str(uuid.uuid5(_NAMESPACE, buyer)),
        "email": f"buyer{buyer}@example.com",
        "name": " / ".join(names),
        "role": "user",
        "iat": now,
        "exp": now + SECONDS,
    }
    return jwt.encode(claims, settings.JWT_SECRET, algorithm="HS256"), now + SECONDS

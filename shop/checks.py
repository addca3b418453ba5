"""System checks: settings of the shop that would sell nothing, or for nothing."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, register

from kernel.checks import STARTUP

DEMO_PAYMENT = "/shop/demo/payment"


@register(STARTUP)
def check_shop(**_: Any) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    if not settings.DEBUG and urlsplit(settings.PAYMENT_URL).path.rstrip("/").endswith(DEMO_PAYMENT):
        messages.append(
            Error(
                "PAYMENT_URL is the demo payment page, which exists with DEBUG only: everything would be sold for nothing.",
                hint="Set it to the page of your payment service.",
                id="ticketservice.E030",
            )
        )
    for origin in settings.SHOP_ORIGINS:
        parts = urlsplit(origin)
        if not (parts.scheme in ("http", "https") and parts.netloc) or origin != f"{parts.scheme}://{parts.netloc}":
            messages.append(
                Error("SHOP_ORIGINS must list origins, such as https://tickets.example.org.", id="ticketservice.E031")
            )
    return messages


@register(Tags.security, deploy=True)
def check_shop_deployment(**_: Any) -> list[CheckMessage]:
    if not settings.SHOP_ENABLED or settings.DEBUG or (settings.SHOP_LOGIN_URL and settings.PAYMENT_URL):
        return []
    return [
        Info(
            "The shop shows events, but sells none: SHOP_LOGIN_URL or PAYMENT_URL is not set.",
            hint="See docs/auth.md and docs/shop.md, or set SHOP_ENABLED to false.",
            id="ticketservice.I030",
        )
    ]

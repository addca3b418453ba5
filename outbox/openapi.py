"""The feed and the webhooks, for the OpenAPI document."""

from pathlib import Path
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers

from kernel.errors import InvalidInput
from kernel.openapi.components import Schema
from kernel.openapi.schema import Timestamp, ViewDescription, raises
from outbox.errors import CursorGone
from outbox.models import MessageKind
from outbox.selectors import KEPT_DAYS
from outbox.serializers import DEFAULT_LIMIT, MAX_LIMIT

EXAMPLES = Path(__file__).with_name("openapi_examples.json")


class FeedMessageSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="The `webhook-id` of the same message.")
    type = serializers.ChoiceField(MessageKind.values)
    timestamp = Timestamp()
    data = serializers.DictField(help_text="As in the webhook of this type.")  # type: ignore[assignment]  # no property


@extend_schema_serializer(many=False)
class FeedSerializer(serializers.Serializer[Any]):
    events = FeedMessageSerializer(many=True)
    cursor = serializers.CharField(
        allow_null=True, help_text="For `after` of the next request. null: there was no message yet."
    )
    hasMore = serializers.BooleanField(help_text="Whether there are more already.")


class Feed(ViewDescription):
    target_class = "outbox.views.FeedViewSet"
    tag = "For other services"
    examples = EXAMPLES
    operations = {
        "list": extend_schema(
            operation_id="readFeed",
            summary="Read the messages of webhooks, in the order in which they were committed",
            description="Messages of the kinds that a subscriber wants. None is skipped: one that is committed later gets"
            f" a later place. Kept for {KEPT_DAYS} days.",
            parameters=[
                OpenApiParameter(
                    "after",
                    {"type": "string", "pattern": "^[0-9]{1,18}$"},
                    description="The `cursor` of the response before; without it, from the oldest message that is kept.",
                ),
                OpenApiParameter(
                    "limit",
                    {"type": "integer", "minimum": 1, "default": DEFAULT_LIMIT},
                    description=f"More than {MAX_LIMIT} counts as {MAX_LIMIT}.",
                ),
            ],
            responses={200: FeedSerializer},
            extensions=raises(
                InvalidInput("after is the `cursor` of an earlier response"),
                InvalidInput("limit must be a positive integer"),
                CursorGone,
            ),
        )
    }


# --- Webhooks ---------------------------------------------------------------------------------------------------------


def _text(description: str = "", **more: Any) -> Schema:
    return {"type": "string", **({"description": description} if description else {}), **more}


def _object(properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


_ID = _text(format="uuid")
_ID_OR_NULL = {"type": ["string", "null"], "format": "uuid"}
_MOMENT = _text(format="date-time")
_ITEM = _object(
    {
        "seatId": _ID_OR_NULL,
        "ticketTypeId": _ID_OR_NULL,
        "quantity": {"type": "integer"},
        "unitPrice": {"type": "integer"},
    }
)
_REFUND = _object(
    {
        "id": {**_ID, "description": "As in `GET /internal/refunds`."},
        "paymentId": {"type": ["string", "null"], "description": "Which payment is given back, or a part of it."},
        "amount": {"type": "integer", "description": "Won."},
        "reason": _text("As in `GET /internal/refunds`."),
    }
)
_RESERVATION = _object(
    {
        "reservationId": _ID,
        "reservationNumber": _text(),
        "userId": _ID,
        "eventId": _ID_OR_NULL,
        "status": _text("After the change.", enum=["pending", "confirmed", "cancelled", "expired"]),
        "paymentStatus": _text(enum=["pending", "completed", "failed", "refunded"]),
        "totalAmount": {"type": "integer", "description": "Won."},
        "paymentId": {"type": ["string", "null"]},
        "deadline": {"type": ["string", "null"], "format": "date-time", "description": "Until when it may be paid."},
        "items": {"type": "array", "items": _ITEM},
        "reason": _text("Why it has ended, or why the refund is due."),
        "refund": _REFUND,
    },
    optional=("reason", "refund"),
)
_STATUS = _text(enum=["upcoming", "on_sale", "sold_out", "ended", "cancelled"])
_EVENT_STATUS = _object({"eventId": _ID, "status": _STATUS, "previousStatus": _STATUS})
_MOVED = _object(
    {
        "eventId": _ID,
        "eventDate": _MOMENT,
        "venue": _text(),
        "address": {"type": ["string", "null"]},
        "previousEventDate": _MOMENT,
        "previousVenue": _text(),
        "previousAddress": {"type": ["string", "null"]},
    }
)
_DRAW = _object({"eventId": _ID, "drawnAt": _MOMENT, "participants": {"type": "integer"}})

_K = MessageKind
MESSAGES: dict[MessageKind, tuple[str, Schema]] = {
    _K.RESERVATION_CREATED: ("A buyer holds seats or tickets, and has until `deadline` to pay", _RESERVATION),
    _K.RESERVATION_CHANGED: ("The seats of a pending reservation, or part of a paid one, have changed", _RESERVATION),
    _K.RESERVATION_CONFIRMED: ("A reservation was paid, in time or while its places were still free", _RESERVATION),
    _K.RESERVATION_CANCELLED: ("A reservation was cancelled, and its places are available", _RESERVATION),
    _K.RESERVATION_EXPIRED: ("A reservation was not paid in time, and its places are available", _RESERVATION),
    _K.RESERVATION_REFUNDED: ("A refund was given back", _RESERVATION),
    _K.RESERVATION_REFUND_DUE: (
        "A refund is due: of what was cancelled, or of a payment that was refused",
        _RESERVATION,
    ),
    _K.EVENT_STATUS_CHANGED: ("The status of an event has changed", _EVENT_STATUS),
    _K.EVENT_MOVED: ("The date or the place of an event has changed", _MOVED),
    _K.EVENT_CANCELLED: (
        "An event was cancelled. Its reservations follow, each with messages of its own",
        _EVENT_STATUS,
    ),
    _K.EVENT_SOLD_OUT: ("Nothing of an event is available", _EVENT_STATUS),
    _K.WAITLIST_OFFERED: ("Places are held for somebody on the waiting list, until `deadline`", _RESERVATION),
    _K.QUEUE_DRAW_HELD: ("The draw of a waiting room was held, and can be verified", _DRAW),
}
_HEADERS = {
    "webhook-id": "The same for every attempt: a receiver that knows it already ignores the message.",
    "webhook-timestamp": "Of this attempt, in seconds since 1970.",
    "webhook-signature": "`v1,` and a signature (HMAC-SHA256, Base64) for each valid secret, separated by spaces.",
}


def webhooks() -> dict[str, Schema]:
    """The `webhooks` of the document: what subscribers get."""
    return {kind.value: {"post": _webhook(kind, *MESSAGES[kind])} for kind in MessageKind}


def _webhook(kind: MessageKind, summary: str, data: Schema) -> Schema:
    body = _object({"type": {"const": kind.value}, "timestamp": _MOMENT, "data": data})
    return {
        "operationId": "on" + "".join(word.title() for word in kind.name.split("_")),
        "summary": summary,
        "description": "Signed after the Standard Webhooks specification. Delivered at least once, and in order for each"
        " reservation or event.",
        "tags": ["For other services"],
        "security": [],
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
            for name, text in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "2XX": {"description": "Delivered."},
            "410": {"description": "Nobody is here any more: the subscriber is paused."},
            "default": {"description": "Any other status, a redirect too, is a failure: tried again for three days."},
        },
    }

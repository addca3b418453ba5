"""Tickets that were sold before the demo began: as paid reservations, so that stock agrees with them."""

from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F

from kernel.db.sql import fetch_one, violated_constraint
from tickets.models import TicketType

TICKETS_PER_BUYER = 4

# Straight into the tables: of sales that are over, the operations would sell nothing.
_SELL = """
WITH ticket AS (
    SELECT id AS ticket_type_id, event_id, price, (total_quantity - available_quantity) AS taken
    FROM ticket_types WHERE id = %(ticket_type_id)s
),
sale AS MATERIALIZED (
    SELECT gen_random_uuid() AS id, t.*, least(%(each)s, t.taken - place) AS quantity,
           %(first)s + (%(last)s - %(first)s) * (place::float / t.taken) AS moment
    FROM ticket t, generate_series(0, t.taken - 1, %(each)s) AS place
),
reservation AS (
    INSERT INTO reservations (id, user_id, event_id, reservation_number, total_amount, status, payment_status,
                              payment_method, payment_id, created_at, updated_at)
    SELECT id, gen_random_uuid(), event_id, 'TK' || floor(extract(epoch FROM moment) * 1000) || upper(left(id::text, 5)),
           price * quantity, 'confirmed', 'completed', 'card', 'demo:' || id, moment, moment
    FROM sale
),
item AS (
    INSERT INTO reservation_items (reservation_id, ticket_type_id, quantity, unit_price, subtotal, is_live)
    SELECT id, ticket_type_id, quantity, price, price * quantity, true FROM sale
)
SELECT count(*) FROM sale
"""


def sell_what_is_taken(ticket_type_id: UUID, *, first: datetime, last: datetime) -> None:
    """From `first` to `last`, evenly. Where the database knows its users nobody can have bought: then all are left."""
    parameters = {"ticket_type_id": ticket_type_id, "first": first, "last": last, "each": TICKETS_PER_BUYER}
    try:
        with transaction.atomic():
            fetch_one(_SELL, parameters)
    except IntegrityError as error:
        if violated_constraint(error) != "reservation_user":
            raise
        TicketType.objects.filter(id=ticket_type_id).update(available_quantity=F("total_quantity"))

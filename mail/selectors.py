"""Reads: what a mail is about, and to whom it goes; mails that an organiser looks for."""

from uuid import UUID

from django.db.models import Q, QuerySet

from mail.models import Mail
from reservations.models import Reservation

# Of a claimed row `m` of `mails`, in SQL. Labels and names by id, as JSON objects.
FACTS = """
       c.name, c.email, c.language, e.title, e.venue, e.address, e.event_date,
       (SELECT jsonb_object_agg(s.id, s.seat_label) FROM seats s WHERE s.id IN (
           SELECT (item ->> 'seatId')::uuid FROM jsonb_array_elements(m.data -> 'items') item
       )) AS seat_labels,
       (SELECT jsonb_object_agg(t.id, t.name) FROM ticket_types t WHERE t.event_id = m.event_id) AS type_names,
       (SELECT f.items FROM refunds f WHERE f.id = (m.data -> 'refund' ->> 'id')::uuid) AS refunded_items
"""
FACTS_FROM = "LEFT JOIN contacts c ON c.user_id = m.user_id LEFT JOIN events e ON e.id = m.event_id"


def find_mails(mails: QuerySet[Mail], term: str) -> QuerySet[Mail]:
    """Those of a reservation, an event or a user, by its id, or by the number of the reservation."""
    try:
        wanted = UUID(term)
    except ValueError:
        return mails.filter(reservation_id__in=Reservation.objects.filter(reservation_number=term.upper()).values("id"))
    return mails.filter(Q(reservation_id=wanted) | Q(event_id=wanted) | Q(user_id=wanted))

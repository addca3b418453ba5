"""Making mails of the messages of the outbox: one for each message and buyer whom it concerns."""

from kernel.db.sql import fetch_all
from mail.services.subscribing import KINDS, SUBSCRIBER, subscribe
from outbox.services import number_messages

BATCH = 500  # messages
FAN_OUT = 5000  # buyers of an event that one statement writes to: a stadium has more than fit into its time limit

# Messages are read in the order of their positions, which skips none, and the position is moved in the same statement. A
# batch ends with the first message that goes to all buyers of an event, and is repeated until all of them have their mail.
# An event's cancellation is told for each reservation that was paid, which the refund then does not tell again.
_COLLECT = """
WITH progress AS MATERIALIZED (
    SELECT p.id, p.position FROM mail_progress p
    WHERE EXISTS (SELECT FROM outbox_subscribers WHERE id = %(subscriber_id)s AND is_active AND kinds = %(kinds)s::varchar[])
    FOR UPDATE
),
ahead AS MATERIALIZED (
    SELECT public_id, kind, event_id, data, position,
           count(*) FILTER (WHERE kind = 'event.moved') OVER (ORDER BY position) AS moves
    FROM (
        SELECT m.public_id, m.kind, m.event_id, m.data, m.position FROM outbox_messages m, progress p
        WHERE m.position > p.position ORDER BY m.position LIMIT %(limit)s
    ) next
),
batch AS MATERIALIZED (SELECT * FROM ahead WHERE moves = 0 OR (moves = 1 AND kind = 'event.moved')),
about_reservation AS (
    SELECT public_id, position, (data ->> 'userId')::uuid AS user_id, event_id,
           (data ->> 'reservationId')::uuid AS reservation_id, data,
           CASE kind
               WHEN 'reservation.confirmed' THEN 'ticket'
               WHEN 'reservation.refund_due' THEN
                   CASE WHEN data -> 'refund' ->> 'reason' IS DISTINCT FROM 'event_cancelled' THEN 'refund_due' END
               WHEN 'reservation.refunded' THEN 'refunded'
               WHEN 'reservation.cancelled' THEN
                   CASE WHEN data ->> 'reason' = 'event_cancelled' AND data ->> 'paymentStatus' = 'completed'
                       THEN 'event_cancelled' END
               WHEN 'waitlist.offered' THEN 'waitlist_offer'
           END AS kind
    FROM batch
),
about_event AS MATERIALIZED (
    SELECT b.public_id, b.position, buyer.user_id, b.event_id, NULL::uuid AS reservation_id, b.data, 'event_moved' AS kind
    FROM batch b CROSS JOIN LATERAL (
        SELECT DISTINCT r.user_id FROM reservations r WHERE r.event_id = b.event_id AND r.status = 'confirmed'
            AND NOT EXISTS (SELECT FROM mails m WHERE m.message_id = b.public_id AND m.user_id = r.user_id)
        LIMIT %(fan_out)s
    ) buyer
    WHERE b.kind = 'event.moved'
      AND greatest((b.data ->> 'eventDate')::timestamptz, (b.data ->> 'previousEventDate')::timestamptz) > now()
),
made AS (
    INSERT INTO mails (message_id, user_id, kind, event_id, reservation_id, data)
    SELECT public_id, user_id, kind, event_id, reservation_id, data
    FROM (SELECT * FROM about_reservation WHERE kind IS NOT NULL UNION ALL SELECT * FROM about_event) meant
    ORDER BY position
    ON CONFLICT DO NOTHING RETURNING 1
),
moved AS (
    UPDATE mail_progress p SET position = (SELECT max(position) FROM batch) FROM progress
    WHERE p.id = progress.id AND EXISTS (SELECT FROM batch) AND (SELECT count(*) FROM about_event) < %(fan_out)s
    RETURNING p.position
)
SELECT (SELECT count(*) FROM made) AS made,
       (SELECT max(position) FROM ahead) IS NOT DISTINCT FROM (SELECT position FROM moved)
           AND (SELECT count(*) FROM ahead) < %(limit)s AS is_done
FROM progress
"""


def collect() -> int:
    """Makes the mails of everything that has committed. Returns how many. Safe at once in many processes."""
    number_messages()
    wanted = {"subscriber_id": SUBSCRIBER, "kinds": KINDS, "limit": BATCH, "fan_out": FAN_OUT}
    total = 0
    while True:
        rows: list[dict[str, int]] = fetch_all(_COLLECT, wanted)
        if not rows:  # mail was off until now
            subscribe()
            return total
        total += rows[0]["made"]
        if rows[0]["is_done"]:
            return total

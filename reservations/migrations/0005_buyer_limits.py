"""What a buyer has of an event, read while no other request of the same buyer can add to it: see `services.buyer_limits`."""

from django.db import migrations, models

# A VOLATILE function takes a new snapshot for each of its queries, so that after the wait for the lock it sees what the
# requests before it have committed; the statement that calls it would not. The lock is the transaction's, and is released
# once its rows are visible. A hash that two buyers share makes them take turns, and nothing else.
#
# Plans are made once for each connection, maybe when the tables are empty, and must not read from end to end what has
# thousands of rows later. So no plan scans a whole table, no index serves `IS NOT DISTINCT FROM` (PostgreSQL would read all
# reservations of the event, not those of the buyer), and no join reorders what stands in a subquery.
FORWARD = """
CREATE FUNCTION lock_buyer(
    buyer uuid, event uuid, wanted_seats uuid[],
    relock_seconds double precision, hold_seconds double precision, window_seconds double precision,
    most_unpaid_seconds double precision,
    OUT held bigint, OUT has_overdue boolean,
    OUT closed_seat uuid, OUT closed_seconds double precision, OUT unpaid_seconds double precision
) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
DECLARE
    window_begins timestamptz := now() - make_interval(secs => window_seconds);
    has_released boolean;
    first_unpaid timestamptz;
    last_unpaid timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(uuid_hash_extended(buyer, uuid_hash_extended(event, 0)));

    held := 0;
    has_overdue := false;
    unpaid_seconds := hold_seconds;
    PERFORM FROM reservations r WHERE r.user_id = buyer AND r.event_id IS NOT DISTINCT FROM event LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    SELECT coalesce(sum((
               SELECT sum(i.quantity) FROM reservation_items i WHERE i.reservation_id = r.id AND i.is_live
           )) FILTER (WHERE r.status IN ('pending', 'confirmed')), 0),
           coalesce(bool_or(r.status = 'pending' AND r.deadline <= now()), false),
           coalesce(bool_or(
               r.status IN ('cancelled', 'expired') AND r.payment_id IS NULL OR r.dropped_seats IS NOT NULL
           ), false),
           min(greatest(r.created_at, window_begins)) FILTER (WHERE r.status <> 'confirmed' AND r.payment_id IS NULL),
           max(least(r.deadline, r.created_at + make_interval(secs => window_seconds)))
               FILTER (WHERE r.status <> 'confirmed' AND r.payment_id IS NULL)
    INTO held, has_overdue, has_released, first_unpaid, last_unpaid
    FROM reservations r WHERE r.user_id = buyer AND r.event_id IS NOT DISTINCT FROM event;

    IF has_released THEN
        SELECT closed.seat_id, extract(epoch FROM closed.moment - now()) + relock_seconds INTO closed_seat, closed_seconds
        FROM (
            SELECT i.seat_id, least(r.updated_at, r.deadline) AS moment
            FROM reservations r, LATERAL (SELECT seat_id FROM reservation_items WHERE reservation_id = r.id OFFSET 0) i
            WHERE r.user_id = buyer AND r.event_id IS NOT DISTINCT FROM event
              AND r.status IN ('cancelled', 'expired') AND r.payment_id IS NULL
            UNION ALL
            SELECT dropped.key::uuid, dropped.value::timestamptz
            FROM reservations r, jsonb_each_text(r.dropped_seats) dropped
            WHERE r.user_id = buyer AND r.event_id IS NOT DISTINCT FROM event AND r.dropped_seats IS NOT NULL
        ) closed
        WHERE closed.seat_id = ANY(wanted_seats) AND closed.moment > now() - make_interval(secs => relock_seconds)
        ORDER BY closed.moment DESC LIMIT 1;
    END IF;

    -- Of most buyers even the time from the first hold to the end of the last is within the bound.
    unpaid_seconds := extract(epoch FROM greatest(last_unpaid, now() + make_interval(secs => hold_seconds))
                                         - least(first_unpaid, now()));
    IF unpaid_seconds <= most_unpaid_seconds THEN
        RETURN;
    END IF;

    -- Times that overlap count once. A hold that is still pending may last until its deadline, and so may the new one. None
    -- counts for longer than the window: another writer's deadline may be years away.
    SELECT sum(extract(epoch FROM upper(span) - lower(span))) INTO unpaid_seconds
    FROM unnest((
        SELECT range_agg(tstzrange(hold.began, hold.ended)) FROM (
            SELECT now() AS began, now() + make_interval(secs => hold_seconds) AS ended
            UNION ALL
            SELECT greatest(r.created_at, window_begins),
                   least(
                       r.deadline, r.created_at + make_interval(secs => window_seconds),
                       CASE WHEN r.status <> 'pending' THEN r.updated_at END
                   )
            FROM reservations r
            WHERE r.user_id = buyer AND r.event_id IS NOT DISTINCT FROM event
              AND r.status <> 'confirmed' AND r.payment_id IS NULL
        ) hold WHERE hold.began < hold.ended
    )) span;
    unpaid_seconds := coalesce(unpaid_seconds, 0);
END $$;
"""

BACKWARD = "DROP FUNCTION lock_buyer;"


class Migration(migrations.Migration):
    dependencies = [("reservations", "0004_responses_are_kept"), ("events", "0002_max_tickets_per_buyer")]

    operations = [
        migrations.AddField(
            model_name="reservation",
            name="dropped_seats",
            field=models.JSONField(editable=False, null=True),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]

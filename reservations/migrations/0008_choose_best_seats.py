"""The best available seats for a buyer, chosen and locked while no other request for the best seats of the event is: see
`services.reserving_best_seats`.
"""

from django.db import migrations

# A VOLATILE function takes a new snapshot for each of its queries: after the wait for the lock it sees what the requests
# before it have committed, so that each gets other seats at the first try. Whoever has this lock waits for no row, since a
# buyer who has locked seats may wait for it (`orphans_left`): a seat that somebody is just locking counts as taken. If that
# leaves nothing, it is worth to wait a moment for what becomes of it.
#
# The seats that are closed to the buyer are those of `lock_buyer` (migration 0005), for the same reasons written so.
FORWARD = """
CREATE FUNCTION choose_best_seats(
    buyer uuid, event uuid, quantity int, wanted_section text, most_price int, wants_accessible boolean,
    relock_seconds double precision
) RETURNS uuid[] LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
DECLARE
    tries int := 20;
    closed uuid[];
    taken uuid[] := '{}';
    choice uuid[];
    locked uuid[];
BEGIN
    PERFORM pg_advisory_xact_lock(uuid_hash_extended(event, 1));

    SELECT coalesce(array_agg(c.seat_id), '{}') INTO closed FROM (
        SELECT i.seat_id, least(r.updated_at, r.deadline) AS moment
        FROM reservations r, LATERAL (SELECT seat_id FROM reservation_items WHERE reservation_id = r.id OFFSET 0) i
        WHERE r.user_id = buyer AND r.event_id IS NOT DISTINCT FROM event
          AND r.status IN ('cancelled', 'expired') AND r.payment_id IS NULL
        UNION ALL
        SELECT dropped.key::uuid, dropped.value::timestamptz
        FROM reservations r, jsonb_each_text(r.dropped_seats) dropped
        WHERE r.user_id = buyer AND r.event_id IS NOT DISTINCT FROM event AND r.dropped_seats IS NOT NULL
    ) c WHERE c.seat_id IS NOT NULL AND c.moment > now() - make_interval(secs => relock_seconds);

    LOOP
        SELECT b.chosen INTO choice FROM best_seats(
            event, quantity, wanted_section, most_price, wants_accessible, closed, taken, '{}', 0, 0, true
        ) b;
        IF choice IS NULL THEN
            IF taken = '{}' OR tries = 0 THEN
                RETURN NULL;
            END IF;
            PERFORM pg_sleep(0.01);
            tries := tries - 1;
            taken := '{}';
            CONTINUE;
        END IF;
        locked := ARRAY(
            SELECT s.id FROM seats s WHERE s.id = ANY(choice) AND s.status = 'available' AND NOT EXISTS (
                SELECT FROM reservation_items i WHERE i.seat_id = s.id AND i.is_live
            ) ORDER BY s.id FOR UPDATE SKIP LOCKED
        );
        IF cardinality(locked) = quantity THEN
            RETURN choice;
        END IF;
        taken := taken || ARRAY(SELECT unnest(choice) EXCEPT SELECT unnest(locked));
    END LOOP;
END $$;
"""

BACKWARD = "DROP FUNCTION choose_best_seats"


class Migration(migrations.Migration):
    dependencies = [("reservations", "0007_refunds_until_now"), ("seats", "0003_best_seats")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]

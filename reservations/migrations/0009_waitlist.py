"""The waiting list, and the function that makes its offers: see `services.offering`."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

# Like `lock_buyer` (0005), this is a VOLATILE function: each of its queries has a snapshot of its own, and so sees what the
# calling statement has released, and what the offers before this one have taken. Offers for one event take turns, by an
# advisory lock that is taken after the locks on rows and before those of buyers. Whoever holds it waits for no row: seats
# that others have locked are skipped. So it is always the first in order to whom places are offered.
#
# Only places that the caller names are offered, for which it holds the rows; with them, for somebody who wants several
# seats, others that are free. NULL: all that are free.
#
# Those who cannot have the places are passed over, and keep their position: too many are wanted, another section or ticket
# type, or more than the buyer may have. A waiting list may be long, so what has found no place is not tried again.
FORWARD = """
ALTER TABLE waitlist_entries SET (autovacuum_analyze_threshold = 5000);

CREATE FUNCTION new_reservation_number() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT 'TK' || floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
           || string_agg(substr('ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789', 1 + get_byte(random.bytes, place) % 36, 1), '')
    FROM (SELECT uuid_send(gen_random_uuid()) AS bytes OFFSET 0) random, generate_series(0, 4) place
$$;

-- Neighbours, of the fewest that are free side by side; or else seats of one row, or of one section.
CREATE FUNCTION pick_seats(free seats[], wanted_section text, wanted integer, closed uuid[]) RETURNS uuid[]
LANGUAGE sql STABLE AS $$
    SELECT array_agg(id) FROM (
        SELECT id FROM (
            SELECT *, count(*) OVER (PARTITION BY section, row_number, block, island) AS together,
                   count(*) OVER (PARTITION BY section, row_number) AS in_row, count(*) OVER (PARTITION BY section) AS in_section
            FROM (
                SELECT *, position - row_number() OVER (
                    PARTITION BY section, row_number, block ORDER BY position
                ) AS island
                FROM (
                    SELECT s.id, s.section, s.row_number, s.seat_number, s.block,
                           CASE s.block WHEN 0 THEN s.seat_number ELSE s.position END AS position
                    FROM unnest(free) s
                    WHERE (wanted_section IS NULL OR s.section = wanted_section) AND s.id <> ALL(closed)
                ) placed
            ) found
        ) counted
        ORDER BY together < wanted, CASE WHEN together >= wanted THEN together END, in_row < wanted, in_section < wanted,
                 section, row_number, seat_number
        LIMIT wanted
    ) picked
$$;

-- Whether somebody waits, to whom places of the event may be due.
CREATE FUNCTION is_waited_for(event uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM events e JOIN waitlist_entries w ON w.event_id = e.id AND w.status = 'waiting'
        WHERE e.id = event AND e.has_waitlist
    );
END $$;

-- The offers that it has made, {reservation, items, seats, stock}; NULL if there is none. `has_released`: the places were
-- released by the calling statement, which waits for its turn even if nobody seems to wait yet.
CREATE FUNCTION offer_places(event uuid, named_seats uuid[], named_types uuid[], terms jsonb, has_released boolean)
RETURNS jsonb LANGUAGE plpgsql VOLATILE COST 10000 SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    reservation reservations;
    items jsonb;
    seats jsonb;
    stock jsonb;
    made jsonb[] := '{}';
    subscribed text[] := ARRAY(SELECT unnest(s.kinds) FROM outbox_subscribers s WHERE s.is_active);
    most_offers constant integer := CASE WHEN named_seats IS NULL THEN 100 END;  -- of one call
    hold_seconds constant double precision := terms->>'hold_seconds';
    relock_seconds constant double precision := terms->>'relock_seconds';
    window_seconds constant double precision := terms->>'window_seconds';
    unpaid_seconds constant double precision := coalesce((terms->>'unpaid_seconds')::double precision, 'Infinity');
    max_tickets integer;
    free seats[] := '{}';
    wish waitlist_entries;
    wanted text;
    fruitless jsonb := '{}';  -- by what is wanted: how many of it have found no place
    picked uuid[];
    locked uuid[];
    closed uuid[];
    chosen ticket_types;
    total bigint;
    buyer record;
BEGIN
    IF NOT has_released AND NOT is_waited_for(event) THEN
        RETURN NULL;
    END IF;
    IF named_seats IS NULL THEN
        PERFORM FROM ticket_types t WHERE t.event_id = event AND t.available_quantity > 0 ORDER BY t.id FOR UPDATE;
        named_types := ARRAY(SELECT t.id FROM ticket_types t WHERE t.event_id = event AND t.available_quantity > 0);
    END IF;
    PERFORM pg_advisory_xact_lock(uuid_hash_extended(event, 1));

    SELECT coalesce(e.max_tickets_per_buyer, (terms->>'max_tickets')::integer) INTO max_tickets
    FROM events e WHERE e.id = event;
    IF named_seats IS NULL OR named_seats <> '{}' AND EXISTS (
        SELECT FROM waitlist_entries w
        WHERE w.event_id = event AND w.status = 'waiting' AND w.quantity > 1 AND w.ticket_type_id IS NULL
    ) THEN
        free := ARRAY(
            SELECT found.seat FROM (
                SELECT s AS seat, row_number() OVER (PARTITION BY s.section ORDER BY s.row_number, s.seat_number) AS place
                FROM seats s WHERE s.event_id = event AND s.status = 'available'
            ) found WHERE found.place <= 200 OR (found.seat).id = ANY(named_seats)
        );
    ELSIF named_seats <> '{}' THEN
        free := ARRAY(SELECT s FROM seats s WHERE s.id = ANY(named_seats) AND s.status = 'available');
    END IF;

    FOR wish IN SELECT * FROM waitlist_entries w WHERE w.event_id = event AND w.status = 'waiting' ORDER BY w.id LOOP
        EXIT WHEN cardinality(made) >= most_offers OR free = '{}' AND named_types = '{}';
        wanted := coalesce('seats ' || wish.section, 'tickets ' || wish.ticket_type_id, 'any');
        CONTINUE WHEN wish.quantity >= (fruitless->>wanted)::integer;
        closed := '{}';
        LOOP
            picked := '{}';
            chosen := NULL;
            IF wish.ticket_type_id IS NULL AND free <> '{}' THEN
                picked := coalesce(pick_seats(free, wish.section, wish.quantity, closed), '{}');
            END IF;
            IF cardinality(picked) = wish.quantity THEN
                -- A seat whose status says available may be in a live reservation that another writer has made.
                locked := ARRAY(
                    SELECT s.id FROM seats s WHERE s.id = ANY(picked) AND s.status = 'available' AND NOT EXISTS (
                        SELECT FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id
                        WHERE i.seat_id = s.id AND i.is_live AND r.status IN ('pending', 'confirmed')
                    ) ORDER BY s.id FOR UPDATE OF s SKIP LOCKED
                );
                IF cardinality(locked) < wish.quantity THEN
                    free := ARRAY(SELECT s FROM unnest(free) s WHERE s.id <> ALL(picked) OR s.id = ANY(locked));
                    CONTINUE;
                END IF;
                SELECT sum(s.price) INTO total FROM seats s WHERE s.id = ANY(picked);
            ELSE
                picked := '{}';
                IF wish.section IS NULL THEN
                    SELECT * INTO chosen FROM ticket_types t
                    WHERE t.id = ANY(named_types) AND t.event_id = event AND t.available_quantity >= wish.quantity
                      AND (wish.ticket_type_id IS NULL OR t.id = wish.ticket_type_id)
                    ORDER BY t.price, t.id LIMIT 1 FOR UPDATE SKIP LOCKED;
                END IF;
                IF chosen.id IS NULL THEN
                    IF closed = '{}' THEN
                        fruitless := fruitless || jsonb_build_object(wanted, wish.quantity);
                    END IF;
                    EXIT;
                END IF;
                total := chosen.price::bigint * wish.quantity;
            END IF;

            buyer := lock_buyer(
                wish.user_id, event, picked, relock_seconds, hold_seconds, window_seconds, unpaid_seconds
            );
            IF buyer.closed_seat IS NOT NULL THEN
                closed := closed || buyer.closed_seat;
                CONTINUE;
            END IF;
            EXIT WHEN buyer.held + wish.quantity > max_tickets OR buyer.unpaid_seconds > unpaid_seconds
                      OR total > 2147483647;

            BEGIN
                INSERT INTO reservations (user_id, event_id, reservation_number, total_amount, expires_at, held_until)
                SELECT wish.user_id, event, new_reservation_number(), total,
                       CASE WHEN chosen.id IS NULL THEN deadline END, CASE WHEN chosen.id IS NOT NULL THEN deadline END
                FROM (SELECT now() + make_interval(secs => hold_seconds) AS deadline) hold
                RETURNING * INTO reservation;
            EXCEPTION WHEN foreign_key_violation THEN  -- the Auth Service no longer has this user
                UPDATE waitlist_entries SET status = 'left', updated_at = now() WHERE id = wish.id;
                EXIT;
            END;

            IF chosen.id IS NULL THEN
                -- Items of reservations that this statement has ended: the trigger that follows them has yet to run.
                UPDATE reservation_items i SET is_live = false WHERE i.seat_id = ANY(picked) AND i.is_live;
                WITH taken AS (
                    UPDATE seats s SET status = 'locked', updated_at = now() WHERE s.id = ANY(picked)
                    RETURNING s.id, s.price, nextval('change_number') AS change
                ),
                inserted AS (
                    INSERT INTO reservation_items (reservation_id, seat_id, quantity, unit_price, subtotal, is_live)
                    SELECT reservation.id, t.id, 1, t.price, t.price, true FROM taken t
                )
                SELECT jsonb_object_agg(t.id, t.change), '[]', jsonb_agg(jsonb_build_object(
                    'seatId', t.id, 'ticketTypeId', NULL, 'quantity', 1, 'unitPrice', t.price) ORDER BY t.id)
                INTO seats, stock, items FROM taken t;
                free := ARRAY(SELECT s FROM unnest(free) s WHERE s.id <> ALL(picked));
            ELSE
                INSERT INTO reservation_items (reservation_id, ticket_type_id, quantity, unit_price, subtotal, is_live)
                VALUES (reservation.id, chosen.id, wish.quantity, chosen.price, total, true);
                UPDATE ticket_types t SET available_quantity = t.available_quantity - wish.quantity, updated_at = now()
                WHERE t.id = chosen.id
                RETURNING jsonb_build_array(jsonb_build_object(
                    'id', t.id, 'available_quantity', t.available_quantity, 'total_quantity', t.total_quantity,
                    'change', nextval('change_number')
                )) INTO stock;
                seats := '{}';
                items := jsonb_build_array(jsonb_build_object(
                    'seatId', NULL, 'ticketTypeId', chosen.id, 'quantity', wish.quantity, 'unitPrice', chosen.price));
            END IF;

            UPDATE waitlist_entries SET status = 'offered', reservation_id = reservation.id, updated_at = now()
            WHERE id = wish.id;
            -- As `outbox.sql.record` and `reservation_data` do it.
            INSERT INTO outbox_messages (kind, subject_id, event_id, data)
            SELECT told.kind, reservation.id, event, jsonb_build_object(
                'reservationId', reservation.id, 'reservationNumber', reservation.reservation_number,
                'userId', reservation.user_id, 'eventId', event, 'status', reservation.status,
                'paymentStatus', reservation.payment_status, 'totalAmount', reservation.total_amount,
                'paymentId', reservation.payment_id, 'deadline', reservation.deadline, 'items', items
            )
            FROM unnest(ARRAY['reservation.created', 'waitlist.offered']) WITH ORDINALITY AS told (kind, place)
            WHERE told.kind = ANY(subscribed) ORDER BY told.place;
            made := array_append(made, jsonb_build_object(
                'reservation', to_jsonb(reservation), 'items', items, 'seats', seats, 'stock', stock
            ));
            EXIT;
        END LOOP;
    END LOOP;
    RETURN CASE WHEN made <> '{}' THEN to_jsonb(made) END;
END $$;
"""

BACKWARD = """
DROP FUNCTION offer_places;
DROP FUNCTION is_waited_for;
DROP FUNCTION pick_seats;
DROP FUNCTION new_reservation_number;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0006_has_waitlist"),
        ("reservations", "0008_choose_best_seats"),
        ("seats", "0003_best_seats"),
        ("tickets", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="WaitlistEntry",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("user_id", models.UUIDField(verbose_name="user")),
                ("quantity", models.IntegerField(verbose_name="quantity")),
                ("section", models.CharField(max_length=50, null=True, verbose_name="section")),
                (
                    "status",
                    models.CharField(
                        choices=[("waiting", "waiting"), ("offered", "offered"), ("left", "left")],
                        db_default="waiting",
                        max_length=10,
                        verbose_name="status",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        verbose_name="waiting since",
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        auto_now=True, db_default=django.db.models.functions.datetime.Now(), verbose_name="last changed"
                    ),
                ),
                (
                    "event",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="waitlist",
                        to="events.event",
                        verbose_name="event",
                    ),
                ),
                (
                    "reservation",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="reservations.reservation",
                        verbose_name="reservation",
                    ),
                ),
                (
                    "ticket_type",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tickets.tickettype",
                        verbose_name="ticket type",
                    ),
                ),
            ],
            options={
                "verbose_name": "waiting list entry",
                "verbose_name_plural": "waiting list",
                "db_table": "waitlist_entries",
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "waiting")), fields=["event", "id"], name="waitlist_in_order"
                    ),
                    models.Index(fields=["user_id", "event", "-id"], name="waitlist_by_user"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status", "waiting")),
                        fields=("event", "user_id"),
                        name="waits_once_for_an_event",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["waiting", "offered", "left"])), name="waitlist_status_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("reservation__isnull", False), ("status", "offered")),
                            models.Q(models.Q(("status", "offered"), _negated=True), ("reservation__isnull", True)),
                            _connector="OR",
                        ),
                        name="waitlist_offer_is_a_reservation",
                    ),
                    models.CheckConstraint(condition=models.Q(("quantity__gt", 0)), name="waitlist_quantity_positive"),
                    models.CheckConstraint(
                        condition=models.Q(("section__isnull", True), ("ticket_type__isnull", True), _connector="OR"),
                        name="waitlist_section_or_ticket_type",
                    ),
                ],
            },
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]

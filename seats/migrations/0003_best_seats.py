"""Choosing seats: the best available ones, and whether a buyer's choice leaves a single one over."""

from django.db import migrations

# `cost` is the square of the distance to (x0, y0): of two choices of as many neighbours, the one whose middle is nearer has
# the lower sum. Sums run through a row, so that the sum of neighbours is a difference. Whoever knows only the plan's columns
# adds seats with block 0, whose neighbours have consecutive numbers.
#
# `taken` are seats that count as taken, and `freed` as available. `closed` ones are available, but not wanted.
#
# One row first: `from_here` is the choice that begins with a seat. Otherwise two: `part` has, of each run of available
# neighbours, the best choice of each size for which another run may have the rest. Orphans and costs of two parts are sums,
# and so the two best parts are the best pair; if both are of one run, the second best of either is in it.
#
# Where many are available, only the rows of the nearest seats are looked at first. That is enough if a choice there leaves
# no orphan, and is nearer than all seats of other rows.
BEST_SEATS = """
CREATE FUNCTION best_seats(
    event uuid, quantity int, wanted_section text, most_price int, wants_accessible boolean,
    closed uuid[], taken uuid[], freed uuid[], x0 double precision, y0 double precision, may_split boolean,
    OUT chosen uuid[], OUT orphans int
) LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_indexscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    looks_near boolean := true;
    is_best boolean;
BEGIN
  LOOP
    WITH seat AS MATERIALIZED (
        SELECT s.id, s.section, s.row_number, s.block, CASE s.block WHEN 0 THEN s.seat_number ELSE s.position END AS position,
               (s.x - x0) * (s.x - x0) + (s.y - y0) * (s.y - y0) AS cost,
               (wanted_section IS NULL OR s.section = wanted_section) AND (most_price IS NULL OR s.price <= most_price)
                   AND s.accessible = wants_accessible AND s.id <> ALL(closed) AS is_wanted
        FROM seats s
        WHERE s.event_id = event AND (s.status = 'available' OR s.id = ANY(freed)) AND s.id <> ALL(taken)
    ),
    nearest AS MATERIALIZED (
        SELECT section, row_number, block, cost FROM seat
        WHERE looks_near AND is_wanted AND (SELECT count(*) FROM seat) > 1500 ORDER BY cost LIMIT 300
    ),
    numbered AS MATERIALIZED (
        SELECT *, position - row_number() OVER along AS run, sum(cost) OVER along AS cost_to,
               count(*) FILTER (WHERE is_wanted) OVER along AS wanted_to
        FROM seat WHERE NOT EXISTS (SELECT FROM nearest)
            OR (section, row_number, block) IN (SELECT section, row_number, block FROM nearest)
        WINDOW along AS (PARTITION BY section, row_number, block ORDER BY position ROWS UNBOUNDED PRECEDING)
    ),
    from_here AS (
        SELECT section, row_number, block, position, run, lead(run, quantity - 1) OVER along AS run_of_last,
               (lag(run) OVER along IS NOT DISTINCT FROM run AND lag(run, 2) OVER along IS DISTINCT FROM run)::int
                   + (lead(run, quantity) OVER along IS NOT DISTINCT FROM run
                        AND lead(run, quantity + 1) OVER along IS DISTINCT FROM run)::int
                   AS orphans,
               lead(cost_to, quantity - 1) OVER along - cost_to + cost AS cost,
               lead(wanted_to, quantity - 1) OVER along - wanted_to + is_wanted::int AS wanted
        FROM numbered WINDOW along AS (PARTITION BY section, row_number, block ORDER BY position)
    ),
    whole AS MATERIALIZED (
        SELECT section, row_number, block, position, orphans, cost FROM from_here
        WHERE run_of_last = run AND wanted = quantity
        ORDER BY orphans, cost, section COLLATE "C", row_number, position LIMIT 1
    ),
    runs AS MATERIALIZED (
        SELECT section, row_number, block, run, count(*)::int AS length, array_agg(id ORDER BY position) AS ids,
               min(cost_to - cost) AS cost_before, array_agg(cost_to ORDER BY position) AS costs,
               min(wanted_to - is_wanted::int) AS wanted_before, array_agg(wanted_to ORDER BY position) AS wanted
        FROM numbered
        WHERE may_split AND quantity > 1 AND NOT EXISTS (SELECT FROM whole) AND NOT EXISTS (SELECT FROM nearest)
        GROUP BY section, row_number, block, run
    ),
    part AS MATERIALIZED (
        SELECT DISTINCT ON (section, row_number, block, run, size)
               section, row_number, block, run, size, ids[n:n + size - 1] AS ids,
               (n = 2)::int + (length - n - size = 0)::int AS orphans,
               costs[n + size - 1] - coalesce(costs[n - 1], cost_before) AS cost
        FROM runs,
            generate_series(greatest(1, quantity - (SELECT max(length) FROM runs)), least(length, quantity - 1)) size,
            generate_series(1, length - size + 1) n
        WHERE wanted[n + size - 1] - coalesce(wanted[n - 1], wanted_before) = size
        ORDER BY section, row_number, block, run, size, orphans, cost, n
    ),
    best AS MATERIALIZED (
        SELECT * FROM (
            SELECT *, row_number() OVER (PARTITION BY size ORDER BY orphans, cost, section COLLATE "C", row_number, run) AS rank
            FROM part
        ) ranked WHERE rank <= 2
    ),
    pair AS (
        SELECT 0 AS apart, p.ids || o.ids AS ids, p.orphans + o.orphans AS orphans, p.cost + o.cost AS cost,
               p.section, p.row_number, p.run, p.size
        FROM part p JOIN part o ON o.section = p.section AND o.row_number = p.row_number + 1 AND o.block = p.block
            AND o.size = quantity - p.size
        UNION ALL
        SELECT 1, p.ids || o.ids, p.orphans + o.orphans, p.cost + o.cost, p.section, p.row_number, p.run, p.size
        FROM best p JOIN best o ON o.size = quantity - p.size
            AND (o.section, o.row_number, o.block, o.run) > (p.section, p.row_number, p.block, p.run)
    )
    SELECT found.ids, found.orphans, coalesce(found.is_best, NOT EXISTS (SELECT FROM nearest))
    INTO chosen, orphans, is_best FROM (SELECT) always LEFT JOIN (
        SELECT (
            SELECT array_agg(n.id ORDER BY n.position) FROM numbered n
            WHERE n.section = w.section AND n.row_number = w.row_number AND n.block = w.block
              AND n.position BETWEEN w.position AND w.position + quantity - 1
        ) AS ids, orphans, orphans = 0 AND cost < quantity * (SELECT max(cost) FROM nearest)
            OR NOT EXISTS (SELECT FROM nearest) AS is_best
        FROM whole w
        UNION ALL (
            SELECT ids, orphans, true FROM pair
            ORDER BY apart, orphans, cost, section COLLATE "C", row_number, run, size DESC LIMIT 1
        )
    ) found ON true;
    EXIT WHEN is_best;
    looks_near := false;
  END LOOP;
END $$;
"""

# For an event that forbids orphans: what is left alone when a buyer who has `own` seats gets `wanted` instead, and the seats
# nearest to them that leave none, {"orphans": [{id, seat_label}], "choice": [{id, seat_label, price}]}; NULL if nothing is, or the buyer has no other
# way. Those who choose seats of one event take turns here until they have committed: two choices that are harmless each may
# leave an orphan together.
ORPHANS_LEFT = """
CREATE FUNCTION orphans_left(event uuid, wanted uuid[], own uuid[]) RETURNS jsonb LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    alone jsonb;
    choice uuid[];
    left_over int;
BEGIN
    PERFORM pg_advisory_xact_lock(uuid_hash_extended(event, 1));

    WITH around AS (
        SELECT s.id, s.seat_label, s.section, s.row_number, s.block,
               CASE s.block WHEN 0 THEN s.seat_number ELSE s.position END AS position,
               s.status = 'available' AS was_free,
               (s.status = 'available' OR s.id = ANY(own)) AND s.id <> ALL(wanted) AS is_free
        FROM seats s JOIN (
            SELECT DISTINCT section, row_number FROM seats WHERE id = ANY(wanted || own)
        ) changed USING (section, row_number)
        WHERE s.event_id = event AND (s.status = 'available' OR s.id = ANY(own))
    ),
    beside AS (
        SELECT *, lag(position) OVER along = position - 1 AS has_left, lead(position) OVER along = position + 1 AS has_right,
               lag(was_free) OVER along AS left_was_free, lead(was_free) OVER along AS right_was_free,
               lag(is_free) OVER along AS left_is_free, lead(is_free) OVER along AS right_is_free
        FROM around WINDOW along AS (PARTITION BY section, row_number, block ORDER BY position)
    )
    SELECT jsonb_agg(jsonb_build_object('id', id, 'seat_label', seat_label) ORDER BY section, row_number, position) INTO alone
    FROM beside
    WHERE is_free AND (has_left AND left_is_free OR has_right AND right_is_free) IS NOT TRUE
      AND NOT (was_free AND (has_left AND left_was_free OR has_right AND right_was_free) IS NOT TRUE);
    IF alone IS NULL THEN
        RETURN NULL;
    END IF;

    SELECT b.chosen, b.orphans INTO choice, left_over FROM (
        SELECT CASE WHEN min(section) = max(section) THEN min(section) END AS section, max(price) AS price,
               bool_or(accessible) AS accessible, avg(x) AS x, avg(y) AS y
        FROM seats WHERE id = ANY(wanted)
    ) p, best_seats(
        event, cardinality(wanted), p.section, p.price, p.accessible, '{}', '{}', own, p.x, p.y, false
    ) b;
    IF choice IS NULL OR left_over > 0 THEN
        RETURN NULL;
    END IF;
    RETURN jsonb_build_object('orphans', alone, 'choice', (
        SELECT jsonb_agg(jsonb_build_object('id', s.id, 'seat_label', s.seat_label, 'price', s.price) ORDER BY c.place)
        FROM unnest(choice) WITH ORDINALITY c (id, place) JOIN seats s USING (id)
    ));
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("seats", "0002_places")]

    operations = [
        migrations.RunSQL(BEST_SEATS, "DROP FUNCTION best_seats"),
        migrations.RunSQL(ORPHANS_LEFT, "DROP FUNCTION orphans_left"),
    ]

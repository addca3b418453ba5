"""Triggers for invariants that constraints cannot express. They hold for every writer.

- `reservation_items.is_live` follows `reservations.status`. Our own inserts set it, and the trigger does not run for them.
- A seat that is locked or sold belongs to a live reservation. Checked at commit, so that writers may use any order.
- Statistics are not made of a table with a handful of rows: the plans that follow from them, prepared for every connection,
  would read it from end to end when it has thousands. Without any, PostgreSQL expects more rows, and uses the indexes.
- Every user exists, where `auth_schema.users` is in this database (see reservations.apps).
"""

from django.db import migrations

FORWARD = """
ALTER TABLE reservations SET (autovacuum_analyze_threshold = 5000);
ALTER TABLE reservation_items SET (autovacuum_analyze_threshold = 5000);
ALTER TABLE idempotency_keys SET (autovacuum_analyze_threshold = 5000);

CREATE FUNCTION fill_item_is_live() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT r.status IN ('pending', 'confirmed') INTO NEW.is_live FROM reservations r WHERE r.id = NEW.reservation_id;
    RETURN NEW;
END $$;

CREATE TRIGGER item_is_live_filled BEFORE INSERT ON reservation_items
    FOR EACH ROW WHEN (NEW.is_live IS NULL) EXECUTE FUNCTION fill_item_is_live();

CREATE FUNCTION follow_reservation_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE reservation_items SET is_live = NEW.status IN ('pending', 'confirmed') WHERE reservation_id = NEW.id;
    RETURN NULL;
END $$;

CREATE TRIGGER items_follow_reservation AFTER UPDATE OF status ON reservations
    FOR EACH ROW WHEN ((OLD.status IN ('pending', 'confirmed')) <> (NEW.status IN ('pending', 'confirmed')))
    EXECUTE FUNCTION follow_reservation_status();

CREATE FUNCTION refuse_ownerless_seat(checked uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM seats s WHERE s.id = checked AND s.status <> 'available')
       AND NOT EXISTS (SELECT FROM reservation_items i WHERE i.seat_id = checked AND i.is_live) THEN
        RAISE EXCEPTION 'seat % is locked or sold, but belongs to no live reservation', checked
            USING ERRCODE = 'check_violation', CONSTRAINT = 'seat_belongs_to_somebody';
    END IF;
END $$;

CREATE FUNCTION check_seat_has_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM refuse_ownerless_seat(NEW.id);
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER seat_belongs_to_somebody AFTER INSERT OR UPDATE OF status ON seats
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.status <> 'available')
    EXECUTE FUNCTION check_seat_has_owner();

CREATE FUNCTION check_item_left_no_seat() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM refuse_ownerless_seat(OLD.seat_id);
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER item_leaves_no_ownerless_seat AFTER UPDATE OF is_live, seat_id OR DELETE ON reservation_items
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.is_live AND OLD.seat_id IS NOT NULL)
    EXECUTE FUNCTION check_item_left_no_seat();
"""

BACKWARD = """
ALTER TABLE idempotency_keys RESET (autovacuum_analyze_threshold);
ALTER TABLE reservation_items RESET (autovacuum_analyze_threshold);
ALTER TABLE reservations RESET (autovacuum_analyze_threshold);
DROP TRIGGER item_leaves_no_ownerless_seat ON reservation_items;
DROP FUNCTION check_item_left_no_seat();
DROP TRIGGER seat_belongs_to_somebody ON seats;
DROP FUNCTION check_seat_has_owner();
DROP FUNCTION refuse_ownerless_seat(uuid);
DROP TRIGGER items_follow_reservation ON reservations;
DROP FUNCTION follow_reservation_status();
DROP TRIGGER item_is_live_filled ON reservation_items;
DROP FUNCTION fill_item_is_live();
"""


class Migration(migrations.Migration):
    dependencies = [("reservations", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]

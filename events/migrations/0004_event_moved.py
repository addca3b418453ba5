"""`event.moved` is recorded by whatever statement changes an event's date or place: the admin's, or another writer's."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION record_event_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox_messages (kind, subject_id, event_id, data)
    SELECT 'event.moved', NEW.id, NEW.id, jsonb_build_object(
        'eventId', NEW.id,
        'eventDate', NEW.event_date, 'venue', NEW.venue, 'address', NEW.address,
        'previousEventDate', OLD.event_date, 'previousVenue', OLD.venue, 'previousAddress', OLD.address)
    WHERE EXISTS (SELECT FROM outbox_subscribers s WHERE s.is_active AND 'event.moved' = ANY(s.kinds));
    RETURN NULL;
END $$;

CREATE TRIGGER event_moved AFTER UPDATE OF event_date, venue, address ON events
    FOR EACH ROW WHEN ((OLD.event_date, OLD.venue, OLD.address) IS DISTINCT FROM (NEW.event_date, NEW.venue, NEW.address))
    EXECUTE FUNCTION record_event_moved();
"""

BACKWARD = """
DROP TRIGGER event_moved ON events;
DROP FUNCTION record_event_moved();
"""


class Migration(migrations.Migration):
    dependencies = [("events", "0003_cancellation_hours"), ("outbox", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]

"""What is owed, and what was given back, before `refunds` was there; and who may say that a refund is done.

A payment that was refused is taken to be refunded: its 409 has told the payment service. So is a reservation that was
cancelled as refunded. Those of cancelled events are due if they were.
"""

from typing import Any

from django.db import migrations

FORWARD = """
UPDATE payments p SET is_first = true FROM (
    SELECT DISTINCT ON (payment_id) id FROM payments ORDER BY payment_id, rejection IS NOT NULL, id
) f WHERE f.id = p.id AND NOT EXISTS (
    SELECT FROM reservations r WHERE r.payment_id = p.payment_id AND r.id <> p.reservation_id
);

INSERT INTO refunds (reservation_id, payment_id, amount, reason, due_at, done_at)
SELECT reservation_id, payment_id, amount,
       CASE WHEN rejection->>'code' = 'RESERVATION_EXPIRED' THEN 'late_payment' ELSE 'payment_refused' END,
       created_at, created_at
FROM payments WHERE is_first AND rejection IS NOT NULL AND amount > 0;

INSERT INTO refunds (reservation_id, payment_id, amount, reason, due_at, done_at)
SELECT id, payment_id, total_amount, CASE WHEN refund_due_at IS NULL THEN 'buyer' ELSE 'event_cancelled' END,
       coalesce(refund_due_at, updated_at), CASE WHEN refund_due_at IS NULL THEN updated_at END
FROM reservations WHERE status = 'cancelled' AND total_amount > 0
    AND (refund_due_at IS NOT NULL OR (payment_id IS NOT NULL AND payment_status = 'refunded'));
"""


def permit_managers(apps: Any, schema_editor: Any) -> None:  # noqa: ARG001 - Django's signature
    """As in migration 0003."""
    content_type, permission = apps.get_model("contenttypes", "ContentType"), apps.get_model("auth", "Permission")
    of_refund, _ = content_type.objects.get_or_create(app_label="reservations", model="refund")
    may, _ = permission.objects.get_or_create(
        content_type=of_refund, codename="change_refund", defaults={"name": "Can change refund"}
    )
    for managers in apps.get_model("auth", "Group").objects.filter(name="Managers"):
        managers.permissions.add(may)


class Migration(migrations.Migration):
    dependencies = [("reservations", "0006_refunds")]

    operations = [
        migrations.RunSQL(FORWARD, "DELETE FROM refunds; UPDATE payments SET is_first = false"),
        migrations.RunPython(permit_managers, migrations.RunPython.noop),
    ]

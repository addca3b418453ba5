"""The first response to a payment, and to a request with an Idempotency-Key, is stored.

Requests of the last day get what their responses are rendered from. A payment that has confirmed a reservation is known by
`reservations.payment_id`, so that `payments` may begin empty.
"""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

RESPONSES = """
UPDATE idempotency_keys k SET response = jsonb_build_object(
    'number', r.reservation_number, 'total', r.total_amount, 'expires_at', r.expires_at, 'seats', coalesce((
        SELECT jsonb_agg(jsonb_build_object('id', s.id, 'seat_label', s.seat_label, 'price', i.unit_price))
        FROM reservation_items i JOIN seats s ON s.id = i.seat_id WHERE i.reservation_id = r.id
    ), '[]')
) FROM reservations r WHERE r.id = k.reservation_id
"""


class Migration(migrations.Migration):
    dependencies = [("reservations", "0003_managers")]

    operations = [
        migrations.CreateModel(
            name="Payment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("payment_id", models.CharField(max_length=255)),
                ("amount", models.IntegerField()),
                ("rejection", models.JSONField(null=True)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "reservation",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="reservations.reservation",
                    ),
                ),
            ],
            options={"db_table": "payments"},
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(fields=("payment_id", "reservation"), name="payment_answered_once"),
        ),
        migrations.AddField(model_name="idempotencykey", name="response", field=models.JSONField(null=True)),
        migrations.RunSQL(RESPONSES, migrations.RunSQL.noop),
    ]

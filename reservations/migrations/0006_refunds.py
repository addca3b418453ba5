"""Refunds, payments that take their time, and the reservation that a payment came for first."""

import django.contrib.postgres.functions
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("reservations", "0005_buyer_limits"),
    ]

    operations = [
        migrations.CreateModel(
            name="Refund",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=django.contrib.postgres.functions.RandomUUID(),
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="refund ID",
                    ),
                ),
                ("payment_id", models.CharField(max_length=255, null=True, verbose_name="payment ID")),
                ("amount", models.IntegerField(verbose_name="amount (won)")),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("buyer", "cancelled by the buyer"),
                            ("organiser", "cancelled by the organiser"),
                            ("event_cancelled", "event cancelled"),
                            ("payment_service", "refunded by the payment service"),
                            ("late_payment", "paid too late"),
                            ("payment_refused", "payment refused"),
                        ],
                        max_length=20,
                        verbose_name="reason",
                    ),
                ),
                ("items", models.JSONField(editable=False, null=True)),
                ("idempotency_key", models.CharField(editable=False, max_length=255, null=True)),
                (
                    "due_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="due since"
                    ),
                ),
                ("done_at", models.DateTimeField(null=True, verbose_name="refunded")),
            ],
            options={
                "verbose_name": "refund",
                "verbose_name_plural": "refunds",
                "db_table": "refunds",
            },
        ),
        migrations.AddField(
            model_name="payment",
            name="is_first",
            field=models.BooleanField(db_default=False),
        ),
        migrations.AddField(
            model_name="reservation",
            name="deadline_before_payment",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="reservation",
            name="payment_began_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="payment begun"),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_first", True)), fields=("payment_id",), name="payment_counts_once"
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="reservation",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="refunds",
                to="reservations.reservation",
                verbose_name="reservation",
            ),
        ),
        migrations.AddIndex(
            model_name="refund",
            index=models.Index(
                condition=models.Q(("done_at__isnull", True)), fields=["due_at", "id"], name="refunds_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="refund_amount_positive"),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "reason__in",
                        ["buyer", "organiser", "event_cancelled", "payment_service", "late_payment", "payment_refused"],
                    )
                ),
                name="refund_reason_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.UniqueConstraint(
                condition=models.Q(("reason__in", ["late_payment", "payment_refused"])),
                fields=("payment_id",),
                name="refused_payment_refunded_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.UniqueConstraint(fields=("reservation", "idempotency_key"), name="part_cancelled_once"),
        ),
    ]

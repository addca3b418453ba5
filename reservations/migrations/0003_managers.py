"""The group of those who may act in the admin; the other staff may look."""

from typing import Any

from django.db import migrations

MANAGERS = "Managers"
MAY = {
    ("events", "event"): ("add", "change"),
    ("events", "seatlayout"): ("add", "change", "delete"),
    ("events", "keywordmapping"): ("add", "change", "delete"),
    ("tickets", "tickettype"): ("add", "change", "delete"),
    ("queueing", "queuepolicy"): ("add", "change", "delete"),
    ("reservations", "reservation"): ("change",),  # confirm, cancel, refund; rows are not edited
}


def make_managers(apps: Any, schema_editor: Any) -> None:  # noqa: ARG001 - Django's signature
    """Django makes permissions after the last migration; those that are needed here are made as it would."""
    content_type, permission = apps.get_model("contenttypes", "ContentType"), apps.get_model("auth", "Permission")
    managers, _ = apps.get_model("auth", "Group").objects.get_or_create(name=MANAGERS)
    for (app, model), verbs in MAY.items():
        of_model, _ = content_type.objects.get_or_create(app_label=app, model=model)
        name = apps.get_model(app, model)._meta.verbose_name
        for verb in verbs:
            may, _ = permission.objects.get_or_create(
                content_type=of_model, codename=f"{verb}_{model}", defaults={"name": f"Can {verb} {name}"}
            )
            managers.permissions.add(may)


class Migration(migrations.Migration):
    dependencies = [
        ("reservations", "0002_integrity"),
        ("events", "0001_initial"),
        ("tickets", "0001_initial"),
        ("queueing", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(make_managers, migrations.RunPython.noop)]

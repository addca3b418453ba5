"""Managers may send a mail again."""

from typing import Any

from django.db import migrations

MANAGERS = "Managers"


def let_managers_send_again(apps: Any, schema_editor: Any) -> None:  # noqa: ARG001 - Django's signature
    """Django makes permissions after the last migration; the one that is needed here is made as it would."""
    content_type, permission = apps.get_model("contenttypes", "ContentType"), apps.get_model("auth", "Permission")
    of_mail, _ = content_type.objects.get_or_create(app_label="mail", model="mail")
    may, _ = permission.objects.get_or_create(
        content_type=of_mail, codename="change_mail", defaults={"name": "Can change mail"}
    )
    for managers in apps.get_model("auth", "Group").objects.filter(name=MANAGERS):
        managers.permissions.add(may)


class Migration(migrations.Migration):
    dependencies = [("mail", "0001_initial"), ("reservations", "0003_managers")]
    operations = [migrations.RunPython(let_managers_send_again, migrations.RunPython.noop)]

from django.apps import AppConfig
from django.contrib.auth.signals import user_login_failed
from django.db.models.signals import pre_delete


class BackofficeConfig(AppConfig):
    name = "kernel.backoffice"

    def ready(self) -> None:
        from django.contrib.auth import get_user_model

        from kernel.backoffice.audit_trail import keep_entries
        from kernel.backoffice.sign_in import record_failure

        pre_delete.connect(keep_entries, sender=get_user_model(), dispatch_uid="kernel.backoffice.keep_entries")
        user_login_failed.connect(record_failure, dispatch_uid="kernel.backoffice.record_failure")

"""`web`: REST, admin and metrics, on a WSGI server with threads."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from kernel.checks import refuse_impossible_settings
from kernel.multiprocess import share_metrics

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketservice.settings")
share_metrics(settings.METRICS_DIR)  # before Django loads the apps
django_application = get_wsgi_application()
refuse_impossible_settings()

from kernel.remembering import Remembering  # noqa: E402 - it counts, too

application = Remembering(django_application)

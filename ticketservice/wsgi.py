"""`web`: REST, admin and metrics, on a WSGI server with threads."""

import ctypes
import gc
import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from kernel.checks import refuse_impossible_settings
from kernel.multiprocess import share_metrics

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketservice.settings")
share_metrics(settings.METRICS_DIR)  # before Django loads the apps
django_application = get_wsgi_application()
refuse_impossible_settings()

from kernel.direct import Direct  # noqa: E402 - these count, too
from kernel.remembering import Remembering  # noqa: E402
from ticketservice.urls import router  # noqa: E402

for needed_later in ("jwt", "ticketservice.celery"):  # which no buyer should have to wait for
    import_module(needed_later)

application = Remembering(Direct(django_application, router.urls))
# What is loaded by now stays: the collector need not look at it again and again, and finds little else.
gc.collect()
gc.freeze()
gc.set_threshold(10_000, 20, 50)
# Seat maps are large. Where glibc once saw a piece of their size freed, each thread would keep some for the next ones.
M_MMAP_THRESHOLD, LARGE_BYTES = -3, 128 * 1024
if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)

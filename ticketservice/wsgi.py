"""`web`: REST, admin and metrics, on a WSGI server with threads."""

# ruff: noqa: E402
import ctypes
import gc
import os
import signal
import threading
from importlib import import_module

# granian gives its workers a handler when this module is loaded. Until then they have the one of their parent, which only
# notes in the worker that it was told to stop: it would begin to serve, and be killed in the middle some seconds later.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from kernel.checks import raise_check_errors, raise_for_invalid_settings
from kernel.observability.multiprocess import share_metrics

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketservice.settings")
share_metrics(settings.METRICS_DIR)  # before Django loads the apps
django_application = get_wsgi_application()
raise_for_invalid_settings()

from kernel.fastpath.checks import FAST_PATH
from kernel.fastpath.handler import FastPathHandler  # these count, too
from kernel.fastpath.response_cache import ResponseCache
from ticketservice.urls import router

raise_check_errors(FAST_PATH)
for needed_later in ("jwt", "ticketservice.celery"):  # which no buyer should have to wait for
    import_module(needed_later)

application = ResponseCache(FastPathHandler(django_application, router.urls), router.urls)
# What is loaded by now stays: the collector need not look at it again and again, and finds little else.
gc.collect()
gc.freeze()
gc.set_threshold(10_000, 20, 50)
# Seat maps are large. Where glibc once saw a piece of their size freed, each thread would keep some for the next ones.
M_MMAP_THRESHOLD, LARGE_BYTES = -3, 128 * 1024
if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)

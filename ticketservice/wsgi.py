"""The application of `web`: REST, admin and metrics. granian runs it over RSGI, and any other server over WSGI."""

# ruff: noqa: E402
import ctypes
import gc
import multiprocessing
import os
import signal
import threading
from importlib import import_module

# granian installs its signal handlers in a worker after this module was loaded. Until then the worker has its parent's
# handler, which only sets a flag: it would start to serve after SIGTERM, and be killed in the middle of requests.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if multiprocessing.parent_process() is not None:  # Ctrl-C: see kernel.http.rsgi
        signal.signal(signal.SIGINT, signal.SIG_IGN)

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from kernel.checks import raise_check_errors, raise_for_invalid_settings
from kernel.observability.multiprocess import share_metrics

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketservice.settings")
share_metrics(settings.METRICS_DIR)  # before Django loads the apps
django_application = get_wsgi_application()
raise_for_invalid_settings()

from kernel.fastpath.checks import FAST_PATH
from kernel.fastpath.handler import FastPathHandler  # imported late: these use prometheus_client
from kernel.fastpath.response_cache import ResponseCache
from kernel.http.rsgi import ThreadedApplication
from shop.gate import CookieGate
from ticketservice.urls import router

raise_check_errors(FAST_PATH)
# Or the first request that needs them would wait.
for lazy_module in ("jwt", "rapidfuzz.distance", "ticketservice.celery"):
    import_module(lazy_module)

handler = ResponseCache(FastPathHandler(django_application, router.urls), router.urls)
application = ThreadedApplication(
    CookieGate(handler) if settings.SHOP_ENABLED else handler,
    threads=settings.WEB_THREADS,
    max_body_bytes=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
    body_seconds=settings.REQUEST_BODY_SECONDS,
)
# Everything loaded so far lives as long as the process. Freezing it keeps the garbage collector from scanning it.
gc.collect()
gc.freeze()
gc.set_threshold(10_000, 20, 50)
# glibc raises its mmap threshold when a large block is freed, and then keeps such blocks for each thread: the memory of
# large responses would multiply by the number of threads. With a fixed threshold they are returned to the system.
M_MMAP_THRESHOLD, LARGE_BYTES = -3, 128 * 1024
if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)

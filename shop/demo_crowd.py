"""/admin/demo-crowd/: with DEBUG, organisers on this machine send simulated buyers to a demo event, stop them, and reset.

Each button runs `manage.py demo_crowd`; what it says is shown.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from ipaddress import ip_address

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from demo.catalogue import SHOWS
from events.models import Event

DIRECTORY = settings.BASE_DIR / ".local" / "demo-crowd"
COMMAND = [sys.executable, str(settings.BASE_DIR / "manage.py"), "demo_crowd"]
LINES = 12
STOP_SECONDS = 10
SIZES = (100, 300, 1000)


def page(request: HttpRequest) -> HttpResponse:
    _check(request)
    if request.method == "POST":
        _act(request.POST.get("action", ""), request.POST.get("event", ""), request.POST.get("buyers", ""))
        return HttpResponseRedirect(request.path)
    on_sale = [show for show in SHOWS if show.status == Event.Status.ON_SALE]
    context = {
        **admin.site.each_context(request),
        "title": _("Demo crowd"),
        "shows": on_sale,
        "sizes": SIZES,
        "is_running": _running() is not None,
        "said": _said(),
    }
    return TemplateResponse(request, "shop/demo-crowd.html", context)


def _check(request: HttpRequest) -> None:
    """Raises Http404 where there is no demo, and PermissionDenied for anybody who may not, or is not at this machine."""
    if not settings.DEBUG:
        raise Http404
    is_forwarded = "HTTP_X_FORWARDED_FOR" in request.META  # a proxy is at this machine, and its clients are not
    if is_forwarded or not ip_address(request.META.get("REMOTE_ADDR") or "0.0.0.0").is_loopback:  # noqa: S104 - nobody's
        raise PermissionDenied
    if not request.user.has_perm("queueing.change_queuepolicy"):
        raise PermissionDenied


def _act(action: str, show: str, buyers: str) -> None:
    if show not in {each.slug for each in SHOWS}:
        return
    if action == "start" and _running() is None and buyers in map(str, SIZES):
        _start("--event", show, "--buyers", buyers)
    elif action == "stop":
        _stop()
    elif action == "reset":
        _stop()
        _start("--event", show, "--reset")


def _start(*arguments: str) -> None:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    with (DIRECTORY / "log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command, and arguments from a fixed list
            [*COMMAND, *arguments], cwd=settings.BASE_DIR, stdout=log, stderr=log, start_new_session=True
        )
    (DIRECTORY / "pid").write_text(str(process.pid))


def _stop() -> None:
    if (pid := _running()) is None:
        return
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + STOP_SECONDS
    while _running() is not None and time.monotonic() < until:
        time.sleep(0.1)


def _running() -> int | None:
    """The process id of the command, if it runs; whichever worker of `web` has started it."""
    with suppress(OSError, ValueError):
        pid = int((DIRECTORY / "pid").read_text())
        with suppress(ChildProcessError):  # another worker's
            os.waitpid(pid, os.WNOHANG)
        ps = ["ps", "-p", str(pid), "-o", "command="]
        if "demo_crowd" in subprocess.run(ps, capture_output=True, text=True, check=False).stdout:  # noqa: S603
            return pid
    return None


def _said() -> str:
    with suppress(OSError):
        return "\n".join((DIRECTORY / "log").read_text().splitlines()[-LINES:])
    return ""

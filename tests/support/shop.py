"""The shop as a browser reaches it: `web` and `realtime` that know each other, and Chromium."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support import tools
from tests.support.harness import Api, assert_books_agree, free_port, is_up, running_process, wait_until
from tests.support.subscribers import as_worker

WIDTHS = {"phone": 390, "desktop": 1280}
AXE = tools.AXE_MODULES / "node_modules" / "axe-core" / "axe.min.js"
# WCAG 2.2 AA, and what axe-core knows beyond it.
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@dataclass(frozen=True)
class Shop:
    """A running shop. `web` is its REST as any client reaches it."""

    base: str
    web: Api
    realtime: Api


@contextmanager
def running_shop(logs: Path, name: str = "shop", **environment: str) -> Iterator[Shop]:
    """`web` and `realtime`, each on a port of its own, as `manage.py run` starts them."""
    web, realtime = Api(free_port()), Api(free_port())
    environment = {
        "WEB_WORKERS": "1",
        "WEB_THREADS": "16",
        "MAX_SEATS_PER_RESERVATION": "4",
        "REALTIME_URL": f":{realtime.port}",
        "SHOP_ORIGINS": f"http://localhost:{web.port}",
    } | environment
    with ExitStack() as stack:
        for process, api, health in (("web", web, "/health"), ("realtime", realtime, "/health/live")):
            log = logs / f"{name}-{process}.log"
            running = stack.enter_context(running_process(process, log, PORT=str(api.port), **environment))
            wait_until(lambda: running.poll() is not None or is_up(api, health), seconds=60)  # noqa: B023
            assert running.poll() is None, log.read_text()[-3000:]
        yield Shop(f"http://localhost:{web.port}", web, realtime)


@contextmanager
def ticking(*events: str) -> Iterator[None]:
    """Admission rounds and sweeps twice a second, as the workers do them."""
    from queueing import services as queueing
    from queueing import store
    from reservations.services import sweep

    stopped = threading.Event()

    def tick() -> None:
        while not stopped.wait(0.5):
            with suppress(Exception):  # the world is being loaded
                for event in events:
                    store.activate_event(UUID(event))
                queueing.admit_next()
                sweep()

    thread = threading.Thread(target=as_worker(tick), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(10)


def assert_books_agree_beside_a_browser(*events: str) -> None:
    """`assert_books_agree` in a thread of its own: in this one Playwright has an event loop, and Django refuses to query."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(as_worker(partial(assert_books_agree, *events))).result()


# --- Chromium ---------------------------------------------------------------------------------------------------------


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    program = tools.shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """Somebody with a browser of their own: what they see, and what their browser complained about."""

    def __init__(
        self,
        browser: Browser,
        shop: Shop,
        *,
        language: str = "ko",
        width: str = "desktop",
        dark: bool = False,
        **options: Any,
    ) -> None:
        self.shop = shop
        self.context: BrowserContext = browser.new_context(
            viewport={"width": WIDTHS[width], "height": 844},
            locale=language,
            color_scheme="dark" if dark else "light",
            has_touch=width == "phone",
            reduced_motion="reduce",
            **options,
        )
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(12_000)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self._listen(message.type, message.text))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _listen(self, kind: str, text: str) -> None:
        # A response that is an error is one that a page handles; a policy that was broken is not.
        if kind == "error" and "Failed to load resource" not in text and "WebSocket" not in text:
            self.complaints.append(text)

    def open(self, path: str) -> Page:
        self.page.goto(self.shop.base + path)
        return self.page

    def close(self) -> None:
        self.context.close()
        assert self.complaints == []

    # --- The way to a seat

    def choose_seats(self, event: str) -> Page:
        """From the event's page, through the waiting room, to the map."""
        page = self.open(f"/shop/events/{event}")
        page.click("#call .primary")
        page.wait_for_url("**/seats")
        page.wait_for_selector('#map[aria-busy="false"]')
        return page

    def select(self, *seat_ids: str) -> None:
        self.page.evaluate("ids => document.querySelector('seat-map').select(ids)", list(seat_ids))

    def hold(self) -> str:
        """Hold what is selected; the reservation's id."""
        self.page.click("#hold")
        self.page.wait_for_url("**/shop/reservations/*")
        self.page.wait_for_selector(".timer strong")
        return self.page.url.rpartition("/")[2]

    def pay(self) -> None:
        self.page.click(".actions .primary")
        self.page.wait_for_url("**/demo/payment**")
        self.page.click("#pay .primary:not([disabled])")
        self.page.wait_for_url("**/shop/reservations/**")
        self.page.wait_for_selector(".qr")


def violations(page: Page) -> list[str]:
    """What axe-core finds on the page as it is: a line for each."""
    page.evaluate(AXE.read_text() if not page.evaluate("'axe' in window") else "1")
    found = page.evaluate("rules => axe.run(document, rules)", RULES)
    return [
        f"{one['id']}: {node['html'][:160]} {json.dumps(node['any'][0]['message'] if node['any'] else '')[:200]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def wait_for(page: Page, condition: Callable[[], Any], *, seconds: float = 20) -> None:
    """Until it is true, while the page goes on."""
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not within {seconds} s: {condition}")

"""Takes the pictures of the shop, and the moving one of the README: a part of `make screenshots`.

Starts the service with its demo data in a folder of its own, sends a crowd of simulated buyers, and goes through the shop
with Chromium: as two people beside each other for the moving picture, then as one on a phone and at a desk, in Korean and in
English. Takes about five minutes. Needs Debian's `chromium` and `fonts-noto-cjk`.
"""

import argparse
import io
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from docs.screenshots import IMAGES, ROOT, chromium, running_service, save

EVENT = "moonlit-garden"
PHONE, DESK = {"width": 390, "height": 780}, {"width": 1280, "height": 800}
MOVING = 900_000  # bytes
COLOURS = 96


@contextmanager
def crowd(environment: dict[str, str], buyers: int) -> Iterator[None]:
    command = [sys.executable, "manage.py", "demo_crowd", "--event", EVENT, "--within", "12", "--seed", "3"]
    process = subprocess.Popen(
        [*command, "--buyers", str(buyers), "--pace", "1.5"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)
        subprocess.run(
            [*command[:5], "--reset"], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=120
        )


class Somebody:
    """A browser of its own, and the pictures that it has taken."""

    def __init__(self, browser: Browser, base: str, *, language: str, size: dict[str, int], dark: bool = False) -> None:
        self.base, self.language = base, language
        scheme: Any = "dark" if dark else "light"
        self.context = browser.new_context(viewport=size, locale=language, color_scheme=scheme)  # type: ignore[arg-type]
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(120_000)
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def event(self) -> str:
        found = self.page.evaluate("fetch('/events?status=on_sale&limit=100').then((answer) => answer.json())")
        return str(next(one["id"] for one in found["events"] if "달빛정원" in one["title"]))

    def open(self, path: str, ready: str) -> None:
        self.page.goto(f"{self.base}{path}")
        self.page.wait_for_selector(ready)
        self.page.wait_for_timeout(700)

    def frame(self) -> Image.Image:
        return Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")

    def save(self, name: str) -> None:
        save([self.frame()], IMAGES / f"shop-{name}-{self.language}.png")

    def take_seats(self, count: int) -> None:
        self.page.select_option("#people", str(count))
        self.page.click("#best button")

    def hold(self) -> None:
        """Of what was chosen, or of what is chosen then: others are fast."""
        self.page.wait_for_timeout(500)
        if "/reservations/" not in self.page.url:
            self.page.click("#hold")
        self.page.wait_for_selector(".timer strong")
        self.page.wait_for_timeout(500)

    def pay(self) -> None:
        self.page.click(".actions .primary")
        self.page.click("#pay .primary:not([disabled])")
        self.page.wait_for_selector(".qr")
        self.page.wait_for_timeout(500)


def moving_picture(browser: Browser, base: str) -> list[str]:
    """Two people, beside each other: the catalogue, the queue, the map, and a ticket."""
    people = [
        Somebody(browser, base, language=language, size=PHONE, dark=language == "en") for language in ("ko", "en")
    ]
    frames: list[Image.Image] = []

    def take(times: int = 1, every: int = 1500) -> None:
        for number in range(times):
            if number:
                people[0].page.wait_for_timeout(every)
            frames.append(beside(*(each.frame() for each in people)))

    for each in people:
        each.open("/", "#events li")
    take()
    event = people[0].event()
    for each in people:
        each.open(f"/shop/events/{event}", "#call .primary")
    take()
    for each in people:
        each.open(f"/shop/events/{event}/queue", "#line:not([hidden])")
    take(4, 3000)
    for each in people:
        each.page.wait_for_url("**/seats")
        each.page.wait_for_selector('#map[aria-busy="false"]')
    people[0].page.wait_for_timeout(1500)
    take(3)
    people[0].take_seats(2)
    people[0].hold()
    take(2)
    people[0].pay()
    take(2)
    smaller = [one.resize((one.width * 3 // 5, one.height * 3 // 5), Image.Resampling.LANCZOS) for one in frames]
    save(smaller, IMAGES / "shop.gif", colours=COLOURS, largest=MOVING)
    return [complaint for each in people for complaint in each.complaints]


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    picture = Image.new("RGB", (left.width + right.width + 24, left.height), "#8a8590")
    picture.paste(left, (0, 0))
    picture.paste(right, (left.width + 24, 0))
    return picture


def single_pictures(browser: Browser, base: str) -> list[str]:
    """Each page by itself: at a desk in Korean, on a phone in English."""
    people = [
        Somebody(browser, base, language=language, size=size, dark=dark)
        for language, size, dark in (("ko", DESK, False), ("en", PHONE, True))
    ]
    for each in people:
        each.open("/", "#events li")
        each.save("catalogue")
    event = people[0].event()
    for each in people:  # both at once: later nobody waits any more
        each.open(f"/shop/events/{event}/queue", "#line:not([hidden])")
        each.save("queue")
    for each in people:
        each.page.wait_for_url("**/seats")
        each.page.wait_for_selector('#map[aria-busy="false"]')
        each.page.wait_for_timeout(2000)
        each.save("seats")
        each.take_seats(2)
        each.hold()
        each.save("held")
        each.pay()
        each.save("ticket")
    return [complaint for each in people for complaint in each.complaints]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8700, help="this one and the next must be free")
    parser.add_argument("--buyers", type=int, default=500)
    given = parser.parse_args()
    program = chromium()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with running_service(given.port) as environment, sync_playwright() as playwright:
        base = f"http://localhost:{given.port}"
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        complaints: list[str] = []
        for take, buyers in ((moving_picture, given.buyers), (single_pictures, given.buyers * 3 // 5)):
            with crowd(environment, buyers):
                time.sleep(16)  # until most of the crowd has come
                complaints += take(browser, base)
        browser.close()
    if complaints:
        sys.exit("\n".join(["Chromium complained:", *complaints]))


if __name__ == "__main__":
    main()

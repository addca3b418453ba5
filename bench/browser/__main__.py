"""`python -m bench.browser`: how fast <seat-map> draws in Chromium, on a phone's screen with a slow processor.

docs/seat-map.md has what was found.
"""

import argparse
import os
import shutil
import statistics
import sys
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from bench.browser.servers import Changes, seat_map, serving

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 3,
    "is_mobile": True,
    "has_touch": True,
}
SLOWDOWN = 4
CHANGES_PER_SECOND = 50


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run, in ms."""

    drawn: float  # from the last byte of the answer until the first frame is done
    idle: float  # the longest frame while nothing happens: what the machine does by itself
    frame: float  # the longest frame while seats change
    slow: int  # frames of 50 ms or more while seats change, as Chromium counts them
    panned: float  # the longest frame while seats change and a finger pans
    slow_panned: int
    changes: int  # that have arrived


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.browser", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seats", type=int, nargs="+", default=[5_000, 50_000])
    parser.add_argument("--seconds", type=float, default=10, help="of changes, and as many with a finger")
    asked = parser.parse_args()
    program = shutil.which("chromium")
    if program is None:
        sys.exit("Chromium is missing. On Debian: apt-get install chromium")
    found: dict[int, list[Figures]] = {}
    with sync_playwright() as playwright:
        for number in range(asked.runs):
            for seats in asked.seats:
                browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
                found.setdefault(seats, []).append(measure(browser, seats=seats, seconds=asked.seconds))
                browser.close()
                print(f"run {number + 1}, {seats:,} seats: {found[seats][-1]}", file=sys.stderr, flush=True)
        print(table(found))
    print(f"\nLoad of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")


def measure(browser: Browser, *, seats: int, seconds: float) -> Figures:
    data = seat_map(seats=seats)
    changes = Changes(data["seats"], CHANGES_PER_SECOND)
    with serving(data, changes) as (pages, sockets):
        context = browser.new_context(**PHONE)
        page = context.new_page()
        session = context.new_cdp_session(page)
        session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWDOWN})
        page.goto(f"{pages}/?sockets={sockets}")
        page.wait_for_function("figures.drawn && document.querySelector('seat-map').isLoaded", timeout=60_000)
        drawn = page.evaluate("figures.drawn - answered()")
        page.wait_for_timeout(1_000)
        idle = watch(page, lambda: page.wait_for_timeout(seconds * 1_000))
        changes.is_on.set()
        still = watch(page, lambda: page.wait_for_timeout(seconds * 1_000))
        page.evaluate("document.querySelector('seat-map').zoom(3)")
        page.wait_for_timeout(500)
        panned = watch(page, lambda: pan(page, session, seconds))
        context.close()
    return Figures(
        drawn=drawn, idle=idle["longest"], frame=still["longest"], slow=len(still["slow"]), changes=still["changes"],
        panned=panned["longest"], slow_panned=len(panned["slow"]),
    )  # fmt: skip


def watch(page: Page, during: Any) -> dict[str, Any]:
    page.evaluate("startOver()")
    during()
    figures: dict[str, Any] = page.evaluate("figures")
    return figures


def pan(page: Page, session: CDPSession, seconds: float) -> None:
    """A finger to and fro, 60 times a second."""
    box = page.locator("seat-map canvas").first.bounding_box()
    if box is None:
        sys.exit("no map")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def touch(kind: str, at: float) -> None:
        points = [] if kind == "touchEnd" else [{"x": x + at, "y": y + at / 2}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0)
    for step in range(int(seconds * 60)):
        touch("touchMove", 100 * (1 - abs(1 - step % 120 / 60)))
        page.wait_for_timeout(1_000 / 60)
    touch("touchEnd", 0)


def table(found: dict[int, list[Figures]]) -> str:
    rows = [
        "| seats | first drawn, ms | longest frame, ms: idle | seats change | over 50 ms | panning | over 50 ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for seats, runs in found.items():
        columns = [
            _spread([run.drawn for run in runs]), _spread([run.idle for run in runs]),
            _spread([run.frame for run in runs]), _spread([run.slow for run in runs]),
            _spread([run.panned for run in runs]), _spread([run.slow_panned for run in runs]),
        ]  # fmt: skip
        rows.append(f"| {seats:,} | {' | '.join(columns)} |")
    return "\n".join(rows)


def _spread(values: list[float]) -> str:
    """The median, and each run."""
    return f"**{statistics.median(values):,.0f}** ({', '.join(f'{value:,.0f}' for value in values)})"


if __name__ == "__main__":
    main()

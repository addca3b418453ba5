"""Takes the pictures of docs/admin.md: `make screenshots`.

Starts the service with its demo data in a folder of its own, lets a crowd buy through HTTP with a waiting room in front,
and photographs the admin with Chromium, in Korean and in English. Takes about four minutes. Needs Debian's `chromium`
and `fonts-noto-cjk`.
"""

import argparse
import base64
import io
import itertools
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import jwt
import psycopg
from PIL import Image
from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
LARGEST = 250_000  # bytes of a picture
WIDTH = 1360
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
)  # fmt: skip
ORGANISER, PASSWORD = "minji", "only-for-the-pictures"
SHOW = "달빛정원 앙코르 콘서트 [보름]"


# --- The service ------------------------------------------------------------------------------------------------------


@contextmanager
def running_service(port: int) -> Iterator[dict[str, str]]:
    """`manage.py run` in a folder of its own; its environment."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        given = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        given |= {"LOCAL_DIR": directory, "PORT": str(port), "MAX_SEATS_PER_RESERVATION": "4", "LOG_LEVEL": "WARNING"}
        log = (Path(directory) / "log").open("w")
        service = subprocess.Popen(
            [sys.executable, "manage.py", "run"], cwd=ROOT, env=given, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_until(lambda: answers(f"http://localhost:{port}/health"), seconds=240)
            said = manage(given, "embedded")
            exports = (shlex.split(line)[1].partition("=") for line in said.splitlines() if line.startswith("export "))
            yield given | {name: value for name, _, value in exports}
        finally:
            service.terminate()
            service.wait(30)


def manage(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout


def answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=2) as response:
        return bool(response.status == 200)
    return False


def wait_until(condition: Callable[[], Any], *, seconds: float) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            sys.exit(f"not within {seconds} s: {condition}")
        time.sleep(0.3)


# --- The crowd --------------------------------------------------------------------------------------------------------


class EventOnSale:
    """An event on sale, as buyers and the payment service see it."""

    def __init__(self, base: str, environment: dict[str, str]) -> None:
        self.base = base
        self.environment = environment
        self.http = httpx.Client(base_url=base, timeout=30, limits=httpx.Limits(max_connections=24))
        events = self.http.get("/events?status=on_sale&limit=100").json()["events"]
        self.event: str = next(event["id"] for event in events if event["title"] == SHOW)
        seats = self.http.get(f"/seats/events/{self.event}").json()["seats"]
        self.seats = sorted(
            seats, key=lambda seat: seat["row_number"] * 3 + random.random() * 25 - seat["price"] / 9000
        )
        self.next_seat = itertools.count()
        self.types = self.http.get(f"/events/{self.event}").json()["ticketTypes"]

    def header(self, user: str) -> dict[str, str]:
        now = int(time.time())
        claims = {
            "userId": user,
            "email": f"{user}@example.com",
            "name": "",
            "role": "user",
            "iat": now,
            "exp": now + 3600,
        }
        return {"Authorization": f"Bearer {jwt.encode(claims, self.environment['JWT_SECRET'], algorithm='HS256')}"}

    def buy(self, user: str, *, pays: bool = True) -> str | None:
        """Reserves one to four seats, or tickets, and pays for them. The reservation's id."""
        header = self.header(user)
        if random.random() < 0.2 and self.types:
            items = [{"ticketTypeId": random.choice(self.types)["id"], "quantity": random.randint(1, 2)}]
            answer = self.http.post("/reservations", json={"eventId": self.event, "items": items}, headers=header)
        else:
            wanted = [self.seats[next(self.next_seat) % len(self.seats)]["id"] for _ in range(random.randint(1, 4))]
            body = {"eventId": self.event, "seatIds": wanted}
            answer = self.http.post("/seats/reserve", json=body, headers=header)
        if answer.status_code != 201:
            return None
        found = answer.json()["reservation"]
        if pays:
            self.pay(found["id"], found["totalAmount"])
        return str(found["id"])

    def pay(self, reservation: str, amount: int) -> None:
        body = {
            "amount": amount,
            "paymentMethod": random.choice(["card", "kakao_pay", "naver_pay"]),
            "paymentId": f"pay-{uuid.uuid4().hex[:12]}",
        }
        header = {"X-Internal-Token": self.environment["INTERNAL_API_TOKEN"]}
        self.http.post(f"/internal/reservations/{reservation}/confirm", json=body, headers=header)

    # --- A crowd

    def sell_some(self, buyers: int) -> None:
        in_parallel([lambda: self.buy(str(uuid.uuid4())) for _ in range(buyers)])

    def come_and_wait(self, crowd: list[str], until: threading.Event) -> None:
        """Everybody gets in line and asks how it stands; who is let in buys after a while, or pays later."""
        waiting = list(crowd)
        in_parallel([lambda user=user: self._ask("check", user) for user in waiting])
        while not until.is_set() and waiting:
            started = time.monotonic()
            front, waiting = waiting[:60], waiting[60:]
            states = in_parallel([lambda user=user: self._ask("status", user) for user in front])
            inside = [user for user, state in zip(front, states, strict=True) if state == "active"]
            in_parallel([lambda user=user: self.buy(user, pays=random.random() < 0.8) for user in inside])
            waiting = [user for user in front if user not in set(inside)] + waiting
            if random.random() < 0.5:
                random.shuffle(waiting)
            time.sleep(max(0.0, 1 - (time.monotonic() - started)))

    def _ask(self, what: str, user: str) -> str:
        method = "POST" if what == "check" else "GET"
        answer = self.http.request(method, f"/queue/{what}/{self.event}", headers=self.header(user))
        return str(answer.json().get("state"))


def in_parallel(calls: list[Callable[[], Any]]) -> list[Any]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(12) as threads:
        return list(threads.map(lambda call: call(), calls))


def spread_over(minutes: int, event: str, database_url: str) -> None:
    """Moves what was sold just now back in time, so that the chart has a past: many at the start, then fewer."""
    with psycopg.connect(database_url, options="-c search_path=ticket_schema") as database:
        database.execute(
            """
            WITH moved AS (SELECT id, power(random(), 1.7) * %(minutes)s AS age FROM reservations WHERE event_id = %(event)s)
            UPDATE reservations r SET created_at = now() - (%(minutes)s - m.age) * interval '1 minute',
                updated_at = now() - (%(minutes)s - m.age) * interval '1 minute' + random() * interval '2 minutes'
            FROM moved m WHERE m.id = r.id
            """,
            {"minutes": minutes, "event": event},
        )


# --- The organiser ----------------------------------------------------------------------------------------------------


class Organiser:
    """Somebody in the admin, without a browser."""

    def __init__(self, base: str) -> None:
        self.http = httpx.Client(base_url=base, follow_redirects=True, timeout=30)
        self.http.get("/admin/login/")
        self.post("/admin/login/", username=ORGANISER, password=PASSWORD, next="/admin/")

    def post(self, path: str, **fields: Any) -> httpx.Response:
        token = self.http.cookies["csrftoken"]
        answer = self.http.post(
            path, data={**fields, "csrfmiddlewaretoken": token}, headers={"Referer": str(self.http.base_url)}
        )
        answer.raise_for_status()
        return answer


# --- Chromium ---------------------------------------------------------------------------------------------------------


def chromium() -> str:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return program or sys.exit("Chromium is missing. On Debian: apt-get install chromium fonts-noto-cjk")


class Browser:
    """Chromium's only page, through the DevTools protocol."""

    def __init__(self, program: str, directory: str) -> None:
        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={directory}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        port_file = Path(directory) / "DevToolsActivePort"
        wait_until(lambda: port_file.exists() and port_file.read_text().strip(), seconds=60)
        port = port_file.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=10) as response:
            target = next(page for page in json.load(response) if page["type"] == "page")
        self.closing = ExitStack()
        self.socket = self.closing.enter_context(connect(target["webSocketDebuggerUrl"], max_size=None))
        self.numbers = itertools.count(1)
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setTimezoneOverride", timezoneId="Asia/Seoul")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            heard = json.loads(self.socket.recv(timeout=60))
            if heard.get("id") == number:
                if "error" in heard:
                    sys.exit(f"{method}: {heard['error']}")
                found: dict[str, Any] = heard["result"]
                return found
            self._listen(heard)

    def _listen(self, heard: dict[str, Any]) -> None:
        if heard.get("method") == "Runtime.exceptionThrown":
            details = heard["params"]["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif heard.get("method") == "Log.entryAdded" and heard["params"]["entry"]["level"] == "error":
            entry = heard["params"]["entry"]
            self.complaints.append(f"{entry['text']} {entry.get('url', '')}")

    def evaluate(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, awaitPromise=True)["result"].get("value")

    def open(self, url: str, *, seconds: float = 0.6, height: int = 900) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=WIDTH, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=url)
        wait_until(lambda: self.evaluate("document.readyState") == "complete", seconds=60)
        time.sleep(seconds)
        self.evaluate("1")  # hears what has happened meanwhile

    def photograph(self, path: Path, *, tallest: int = 1250) -> None:
        high = self.evaluate(
            "Math.max(...[...document.querySelectorAll('#content')].map(e => e.getBoundingClientRect().bottom))"
        )
        high = min(tallest, max(480, int(high) + 8))
        self.call("Emulation.setDeviceMetricsOverride", width=WIDTH, height=high, deviceScaleFactor=1, mobile=False)
        time.sleep(0.4)
        taken = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        with Image.open(io.BytesIO(taken)) as picture:
            save([picture], path)

    def speak(self, language: str, base: str) -> None:
        self.call("Network.setCookie", url=f"{base}/admin/", name="django_language", value=language, path="/admin/")

    def sign_in(self, organiser: Organiser, base: str) -> None:
        session = organiser.http.cookies["sessionid"]
        self.call("Network.setCookie", url=base, name="sessionid", value=session, path="/", httpOnly=True)

    def close(self) -> None:
        self.closing.close()
        self.process.terminate()
        self.process.wait(20)


# --- The pictures -----------------------------------------------------------------------------------------------------


def save(frames: Sequence[Image.Image], path: Path, *, colours: int = 256, largest: int = LARGEST) -> None:
    """Save a picture, or the frames of a moving one, with few colours. Exits if it has more than `largest` bytes."""
    first, *rest = (frame.convert("RGB").quantize(colours, dither=Image.Dither.NONE) for frame in frames)
    moving: dict[str, Any] = {"save_all": True, "append_images": rest, "duration": 1400, "loop": 0} if rest else {}
    first.save(path, optimize=True, **moving)
    size = path.stat().st_size
    if size > largest:
        sys.exit(f"{path.name} has {size} bytes; the most is {largest}")
    print(f"{path.name}: {size // 1000} kB")


def take_pictures(base: str, environment: dict[str, str], program: str) -> list[str]:
    """What Chromium complained about on the way."""
    manage(
        environment | {"DJANGO_SUPERUSER_PASSWORD": PASSWORD},
        "createsuperuser", "--noinput", "--username", ORGANISER, "--email", "minji@example.com",
    )  # fmt: skip
    sale, organiser = EventOnSale(base, environment), Organiser(base)
    print("selling ...")
    sale.sell_some(620)
    spread_over(48, sale.event, environment["DATABASE_URL"])
    told = tell_a_story(sale, organiser, environment["DATABASE_URL"])
    limits = f"/admin/queueing/queuepolicy/{sale.event}/limits/"
    organiser.post(limits, threshold=40, admissions_per_second=3, reason="광고 시작: 천천히 입장")
    stop = threading.Event()
    crowd = threading.Thread(target=sale.come_and_wait, args=([str(uuid.uuid4()) for _ in range(700)], stop))
    crowd.start()
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
            browser = Browser(program, directory)
            try:
                browser.sign_in(organiser, base)
                photograph_all(browser, base, sale.event, told)
                return browser.complaints
            finally:
                browser.close()
    finally:
        stop.set()
        crowd.join()


def tell_a_story(sale: EventOnSale, organiser: Organiser, database_url: str) -> str:
    """A reservation that was paid at the provider's only, confirmed by hand, and refunded at last. Its id."""
    reservation = sale.buy(str(uuid.uuid4()), pays=False)
    while reservation is None:
        reservation = sale.buy(str(uuid.uuid4()), pays=False)
    with psycopg.connect(database_url, options="-c search_path=ticket_schema") as database:
        row = database.execute("SELECT total_amount FROM reservations WHERE id = %s", [reservation]).fetchone()
    amount = row[0] if row else 0
    page = f"/admin/reservations/reservation/{reservation}"
    organiser.post(
        f"{page}/confirm/", payment_id="toss-20260611-8841", amount=amount, payment_method="toss",
        reason="PG 승인 확인, 콜백 유실 (문의 #2291)",
    )  # fmt: skip
    time.sleep(2)
    organiser.post(f"{page}/refund/", reason="고객 요청 환불, PG 취소 완료")
    return reservation


def photograph_all(browser: Browser, base: str, event: str, reservation: str) -> None:
    layout = re.search(
        r"/admin/events/seatlayout/([0-9a-f-]{36})/change/",
        _page(browser, f"{base}/admin/events/seatlayout/?q=arena"),
    )
    if layout is None:
        sys.exit("no layout")
    for language in ("ko", "en"):
        browser.speak(language, base)
        browser.open(f"{base}/admin/")
        browser.photograph(IMAGES / f"overview-{language}.png", tallest=1200)
        browser.open(f"{base}/admin/events/event/")
        browser.photograph(IMAGES / f"events-{language}.png", tallest=1400)
        browser.open(f"{base}/admin/events/event/{event}/change/")
        browser.photograph(IMAGES / f"event-{language}.png", tallest=1500)
        browser.open(f"{base}/admin/events/seatlayout/{layout[1]}/change/", seconds=1)
        browser.photograph(IMAGES / f"layout-{language}.png", tallest=1400)
        browser.open(f"{base}/admin/reservations/reservation/{reservation}/change/")
        browser.photograph(IMAGES / f"reservation-{language}.png", tallest=1400)
        browser.open(f"{base}/admin/events/event/{event}/live/", seconds=20)
        browser.photograph(IMAGES / f"live-{language}.png", tallest=1420)


def _page(browser: Browser, url: str) -> str:
    browser.open(url)
    return str(browser.evaluate("document.documentElement.outerHTML"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8600, help="this one and the next must be free")
    port = parser.parse_args().port
    program = chromium()
    IMAGES.mkdir(exist_ok=True)
    random.seed(7)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything that was started is stopped
    with running_service(port) as environment:
        complaints = take_pictures(f"http://localhost:{port}", environment, program)
    if complaints:
        sys.exit("\n".join(["Chromium complained:", *dict.fromkeys(complaints)]))


if __name__ == "__main__":
    main()

"""Alerts, dashboard and runbook against each other, and against what the running processes really tell.

What can be judged without tools always is. Debian's package `prometheus` (promtool and the server itself) judges the rest
where it is installed.
"""

import json
import os
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from redis import Redis

from kernel.tasks.enqueue import enqueue
from tests.support.harness import (
    HALL,
    ROOT,
    STANDING,
    STANDING_A,
    THEATRE,
    Api,
    Database,
    free_port,
    new_user,
    running_process,
    running_web,
    seat,
    stop,
    wait_until,
)
from tests.support.live import Realtime, running_realtime
from tests.support.scraping import scrape
from tests.support.waiting_room import check, set_policy

pytestmark = pytest.mark.slow

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text())
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
NOT_OURS = {"up"}  # Prometheus' own
SILENT = {
    "ticketservice_websocket_slow_clients_total",
    "ticketservice_websocket_closed_total",
}  # until there is a reason

# --- As they stand ----------------------------------------------------------------------------------------------------

DURATION = {"type": "string", "pattern": r"^(\d+[smhd])+$"}
RULES_SCHEMA = {
    "type": "object",
    "required": ["groups"],
    "additionalProperties": False,
    "properties": {
        "groups": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "rules"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string"},
                    "interval": DURATION,
                    "rules": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["alert", "expr", "labels", "annotations"],
                            "additionalProperties": False,
                            "properties": {
                                "alert": {"type": "string", "pattern": "^[A-Z][A-Za-z]+$"},
                                "expr": {"type": "string", "minLength": 5},
                                "for": DURATION,
                                "labels": {
                                    "type": "object",
                                    "required": ["severity"],
                                    "properties": {"severity": {"enum": ["page", "ticket"]}},
                                },
                                "annotations": {
                                    "type": "object",
                                    "required": ["summary", "runbook"],
                                    "additionalProperties": {"type": "string"},
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}
TARGET = {
    "type": "object",
    "required": ["refId", "expr", "datasource"],
    "properties": {"expr": {"type": "string", "minLength": 2}},
}
PANEL = {
    "type": "object",
    "required": ["id", "type", "title", "gridPos"],
    "properties": {
        "type": {"enum": ["row", "timeseries", "stat"]},
        "title": {"type": "string", "minLength": 2},
        "gridPos": {
            "type": "object",
            "required": ["x", "y", "w", "h"],
            "properties": {"x": {"minimum": 0}, "w": {"minimum": 1, "maximum": 24}, "h": {"minimum": 1}},
        },
        "targets": {"type": "array", "minItems": 1, "items": TARGET},
    },
    "if": {"properties": {"type": {"const": "row"}}},
    "else": {"required": ["targets", "datasource", "fieldConfig"]},
}
DASHBOARD_SCHEMA = {
    "type": "object",
    "required": ["uid", "title", "schemaVersion", "time", "templating", "panels"],
    "properties": {"panels": {"type": "array", "minItems": 10, "items": PANEL}, "schemaVersion": {"minimum": 36}},
}


def panels() -> Iterator[dict[str, Any]]:
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def dashboard_expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def test_the_rules_have_the_shape_of_rules() -> None:
    jsonschema.validate(RULES, RULES_SCHEMA)
    names = [rule["alert"] for rule in ALERTS]
    assert len(names) == len(set(names)) > 10


def test_the_dashboard_has_the_shape_of_one() -> None:
    jsonschema.validate(DASHBOARD, DASHBOARD_SCHEMA)
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    places = set()
    for panel in DASHBOARD["panels"]:
        where = panel["gridPos"]
        assert where["x"] + where["w"] <= 24
        covers = {
            (x, y)
            for x in range(where["x"], where["x"] + where["w"])
            for y in range(where["y"], where["y"] + where["h"])
        }
        assert not covers & places, f"{panel['title']} lies over another panel"
        places |= covers
        references = [target["refId"] for target in panel.get("targets", ())]
        assert len(references) == len(set(references))
    known = {"datasource", *(variable["name"] for variable in DASHBOARD["templating"]["list"]), "__rate_interval"}
    used = set(re.findall(r"\$\{?(\w+)", " ".join(dashboard_expressions())))
    assert used <= known


def test_every_alert_has_its_entry_in_the_runbook_and_every_entry_its_alert() -> None:
    entries = re.findall(r"^## (\w+)\n\n\*(page|ticket)\.\*", RUNBOOK, re.MULTILINE)
    assert entries == [(rule["alert"], rule["labels"]["severity"]) for rule in ALERTS]
    for rule in ALERTS:
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
    assert len(re.findall(r"^## ", RUNBOOK, re.MULTILINE)) == len(ALERTS)
    anchors = {name.lower() for name, _ in entries}
    assert set(re.findall(r"\]\(#([\w-]+)\)", RUNBOOK)) <= anchors


def test_every_alert_is_tested_both_ways() -> None:
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    looked = [(found["alertname"], bool(found["exp_alerts"])) for test in tests for found in test["alert_rule_test"]]
    assert {name for name, comes in looked if comes} == {rule["alert"] for rule in ALERTS}
    never_silent = {rule["alert"] for rule in ALERTS} - {name for name, comes in looked if not comes}
    assert never_silent <= {"SlowResponses", "SlowStatements", "EstimatesInaccurate"}  # thresholds of a histogram


# --- Against what the processes tell ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(database_url: str, logs: Path, web: Api) -> Iterator[Realtime]:
    """`web`, `worker` and `realtime` on one machine where nothing is set."""
    with (
        running_process("worker", logs / "monitored-worker.log", DATABASE_URL=database_url) as worker,
        running_realtime(logs / "monitored-realtime.log", DATABASE_URL=database_url) as realtime,
    ):
        yield realtime
        assert worker.poll() is None


@pytest.fixture(scope="module")
def busy(running: Realtime, web: Api, database: Database) -> dict[str, Api]:
    """Whom to scrape, after one of everything: a sale, a refusal, a socket, somebody who waited, every task."""
    database.load_world()
    with Redis.from_url(os.environ["REDIS_URL"]) as redis:
        redis.flushall()
    watcher = running.seats(HALL)
    watcher.first("hello")
    for n in (1, 2):
        for packed in ("gzip", "identity"):  # the second one finds in Redis what the first one has made
            web.get(f"/events/{HALL}", headers={"Accept-Encoding": packed})
        buyer = new_user()
        found = web.reserve(buyer, HALL, seat(1, n)).json["reservation"]
        web.reserve(new_user(), HALL, seat(1, n))
        (web.confirm(found["id"], 150_000) if n == 1 else web.cancel(buyer, found["id"]))
        time.sleep(1.1)  # views are told once a second
    watcher.first("seat-locked")
    web.buy(new_user(), STANDING, **{STANDING_A: 1})
    set_policy(web, THEATRE, threshold=1)
    (inside, waits, leaves) = (new_user() for _ in range(3))
    for user in (inside, waits, leaves):
        check(web, user, THEATRE)
    web.post(f"/queue/leave/{THEATRE}", user=leaves)
    web.post(f"/queue/leave/{THEATRE}", user=inside)
    for job in ("reservations.tasks.sweep", "reservations.tasks.audit", "seats.tasks.update_statuses"):
        enqueue(job)
    wait_until(lambda: everything_happened(web), seconds=60, every=0.5)
    return {"web": web, "realtime": Api(running.port)}


def everything_happened(web: Api) -> bool:
    enqueue("queueing.tasks.admit")
    found = scrape(web)
    audits = found.total("ticketservice_tasks_total", task="reservations.tasks.audit", outcome="done")
    return found.total("queue_wait_time_seconds_count", event_id=THEATRE) > 0 and audits > 0


def metrics_of(expression: str) -> set[str]:
    """The names of metrics in a PromQL expression."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\$\w+', " ", re.sub(r'"[^"]*"', "", expression))
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    names = re.findall(r"[a-zA-Z_:][\w:]*(?!\w)(?!\s*\()", bare)
    return set(names) - {"and", "or", "unless", "bool", "offset"}


def test_every_metric_that_is_named_exists(busy: dict[str, Api], database_url: str, logs: Path) -> None:
    named = {
        name for text in [*(rule["expr"] for rule in ALERTS), *dashboard_expressions()] for name in metrics_of(text)
    }
    found = scrape(busy["web"])
    mail = {"EMAIL_URL": "smtp://127.0.0.1:1", "MAIL_FROM": "t@example.com"}  # its metrics are there while it is on
    with running_web(logs / "web-with-mail.log", DATABASE_URL=database_url, WEB_WORKERS="1", **mail) as api:
        of_mail = {name for name in scrape(api).names() if "mail" in name}

    assert len(named) > 30
    assert named - found.names() - found.announced() - of_mail - NOT_OURS - SILENT == set()
    declared = (ROOT / "kernel" / "realtime" / "metrics.py").read_text()
    assert all(f'"{name}"' in declared for name in SILENT)
    assert "pid" not in {label for name in found.names() for its in found.labels(name) for label in its}


def test_every_label_that_is_named_exists(busy: dict[str, Api]) -> None:
    found = scrape(busy["web"])
    for text in [*(rule["expr"] for rule in ALERTS), *dashboard_expressions()]:
        for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", text):
            if name in found.names():
                known = {label for its in found.labels(name) for label in its}
                assert set(re.findall(r"(\w+)\s*(?:=|!)", matchers)) <= known, text


def test_one_machine_is_one_target(busy: dict[str, Api]) -> None:
    """`web` and `realtime` tell the same of sales; where nothing is set they found each other."""
    of_web, of_realtime = scrape(busy["web"]), scrape(busy["realtime"])
    for name in ("seats_reserved_total", "ticketservice_tasks_total", "reservations_confirmed_total"):
        assert of_web.total(name) == of_realtime.total(name) > 0, name


# --- By the real tools ------------------------------------------------------------------------------------------------


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.tool("prometheus")
def test_promtool_finds_no_fault_and_every_alert_comes_when_it_must(tmp_path: Path) -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")  # checks the rules that it names, too
    # Debian's Prometheus does not know Kubernetes: the rest of that file is checked with another way to find targets.
    in_a_cluster = yaml.safe_load((PROMETHEUS / "kubernetes.yml").read_text())
    (job,) = in_a_cluster["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod", "namespaces": {"names": ["ticketservice"]}}]
    (tmp_path / "kubernetes.yml").write_text(yaml.safe_dump({**in_a_cluster, "rule_files": []}))
    promtool("check", "config", tmp_path / "kubernetes.yml")
    promtool("test", "rules", PROMETHEUS / "alerts_test.yml")


@pytest.mark.long
@pytest.mark.tool("prometheus")
def test_prometheus_evaluates_every_rule_and_every_panel(busy: dict[str, Api], tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(PROMETHEUS / "alerts.yml")],
                "scrape_configs": [
                    {
                        "job_name": "ticketservice",
                        "static_configs": [{"targets": [f"127.0.0.1:{busy['web'].port}"]}],
                    }
                ],
            }
        )
    )
    command = [
        "prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        ask = Prometheus(port)
        wait_until(lambda: ask.count("up == 1") == 1, seconds=30, every=0.3)
        wait_until(lambda: ask.count("count_over_time(up[1m]) > 3") == 1, seconds=30, every=0.3)
        rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
        wait_until(lambda: all(rule["health"] == "ok" for rule in ask.rules()), seconds=30, every=0.3)
        assert {rule["name"] for rule in rules} == {rule["alert"] for rule in ALERTS}
        empty = {text for text in dashboard_expressions() if ask.count(filled_in(text)) == 0}
        assert {name for text in empty for name in metrics_of(text)} <= SILENT
    finally:
        stop(server)


def filled_in(expression: str) -> str:
    return expression.replace("$__rate_interval", "1m").replace("$event", ".*")


class Prometheus:
    """The HTTP API of a Prometheus."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1"

    def __call__(self, path: str, **parameters: str) -> Any:
        try:
            address = f"{self._base}/{path}?{urllib.parse.urlencode(parameters)}"
            with urllib.request.urlopen(address, timeout=10) as response:  # noqa: S310 - our own
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # starting
                return {"result": [], "groups": []}
            raise AssertionError(error.read().decode()) from error
        except urllib.error.URLError:
            return {"result": [], "groups": []}

    def count(self, expression: str) -> int:
        return len(self("query", query=expression)["result"])

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self("rules")["groups"] for rule in group["rules"]] or [{"health": "none"}]

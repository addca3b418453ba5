"""Runs queries against a service, and the table of what came of it."""

import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.search import own, run

HERE = Path(__file__).parent


def given() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((HERE / "queries.shared.json").read_text())
    return found


def judged(base: str, queries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What run.py says of each query: `ok`, `first`, `precision`, `found`."""
    keys = {event["id"]: event["key"] for event in run.read("catalogue.json")}
    client = run.Client(base)
    return [run.judge(query, *run.ask(client, query), keys) for query in queries]


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """In Markdown: by kind, how many of the queries of each set found what they must."""
    kinds: dict[tuple[int, str], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for name, judgements in results.items():
        for each in judgements:
            kinds[each["level"], each["kind"]][name].append(each)
    lines = ["| level | kind | given | own | first of the ordered | precision |", "|---|---|---|---|---|---|"]
    for (level, kind), sets in sorted(kinds.items()):
        every = [each for judgements in sets.values() for each in judgements]
        cells = [_share(sets[name], "ok") for name in ("given", "own")]
        precise = [each["precision"] for each in sets["given"] if each.get("precision") is not None]
        precision = f"{statistics.mean(precise):.2f}" if precise else ""
        lines.append(f"| {level} | {kind} | {' | '.join(cells)} | {_share(every, 'first')} | {precision} |")
    for level in (1, 2, 3):
        cells = [_share([e for e in judgements if e["level"] == level], "ok") for judgements in results.values()]
        firsts = _share([e for judgements in results.values() for e in judgements if e["level"] == level], "first")
        lines.append(f"| **{level}** | **all** | {' | '.join(cells)} | {firsts} | |")
    return "\n".join(lines)


def _share(judgements: list[dict[str, Any]], name: str) -> str:
    counted = [each[name] for each in judgements if name in each]
    return f"{sum(counted)} of {len(counted)}" if counted else ""


def everything(base: str) -> dict[str, list[dict[str, Any]]]:
    return {"given": judged(base, given()), "own": judged(base, own.queries())}

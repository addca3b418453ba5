"""What users of a Korean ticket shop type finds what it must, in the right order."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.search import found, own, run
from tests.support.harness import Api, Database


@pytest.fixture(scope="module")
def shop(web: Api, database: Database) -> Iterator[str]:
    """The catalogue, written by a stranger: nothing of the service has touched it before the first search."""
    database.load_world()
    database.rows("TRUNCATE events CASCADE")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", database.url)
        run.load()
    yield f"http://127.0.0.1:{web.port}"
    database.load_world()


def _share(judgements: list[dict[str, Any]], name: str, level: int) -> float:
    counted = [each[name] for each in judgements if each["level"] == level and name in each]
    return sum(counted) / len(counted)


def _failed(judgements: list[dict[str, Any]]) -> str:
    failed = [
        {name: each.get(name) for name in ("id", "q", "missing", "wrongly", "first", "found")} for each in judgements
    ]
    return "\n".join(json.dumps(each, ensure_ascii=False) for each in failed)


@pytest.mark.slow
@pytest.mark.parametrize("queries", [found.given(), own.queries()], ids=["given", "own"])
def test_searches_find_what_they_must(shop: str, queries: list[dict[str, Any]]) -> None:
    judgements = found.judged(shop, queries)
    failed = _failed([each for each in judgements if not each["ok"] or each.get("first") is False])
    assert _share(judgements, "ok", 1) == 1, failed
    assert _share(judgements, "ok", 2) >= 0.97, failed
    assert _share(judgements, "ok", 3) >= 0.9, failed
    firsts = [each["first"] for each in judgements if "first" in each]
    assert sum(firsts) / len(firsts) >= 0.97, failed

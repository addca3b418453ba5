"""Lua scripts whose keys, arguments and results have names: `kernel.redis.scripts`."""

from typing import Any

import pytest

from kernel.redis.deferred import execute
from kernel.redis.scripts import LuaScript


@pytest.fixture(autouse=True)
def empty_redis(redis) -> None:
    redis.flushall()


def test_keys_arguments_and_results_have_names() -> None:
    script = LuaScript(
        """
        redis.call('SET', target_key, value)
        return result({previous = redis.call('GET', source_key), length = #value})
        """,
        keys=("source_key", "target_key"),
        args=("value",),
        result=("previous", "length"),
    )
    keys = {"target_key": "target", "source_key": "source"}  # in any order

    assert script(keys=keys, args={"value": "abc"}) == {"previous": None, "length": 3}
    assert script(keys={"target_key": "x", "source_key": "target"}, args={"value": ""}) == {
        "previous": b"abc",
        "length": 0,
    }


@pytest.mark.parametrize("locks", [[], ["a"], ["a", "b", "c"]])
@pytest.mark.parametrize("marks", [[], ["k"], [f"m{n}" for n in range(5000)]])
def test_lists_of_any_length_stand_between_other_names(locks: list[str], marks: list[str]) -> None:
    script = LuaScript(
        """
        return result({
            keys = {first_key, locks, middle_key, marks, last_key},
            args = {first, changes, middle, labels, last},
        })
        """,
        keys=("first_key", "*locks", "middle_key", "*marks", "last_key"),
        args=("first", "*changes", "middle", "*labels", "last"),
        result=("keys", "args"),
    )
    keys = {"first_key": "1", "locks": locks, "middle_key": "2", "marks": marks, "last_key": "3"}
    args = {"first": "1", "changes": marks, "middle": "2", "labels": locks, "last": "3"}

    found = script(keys=keys, args=args)

    as_bytes = lambda names: [name.encode() for name in names]  # noqa: E731
    assert found["keys"] == [b"1", as_bytes(locks), b"2", as_bytes(marks), b"3"]
    assert found["args"] == [b"1", as_bytes(marks), b"2", as_bytes(locks), b"3"]


@pytest.mark.parametrize("value", ["", "1", 1, 1.5, b"\x00\xff"])
def test_an_argument_arrives_as_redis_writes_it(value: Any) -> None:
    echo = LuaScript("return result({echo = value})", args=("value",), result=("echo",))

    assert echo(keys={}, args={"value": value}) == {"echo": value if isinstance(value, bytes) else str(value).encode()}


@pytest.mark.parametrize(
    ("keys", "args"),
    [
        ({}, {"value": 1}),
        ({"key": "k"}, {}),
        ({"key": "k", "another": "l"}, {"value": 1}),
        ({"key": "k"}, {"value": 1, "another": 2}),
        ({"another": "k"}, {"value": 1}),
        ({"key": "k"}, {"*value": 1}),
    ],
)
def test_missing_and_undeclared_names_are_refused(keys: dict[str, Any], args: dict[str, Any], redis) -> None:
    script = LuaScript("redis.call('SET', key, value)", keys=("key",), args=("value",))

    with pytest.raises(TypeError, match="expected"):
        script(keys=keys, args=args)
    assert redis.dbsize() == 0


def test_a_result_may_have_fields_of_every_type_and_no_hole_ends_it() -> None:
    script = LuaScript(
        """
        return result({
            no = false, yes = true, number = 2.9, text = tostring(2.9), list = {1, {'two'}}, empty = {}, last = 'end',
        })
        """,
        result=("missing", "no", "yes", "number", "text", "list", "empty", "last"),
    )

    assert script(keys={}) == {
        "missing": None, "no": None, "yes": 1, "number": 2, "text": b"2.9", "list": [1, [b"two"]], "empty": [],
        "last": b"end",
    }  # fmt: skip


def test_another_reply_than_the_declared_result_is_given_as_it_is() -> None:
    source = "if kind == 'status' then return redis.status_reply('UNKNOWN') end return kind ~= 'nil' and 7 or nil"
    script = LuaScript(source, args=("kind",), result=("only",))

    assert [script(keys={}, args={"kind": kind}) for kind in ("status", "number", "nil")] == [b"UNKNOWN", 7, None]


def test_a_script_that_redis_has_forgotten_is_sent_again(redis) -> None:
    script = LuaScript("return result({length = #value})", args=("value",), result=("length",))
    assert script(keys={}, args={"value": "ab"}) == {"length": 2}

    redis.script_flush()

    assert script(keys={}, args={"value": "abc"}) == {"length": 3}


def test_in_a_pipeline_it_is_run_by_the_client_and_parsed_afterwards(redis) -> None:
    script = LuaScript("return result({length = redis.call('APPEND', key, value)})",
                       keys=("key",), args=("value",), result=("length",))  # fmt: skip

    def command(client: Any) -> Any:
        pipeline = client.pipeline(transaction=True)
        script.run(pipeline, keys={"key": "k"}, args={"value": "ab"})
        script.run(pipeline, keys={"key": "k"}, args={"value": "cd"})
        return pipeline.execute()

    redis.script_flush()
    assert [script.parse(reply) for reply in execute(command)] == [{"length": 2}, {"length": 4}]
    assert script.parse(execute(lambda client: script.run(client, keys={"key": "k"}, args={"value": ""}))) == {
        "length": 4
    }


def test_the_lists_that_were_flattened_are_those_that_the_script_gets() -> None:
    script = LuaScript("return {#KEYS, #ARGV}", keys=("a", "*more"), args=("b", "*rest"))

    assert script.flatten({"more": ["x", "y"], "a": "k"}, {"b": 1, "rest": []}) == (["k", "x", "y"], [2, 0, 1])
    assert script(keys={"more": ["x", "y"], "a": "k"}, args={"b": 1, "rest": []}) == [3, 3]

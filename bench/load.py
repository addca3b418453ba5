"""The load generator, `load.c`: built when it is first used."""

import json
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import orjson

SOURCE = Path(__file__).with_name("load.c")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one run found. Latencies in ms. `cpu` is the generator's own, in s, for `all_answers` (warm-up included)."""

    per_second: float
    p50: float
    p99: float
    slowest: float
    answers: int
    all_answers: int
    errors: int
    statuses: dict[int, int]
    bytes_per_answer: int
    cpu: float


def build(directory: Path) -> Path:
    """The program, compiled with gcc unless it is there already."""
    program = directory / "load"
    if not program.exists() or program.stat().st_mtime < SOURCE.stat().st_mtime:
        command = ["gcc", "-O2", "-D_GNU_SOURCE", "-o", str(program), str(SOURCE)]
        subprocess.run(command, check=True)
    return program


def run(
    program: Path,
    *,
    port: int,
    requests: Sequence[bytes],
    connections: int,
    seconds: float,
    warm_up: float,
    once: bool = False,
    is_redis: bool = False,
) -> Load:
    """Sends the requests over and over, or each one `once`, until the time is up. Raises RuntimeError."""
    options = [*(["--once"] if once else []), *(["--resp"] if is_redis else [])]
    with NamedTemporaryFile() as file:
        for request in requests:
            file.write(struct.pack("<I", len(request)) + request)
        file.flush()
        command = [str(program), *options, str(port), str(connections), str(warm_up), str(seconds), file.name]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(ended.stderr.strip())
    found: dict[str, Any] = json.loads(ended.stdout)
    return Load(
        per_second=found["answers"] / found["seconds"] if found["seconds"] else 0.0,
        p50=found["p50"] / 1000,
        p99=found["p99"] / 1000,
        slowest=found["max"] / 1000,
        answers=found["answers"],
        all_answers=found["all_answers"],
        errors=found["errors"],
        statuses={int(status): times for status, times in found["statuses"].items()},
        bytes_per_answer=found["bytes"] // max(1, found["answers"]),
        cpu=found["cpu"],
    )


def http(method: str, path: str, *, body: object = None, **headers: str) -> bytes:
    """A request as it goes over the wire. Names of headers are written with `_` for `-`."""
    sent = "" if body is None else orjson.dumps(body).decode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if method == "POST":
        lines += [f"Content-Length: {len(sent.encode())}", *(["Content-Type: application/json"] if sent else [])]
    return ("\r\n".join(lines) + "\r\n\r\n" + sent).encode()


def resp(*words: object) -> bytes:
    """A command as Redis reads it."""
    encoded = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)

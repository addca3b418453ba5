"""Events with a layout of their own, whose seats have not been generated."""

import json
import uuid
from uuid import UUID

from tests.support.harness import Database

SECTION = {"name": "VIP", "rows": 2, "seatsPerRow": 5, "price": 150000, "startRow": 1}


def new_event(world: Database, *sections: object, layout: object = None) -> UUID:
    layout_id, event_id = uuid.uuid4(), uuid.uuid4()
    world.rows(
        "INSERT INTO seat_layouts (id, name, layout_config) VALUES (%s, 'test', %s)",
        layout_id,
        json.dumps(layout if layout is not None else {"sections": sections}),
    )
    world.rows(
        "INSERT INTO events (id, title, venue, event_date, sale_start_date, sale_end_date, status, seat_layout_id)"
        " VALUES (%s, 'test', 'hall', now() + interval '9 days', now(), now() + interval '8 days', 'on_sale', %s)",
        event_id,
        layout_id,
    )
    return event_id

"""How statements record messages: the part that `record` returns belongs to the statement that changes something."""

from outbox.models import MessageKind

# A list that PostgreSQL reads once for a statement, and only if there is something to tell. It is empty while nobody
# subscribes; then nothing is written, and the data of messages are not computed.
_SUBSCRIBED = "ARRAY(SELECT unnest(s.kinds) FROM outbox_subscribers s WHERE s.is_active)"


def record(source: str, *, kinds: str, subject: str, event: str, data: str, name: str = "outbox") -> str:
    """A CTE, to be listed in a `WITH`, that records messages for each row of `source`, if somebody subscribes to them.

    `source` is what follows FROM, such as a CTE that changes rows and returns them; the other parameters are expressions
    over its rows. `kinds`: a `text[]` in the order of the messages (see `kinds`), NULLs left out. `subject`:
    the id of the reservation, or else of the event; the statement must hold that row, so that messages of one subject are
    in order. `event`: the event's id or NULL. `data`: jsonb.
    """
    return f"""{name} AS (
    INSERT INTO outbox_messages (kind, subject_id, event_id, data)
    SELECT told.kind, {subject}, {event}, {data}
    FROM {source}, unnest({kinds}) AS told (kind)
    WHERE told.kind = ANY({_SUBSCRIBED})
    RETURNING id
)"""


def kinds(*of: MessageKind | str) -> str:
    """The `kinds` of `record`: kinds that every row means, and what `kind_if` returns."""
    parts = [f"'{one.value}'" if isinstance(one, MessageKind) else one for one in of]
    return f"ARRAY[{', '.join(parts)}]"


def kind_if(of: MessageKind, condition: str) -> str:
    """A kind that only rows mean that meet the condition."""
    return f"CASE WHEN {condition} THEN '{of.value}' END"


def reservation_data(row: str, *, items: str, more: str = "'{}'") -> str:
    """The `data` of messages about reservations. `row` is a row of `reservations` as it is after the change.

    `items`: jsonb, the array that `reservation_items` or the statement itself has; `more`: jsonb, further members.
    """
    return f"""jsonb_build_object(
        'reservationId', {row}.id, 'reservationNumber', {row}.reservation_number, 'userId', {row}.user_id,
        'eventId', {row}.event_id, 'status', {row}.status, 'paymentStatus', {row}.payment_status,
        'totalAmount', {row}.total_amount, 'paymentId', {row}.payment_id, 'deadline', {row}.deadline, 'items', {items}
    ) || {more}"""


def refund_data(row: str) -> str:
    """The `more` of messages that come with a refund. `row` is a row of `refunds`; where there is none, it adds nothing."""
    return f"""CASE WHEN {row}.id IS NULL THEN '{{}}' ELSE jsonb_build_object('reason', {row}.reason, 'refund',
        jsonb_build_object('id', {row}.id, 'paymentId', {row}.payment_id, 'amount', {row}.amount, 'reason', {row}.reason)
    ) END"""


def items_of(reservation: str) -> str:
    """The `items` of a reservation that had them before the statement. `reservation` is the expression of its id."""
    # Locked, to be read as they are after a wait for the reservation: its seats may have been swapped meanwhile.
    return f"""(
        SELECT coalesce(jsonb_agg(jsonb_build_object('seatId', i.seat_id, 'ticketTypeId', i.ticket_type_id,
            'quantity', i.quantity, 'unitPrice', i.unit_price) ORDER BY i.id), '[]')
        FROM (SELECT * FROM reservation_items WHERE reservation_id = {reservation} FOR SHARE) i
    )"""


def status_data(row: str) -> str:
    """The `data` of messages about an event's status. `row` has `id`, `status`, and `was`, the status before."""
    return f"jsonb_build_object('eventId', {row}.id, 'status', {row}.status, 'previousStatus', {row}.was)"

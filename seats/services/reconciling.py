"""Do the books agree? Only looks and tells; nothing is put right here."""

import logging
from typing import Any

from kernel.database import fetch_all
from seats import metrics

logger = logging.getLogger(__name__)

# Each gives one row for each difference.
CHECKS = {
    "seat_without_owner": """
        SELECT s.id, s.event_id, s.status FROM seats s WHERE s.status <> 'available'
        AND NOT EXISTS (SELECT FROM reservation_items i WHERE i.seat_id = s.id AND i.is_live)
    """,
    "owned_seat_not_taken": """
        SELECT s.id, s.event_id, r.id AS reservation_id, s.status, r.status AS reservation_status
        FROM reservation_items i JOIN reservations r ON r.id = i.reservation_id JOIN seats s ON s.id = i.seat_id
        WHERE i.is_live AND s.status <> CASE r.status WHEN 'confirmed' THEN 'sold' ELSE 'locked' END
    """,
    "stock_differs": """
        SELECT t.id, t.event_id, t.total_quantity, t.available_quantity, coalesce(sum(i.quantity), 0)::bigint AS taken
        FROM ticket_types t LEFT JOIN reservation_items i ON i.ticket_type_id = t.id AND i.is_live
        GROUP BY t.id HAVING t.total_quantity <> t.available_quantity + coalesce(sum(i.quantity), 0)
    """,
    "amount_differs": """
        SELECT r.id, r.total_amount, coalesce(sum(i.subtotal), 0)::bigint AS of_items
        FROM reservations r LEFT JOIN reservation_items i ON i.reservation_id = r.id
        GROUP BY r.id HAVING r.total_amount <> coalesce(sum(i.subtotal), 0)
    """,
}


def differences() -> dict[str, list[dict[str, Any]]]:
    """By check, the rows that do not agree; logged, and counted in `reconciliation_differences`."""
    found = {name: fetch_all(sql, {}) for name, sql in CHECKS.items()}
    for name, rows in found.items():
        metrics.reconciliation_differences.labels(check=name).set(len(rows))
        for row in rows:
            logger.warning("%s: %s", name, row)
    return {name: rows for name, rows in found.items() if rows}

"""Operations on events: layouts become sections and plans; views, reservations and payments are counted in the funnel."""

from events.funnel import EVENTS as FUNNEL_EVENTS
from events.funnel import LIFE_SECONDS as FUNNEL_SECONDS
from events.funnel import Stage, count_stage, funnel_key
from events.services.searching import index_changes, index_event, rebuild_index

__all__ = [
    "FUNNEL_EVENTS",
    "FUNNEL_SECONDS",
    "Stage",
    "count_stage",
    "funnel_key",
    "index_changes",
    "index_event",
    "rebuild_index",
]

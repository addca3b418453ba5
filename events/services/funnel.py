"""What other apps count in an event's funnel, within the round trips that they make anyway."""

from events.funnel import EVENTS, LIFE_SECONDS, Stage, count, funnel_key

__all__ = ["EVENTS", "LIFE_SECONDS", "Stage", "count", "funnel_key"]

"""Operations of the waiting room, one module per verb.

Redis decides who waits and who is active, by the policy that PostgreSQL has.
"""

from queueing.effects import publish_offers
from queueing.realtime import Offer
from queueing.services.admitting import admit_next
from queueing.services.changing_policy import (
    change_policy,
    policy_was_saved,
    refresh_policy,
    refuse_late_opening,
)
from queueing.services.checking_in import QueuePosition, check_in, get_status, identify_visitor
from queueing.services.clearing import clear_queue, take_cleared
from queueing.services.drawing import record_draw
from queueing.services.guarding import AdmissionGuardedScript, end_admission, require_pass, run_if_admitted
from queueing.services.integrity import QUEUE_RULES, find_inconsistencies
from queueing.services.leaving import leave
from queueing.services.looking import estimate_for_newcomer, get_positions, get_queue_state
from queueing.states import QueueState, Visitor

__all__ = [
    "QUEUE_RULES",
    "AdmissionGuardedScript",
    "Offer",
    "QueuePosition",
    "QueueState",
    "Visitor",
    "admit_next",
    "change_policy",
    "check_in",
    "clear_queue",
    "end_admission",
    "estimate_for_newcomer",
    "find_inconsistencies",
    "get_positions",
    "get_queue_state",
    "get_status",
    "identify_visitor",
    "leave",
    "policy_was_saved",
    "publish_offers",
    "record_draw",
    "refresh_policy",
    "refuse_late_opening",
    "require_pass",
    "run_if_admitted",
    "take_cleared",
]

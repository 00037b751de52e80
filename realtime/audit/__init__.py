"""The audit: what concerns security, one log line on ``realtime.audit`` and one row in the admin for each event.

``record`` may be called from anywhere, the hot path included: it formats nothing, waits for nothing and never raises.
Never give it a token or a message.
"""

from realtime.audit.events import Entry, Event, record
from realtime.audit.store import flush, store_events

__all__ = ["Entry", "Event", "flush", "record", "store_events"]

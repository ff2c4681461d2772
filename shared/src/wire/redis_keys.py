"""Every key and channel that Hopline keeps in Redis. All of it may be flushed at any moment.

| key | type | life |
|---|---|---|
| `turn:{id}` | stream of turn events, ids `<attempt>-<seq>` | an hour while running, 10 minutes after the end |
| `queue:{service}` | arq's sorted set of job ids | until taken |
| `wake:{service}` | list: one element a nudge, so that a job starts within milliseconds | a minute |
| `stops` | channel: the id of a turn that a person stopped | |
"""

from wire.ids import TurnId

CHAT_QUEUE = "chat"
TRACKING_QUEUE = "tracking"
STOPS_CHANNEL = "stops"

RUNNING_STREAM_TTL_S = 3600
ENDED_STREAM_TTL_S = 600
WAKE_TTL_S = 60


def turn_stream(turn: TurnId) -> str:
    return f"turn:{turn}"


def queue_key(queue: str) -> str:
    return f"queue:{queue}"


def wake_key(queue: str) -> str:
    return f"wake:{queue}"

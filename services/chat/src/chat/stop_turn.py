"""The stop button: a flag in PostgreSQL, and a nudge through Redis so that it works at once."""

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chat.read_turn import read_turn
from chat.settle_calls import settle_open_calls
from chat.stores import conversation_store, turn_store
from wire.contracts.chat import ENDED_STATES, Turn
from wire.database import Database
from wire.ids import ConversationId, MessageId, PersonId, TurnId
from wire.log import get_logger
from wire.problems import NotFound
from wire.redis_keys import STOPS_CHANNEL

log = get_logger(__name__)


async def stop_turn(database: Database, redis: Redis, owner: PersonId, turn: TurnId) -> Turn:
    """The turn has stopped, or its worker will stop it within a lease renewal. A turn that has ended stays as it is.

    Raises:
        NotFound: unknown, or somebody else's.
    """
    async with database.transaction() as connection:
        row = await turn_store.find_turn(connection, turn, owner)
        if row is None:
            raise NotFound("turn")
        if row.state not in ENDED_STATES:
            stopped = await turn_store.stop_if_queued(connection, turn)
            if stopped is None:
                await turn_store.request_stop(connection, turn)
            else:
                await conversation_store.insert_message(
                    connection,
                    MessageId(turn),
                    ConversationId(row.conversation_id),
                    parent=row.person_message_id,
                    role="assistant",
                    text=row.partial_text,
                    model=row.model,
                )
                await settle_open_calls(connection, row)
                await conversation_store.settle_pending_switch(connection, row.conversation_id, None)
    if row.state not in ENDED_STATES:
        await _tell(redis, turn)
    log.info("stop requested", turn_id=turn, was=row.state)
    return await read_turn(database, owner, turn)


async def _tell(redis: Redis, turn: TurnId) -> None:
    try:
        await redis.publish(STOPS_CHANNEL, turn)
    except (RedisError, OSError):
        log.warning("redis is away, the stop waits for the next renewal", turn_id=turn)

"""The stop button: a flag in PostgreSQL, and a nudge through Redis so that it works at once."""

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chat.end_without_worker import end_without_worker, tell_end_without_worker
from chat.read_turn import read_turn
from chat.stores import turn_store
from wire.contracts.chat import Turn
from wire.database import Database
from wire.ids import PersonId, TurnId
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
        row = await turn_store.find_turn(connection, turn, owner, for_update=True)
        if row is None:
            raise NotFound("turn")
        length = 0
        if row.state == "queued":
            length = await end_without_worker(connection, row, None)
        elif row.state == "running":
            await turn_store.request_stop(connection, turn)
    if row.state == "queued":
        await tell_end_without_worker(redis, row, None, length)
    elif row.state == "running":
        await _tell_the_worker(redis, turn)
    log.info("stop requested", turn_id=turn, was=row.state)
    return await read_turn(database, owner, turn)


async def _tell_the_worker(redis: Redis, turn: TurnId) -> None:
    try:
        await redis.publish(STOPS_CHANNEL, turn)
    except (RedisError, OSError):
        log.warning("redis is away, the stop waits for the next renewal", turn_id=turn)

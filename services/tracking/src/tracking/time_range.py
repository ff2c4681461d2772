"""The `from` and `to` of a report, as people write them: ISO dates and times."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator

WANTED = "Write a date such as 2026-11-24 or a time such as 2026-11-24T08:30:00Z."


def moment_from(value: Any) -> datetime:
    """Where the range begins: a date means its first moment. Without an offset it is UTC.

    Raises:
        ValueError: it is neither a date nor a time.
    """
    return _moment(value, days_after_a_date=0)


def moment_to(value: Any) -> datetime:
    """Where the range ends, not included: a date means the whole of that day. Without an offset it is UTC.

    Raises:
        ValueError: it is neither a date nor a time.
    """
    return _moment(value, days_after_a_date=1)


FromMoment = Annotated[datetime, BeforeValidator(moment_from)]
ToMoment = Annotated[datetime, BeforeValidator(moment_to)]


def _moment(value: Any, *, days_after_a_date: int) -> datetime:
    text = str(value).strip()
    try:
        if len(text) <= len("2026-11-24"):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=days_after_a_date)
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(WANTED) from error

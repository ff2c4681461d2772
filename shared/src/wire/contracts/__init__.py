"""Bodies that one service sends and another reads; both ends import the same model.

Requests at a service's edge forbid unknown fields (`StrictBody`); whatever is read from a job, an event or another
service's answer ignores them (`Readable`), so that releases can overlap.
"""

from pydantic import BaseModel, ConfigDict


class StrictBody(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Readable(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

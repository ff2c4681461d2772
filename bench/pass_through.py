"""The plainest gateway one would write, FastAPI and httpx: `python -m bench.pass_through PORT PROVIDER_URL`.

It saves nothing, counts nothing and traces nothing: what it costs is the price of being in between at all.
"""

import sys
from collections.abc import AsyncIterator

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse


def create_app(provider_url: str) -> FastAPI:
    app = FastAPI()
    client = httpx.AsyncClient(base_url=provider_url, timeout=60, limits=httpx.Limits(max_connections=None))

    @app.post("/v1/chat/completions")
    async def pass_through(request: Request) -> StreamingResponse:
        body = await request.body()

        async def chunks() -> AsyncIterator[bytes]:
            headers = {"content-type": "application/json"}
            async with client.stream("POST", "/chat/completions", content=body, headers=headers) as response:
                async for chunk in response.aiter_bytes():
                    yield chunk

        return StreamingResponse(chunks(), media_type="text/event-stream")

    return app


if __name__ == "__main__":
    uvicorn.run(
        create_app(sys.argv[2]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
    )

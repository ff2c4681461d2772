"""Opens a provider's stream through the openai client and translates every failure into one of `chat.errors`."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx2
import openai
from openai import AsyncOpenAI

from chat.catalogue import ModelRoute, Provider
from chat.errors import ProviderCut, ProviderFailed, ProviderRefused, ProviderSilent, ProviderUnreachable
from chat.provider.stream import StreamItem, read_stream

LIST_TIMEOUT_S = 5.0
READ_OUT_S = 0.05
NO_KEY = "none"
"""What a provider without a key is sent; the client insists on one."""


class ProviderClients:
    """One openai client, and so one connection pool, per provider."""

    def __init__(self) -> None:
        self._clients: dict[Provider, AsyncOpenAI] = {}

    def prepare(self, providers: Iterable[Provider]) -> None:
        """The first call of each needs to build nothing."""
        for provider in providers:
            _ = self._client(provider).chat.completions.with_streaming_response

    async def list_models(self, provider: Provider) -> list[str]:
        """The names of a provider's models. Raises whatever the client raises."""
        page = await self._client(provider).with_options(timeout=LIST_TIMEOUT_S).models.list()
        return [model.id for model in page.data]

    @asynccontextmanager
    async def stream(
        self, route: ModelRoute, messages: list[dict[str, Any]], parameters: dict[str, Any]
    ) -> AsyncGenerator[AsyncIterator[StreamItem]]:
        """The items of a streamed answer; leaving the block early closes the connection, which stops the provider.

        After a whole answer the connection is kept for the next call.
        `parameters` go to the provider as they are.

        Raises:
            ProviderError: one of its kinds, when the stream is opened or while it is read.
        """
        timeout = httpx2.Timeout(route.entry.idle_timeout_s, connect=route.entry.connect_timeout_s)
        try:
            async with self._client(route.provider).chat.completions.with_streaming_response.create(
                model=route.upstream,
                messages=cast(Any, messages),  # sent as the caller wrote them
                stream=True,
                stream_options={"include_usage": True},
                extra_body=parameters,
                timeout=timeout,
            ) as response:
                body = response.iter_bytes()
                yield read_stream(_bytes_of(body))
                await _read_out(body)
        except openai.APITimeoutError as error:
            raise _timeout(error) from error
        except openai.APIConnectionError as error:
            raise ProviderUnreachable from error
        except openai.APIStatusError as error:
            raise _status_error(error.status_code) from error

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    def _client(self, provider: Provider) -> AsyncOpenAI:
        client = self._clients.get(provider)
        if client is None:
            key = provider.api_key.get_secret_value() if provider.api_key else NO_KEY
            client = AsyncOpenAI(api_key=key, base_url=provider.base_url, max_retries=0)
            self._clients[provider] = client
        return client


async def _read_out(body: AsyncIterator[bytes]) -> None:
    """What follows an answer's last line is the end of the body, and mostly there. Left unread it costs the connection,
    and with it the next call's time to connect.
    """
    with contextlib.suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(READ_OUT_S):
            async for _ in body:
                pass


async def _bytes_of(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for part in body:
            yield part
    except httpx2.ReadTimeout as error:
        raise ProviderSilent from error
    except httpx2.HTTPError as error:
        raise ProviderCut from error


def _timeout(error: openai.APITimeoutError) -> ProviderSilent | ProviderUnreachable:
    return ProviderUnreachable() if isinstance(error.__cause__, httpx2.ConnectTimeout) else ProviderSilent()


def _status_error(status: int) -> ProviderRefused | ProviderFailed:
    return ProviderRefused(status) if status < 500 else ProviderFailed(f"the provider answered {status}")

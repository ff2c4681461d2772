"""The running Hopline as a test sees it: processes, logs, what stands around them, and what can be done to it."""

import asyncio
import secrets
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from e2e.person import Person
from local.process_table import SERVICES
from local.stack import Stack
from parts.recording_ingest import PUBLIC_KEY, RecordingIngest
from parts.scripted_provider import ScriptedProvider
from parts.traces import Trace

READY_TIMEOUT_S = 30.0
ANOTHER_GATEWAY = "gateway-2"


@dataclass(slots=True)
class Logs:
    """Every line that any process wrote, with its name."""

    lines: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def write(self, process: str, line: str) -> None:
        self.lines.append((process, line))

    def text(self, since: int = 0) -> str:
        return "\n".join(f"{process:16} {line}" for process, line in self.lines[since:])


@dataclass(frozen=True, slots=True)
class PageTrace:
    """The trace that a page begins: what it sends, and the span that its request is."""

    trace_id: str = field(default_factory=lambda: secrets.token_hex(16))
    span_id: str = field(default_factory=lambda: secrets.token_hex(8))
    sampled: bool = True

    @property
    def headers(self) -> dict[str, str]:
        sampled = "true" if self.sampled else "false"
        rate = "1.0" if self.sampled else "0.0"
        baggage = (
            f"sentry-trace_id={self.trace_id},sentry-public_key={PUBLIC_KEY},sentry-environment=test,"
            f"sentry-sample_rate={rate},sentry-sampled={sampled}"
        )
        return {
            "sentry-trace": f"{self.trace_id}-{self.span_id}-{int(self.sampled)}",
            "baggage": baggage,
            "Sec-Fetch-Site": "same-origin",
        }


@dataclass(frozen=True, slots=True)
class Hopline:
    stack: Stack
    provider: ScriptedProvider
    ingest: RecordingIngest
    logs: Logs
    provider_key: str

    @property
    def url(self) -> str:
        return self.stack.url("gateway")

    @property
    def service_key(self) -> str:
        return self.stack.env_for("chat")["HOPLINE_SERVICE_KEY"]

    def client(self, **headers: str) -> httpx.AsyncClient:
        """A client of the gateway, for as many streams as a test opens."""
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=60.0, trust_env=False)

    def add_person(self, name: str) -> str:
        """Makes a person by the command, as whoever runs Hopline does; the API key that it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway.people", "add", name],
            cwd=self.stack.root,
            env=self.stack.env_for("gateway"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr or done.stdout
        [key] = [word for word in done.stdout.split() if word.startswith("hl_")]
        return key

    @asynccontextmanager
    async def without(self, *names: str, kill: bool = False) -> AsyncGenerator[None]:
        """These processes are away during the block and back, with all others well, after it."""
        end = self.stack.kill if kill else self.stack.stop
        for name in names:
            await asyncio.to_thread(end, name)
        try:
            yield
        finally:
            await self.bring_back(*names)

    async def bring_back(self, *names: str) -> None:
        """These run, and every service is ready."""
        for name in names:
            await asyncio.to_thread(self.stack.start, name)
        for name in (*names, *SERVICES):
            await asyncio.to_thread(self.stack.wait_ready, name, READY_TIMEOUT_S)

    async def restart(self, *names: str, env: Mapping[str, str] | None = None) -> None:
        await asyncio.gather(*(asyncio.to_thread(self.stack.restart, name, env=env) for name in names))

    @asynccontextmanager
    async def another_gateway(self, env: Mapping[str, str], key: str | None = None) -> AsyncGenerator[Person]:
        """A second gateway, set differently, and a person at it."""
        if ANOTHER_GATEWAY not in self.stack.ports:
            self.stack.add_copy(ANOTHER_GATEWAY, of="gateway")
        await asyncio.to_thread(self.stack.start, ANOTHER_GATEWAY, env=env)
        try:
            await asyncio.to_thread(self.stack.wait_ready, ANOTHER_GATEWAY, READY_TIMEOUT_S)
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            url = self.stack.url(ANOTHER_GATEWAY)
            async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60.0, trust_env=False) as http:
                yield Person(http, ANOTHER_GATEWAY)
        finally:
            await asyncio.to_thread(self.stack.stop, ANOTHER_GATEWAY)

    async def all_telemetry_is_in(self, person: Person) -> None:
        """Whatever any process reported before this call has reached the ingest.

        Each process sends in order, so a message that was asked now and is seen at every process closes what is before.
        """
        trace = PageTrace()
        conversation = await person.new_conversation()
        await person.answer(conversation, "Is all telemetry in?", headers=trace.headers)
        await person.http.get(f"/api/conversations/{conversation}/usage", headers=PageTrace().headers)
        await self.ingest.wait_for_trace(trace.trace_id, _has_passed_every_process, "a message at every process")


def _has_passed_every_process(trace: Trace) -> bool:
    served = {"gateway", "chat"} <= {span.process for span in trace.spans.values() if span.op == "http.server"}
    worked = {"chat-worker", "tracking-worker"} <= {s.process for s in trace.spans.values() if s.op == "queue.process"}
    return served and worked


def new_key() -> str:
    """A provider's key that no other run has had."""
    return f"sk-planted-{secrets.token_hex(16)}"

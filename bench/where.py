"""`make bench ARGS="--where FOLDER"`: where our processes spend their CPU, by py-spy.

A sample is a thread that holds the interpreter's lock, and is counted for the innermost frame of a known library or of
ours: what `json` does for sentry_sdk is sentry_sdk's. A process's CPU time is divided as its samples are, so what it
spent without the lock (in the kernel, in the event loop's C code) is spread over all of them.
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path

from bench.caller import ask_many
from bench.processes import cpu_of
from bench.stage import OURS, Stage

PROFILE_S = 20
SAMPLES_A_SECOND = 100
AT_ONCE = 4
LIBRARIES = {
    "sentry_sdk": "sentry_sdk",
    "sqlalchemy": "sqlalchemy",
    "asyncpg": "asyncpg",
    "redis": "redis",
    "httpx2": "openai, httpx",
    "httpcore2": "openai, httpx",
    "openai": "openai, httpx",
    "httpx": "openai, httpx",
    "httpcore": "openai, httpx",
    "anyio": "openai, httpx",
    "uvicorn": "uvicorn, starlette, fastapi",
    "starlette": "uvicorn, starlette, fastapi",
    "fastapi": "uvicorn, starlette, fastapi",
    "pydantic": "pydantic",
    "structlog": "structlog, logging",
    "logging": "structlog, logging",
    "jwt": "service tokens",
    "arq": "arq",
    "gateway": "ours",
    "chat": "ours",
    "tracking": "ours",
    "wire": "ours",
}
LOOP = "event loop"


async def print_where(stage: Stage, short: str, long: str, folder: Path) -> None:
    await ask_many(stage.hopline_url, short, at_once=4, rounds=3)
    for model in (short, long):
        await _profile(stage, model, folder)


async def _profile(stage: Stage, model: str, folder: Path) -> None:
    pids = {name: stage.pids[name] for name in OURS}
    files = {name: folder / f"{name}-{model}.txt" for name in OURS}
    spies = [_spy(pids[name], file) for name, file in files.items()]
    before, answers = cpu_of(pids), 0
    while any(spy.poll() is None for spy in spies):
        answers += len(await ask_many(stage.hopline_url, model, at_once=AT_ONCE, rounds=1))
    after = cpu_of(pids)
    print(f"\n{model} tokens an answer, {AT_ONCE} at once, {answers} answers, CPU ms an answer")
    for name, file in files.items():
        used, samples = (after[name] - before[name]) * 1000 / answers, _samples(file)
        told = "   ".join(f"{part} {used * n / samples.total():.1f}" for part, n in samples.most_common())
        print(f"  {name} {used:.1f}\n    {told}")


def _spy(pid: int, file: Path) -> "subprocess.Popen[bytes]":
    py_spy = Path(sys.executable).with_name("py-spy")
    command = [py_spy, "record", "--gil", "--pid", str(pid), "--duration", str(PROFILE_S)]
    command += ["--rate", str(SAMPLES_A_SECOND), "--format", "raw", "--full-filenames", "--output", file]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _samples(file: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for line in file.read_text().splitlines():
        stack, _, samples = line.rpartition(" ")
        parts = (_library(frame) for frame in reversed(stack.split(";")))
        counts[next((part for part in parts if part), LOOP)] += int(samples)
    return counts


def _library(frame: str) -> str | None:
    """`name (/…/site-packages/redis/asyncio/client.py:12)` is redis's."""
    path = frame.partition(" (")[2].rpartition(":")[0]
    parts = path.rpartition("site-packages/")[2].split("/")
    return next((LIBRARIES[part] for part in parts[:-1] if part in LIBRARIES), None)

"""`make bench`: prints what Hopline costs, side by side with a direct call and the plainest pass-through."""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Sequence

from bench.caller import Answer, ask_many
from bench.processes import cpu_of, cpu_seconds, pss_mib
from bench.stage import DATABASES, OURS, Stage, staged

SHORT, LONG = 200, 2000
RATE = 200
PACED_TOKENS, PACED_RATE = 300, 20
SHORT_MODEL, LONG_MODEL, PACED_MODEL = f"{SHORT}-at-{RATE}", f"{LONG}-at-{RATE}", f"{PACED_TOKENS}-at-{PACED_RATE}"
MODELS = (SHORT_MODEL, LONG_MODEL, PACED_MODEL)
IDLE_S = 5.0
SETTLE_S = 2.0
"""After the last answer: the ledger's rows and the telemetry that are still on their way belong to it."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="answers one after another, a caller (default 5)")
    parser.add_argument("--streams", type=int, default=200, help="paced streams at once (default 200)")
    parser.add_argument("--traces", type=float, default=1.0, help="share of traces sent to the sink (default 1.0)")
    wanted = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, traces at {wanted.traces:g}")
    with staged(MODELS, traces_sample_rate=wanted.traces) as stage:
        asyncio.run(run(stage, rounds=wanted.rounds, streams=wanted.streams))


async def run(stage: Stage, *, rounds: int, streams: int) -> None:
    await ask_many(stage.hopline_url, SHORT_MODEL, at_once=4, rounds=2)  # what is made on first use is made
    await ask_many(stage.pass_through_url, SHORT_MODEL, at_once=4, rounds=1)
    idle = await idle_rate(stage)
    await first_token(stage, rounds=max(10, rounds * 2))
    short = [await cost(stage, SHORT_MODEL, idle, at_once=at_once, rounds=rounds) for at_once in (1, 4, 16)]
    long = await cost(stage, LONG_MODEL, idle, at_once=16, rounds=1)
    for who in ("Hopline", "pass-through"):
        marginal = (long[who] - short[-1][who]) / (LONG - SHORT)
        print(f"  a token more, 16 at once    {who:14} {marginal * 1e6:8.1f} µs CPU")
    memory(stage)
    await paced(stage, streams)


async def idle_rate(stage: Stage) -> dict[str, float]:
    """CPU seconds a second that each process uses for its sweeps and leases when nobody asks anything."""
    await asyncio.sleep(SETTLE_S)
    before, start = cpu_of(stage.stack.pids), time.monotonic()
    await asyncio.sleep(IDLE_S)
    after, elapsed = cpu_of(stage.stack.pids), time.monotonic() - start
    rates = {name: (after[name] - before[name]) / elapsed for name in before}
    print("\nIdle, CPU ms a second")
    print("  " + "   ".join(f"{name} {rate * 1000:.1f}" for name, rate in rates.items() if name in OURS + DATABASES))
    return rates


async def first_token(stage: Stage, *, rounds: int) -> None:
    print(f"\nTime to first token, one caller, {rounds} answers each, ms")
    direct: list[float] = []
    for name, url in _ways(stage):
        answers = await ask_many(url, SHORT_MODEL, at_once=1, rounds=rounds)
        times = [answer.time_to_first_token * 1000 for answer in answers]
        direct = direct or times
        added = statistics.median(times) - statistics.median(direct)
        print(f"  {name:14} p50 {_p(times, 50):7.1f}   p95 {_p(times, 95):7.1f}   added at p50 {added:7.1f}")


async def cost(stage: Stage, model: str, idle: dict[str, float], *, at_once: int, rounds: int) -> dict[str, float]:
    """CPU seconds an answer of Hopline, its idle rate taken off, and of the pass-through, one after the other."""
    before, start = cpu_of(stage.stack.pids), time.monotonic()
    answers = await ask_many(stage.hopline_url, model, at_once=at_once, rounds=rounds)
    await asyncio.sleep(SETTLE_S)
    after, elapsed = cpu_of(stage.stack.pids), time.monotonic() - start
    used = {name: (after[name] - before[name] - idle[name] * elapsed) / len(answers) for name in before}
    through = cpu_seconds(stage.pass_through_pid)
    others = await ask_many(stage.pass_through_url, model, at_once=at_once, rounds=rounds)
    through = (cpu_seconds(stage.pass_through_pid) - through) / len(others)
    _check_whole([*answers, *others], model)
    ours = sum(used[name] for name in OURS)
    print(f"\nCPU an answer, {model}, {at_once} at once, ms")
    print(f"  Hopline {ours * 1000:.1f}   pass-through {through * 1000:.1f}   ratio {ours / max(through, 1e-9):.1f}")
    print("  " + "   ".join(f"{name} {used[name] * 1000:.1f}" for name in OURS))
    print("  apart: " + "   ".join(f"{name} {used[name] * 1000:.1f}" for name in DATABASES))
    return {"Hopline": ours, "pass-through": through}


def memory(stage: Stage) -> None:
    print("\nMemory (PSS), MiB")
    shares = {name: pss_mib(pid) for name, pid in stage.stack.pids.items()}
    print("  " + "   ".join(f"{name} {share:.0f}" for name, share in shares.items()))
    ours = sum(shares[name] for name in OURS)
    print(f"  Hopline {ours:.0f}   pass-through {pss_mib(stage.pass_through_pid):.0f}   all {sum(shares.values()):.0f}")


async def paced(stage: Stage, streams: int) -> None:
    print(f"\n{streams} streams at once, {PACED_TOKENS} tokens at {PACED_RATE} a second")
    for name, url in _ways(stage):
        answers = await ask_many(url, PACED_MODEL, at_once=streams, rounds=1)
        delivered = sum(answer.words for answer in answers) / (streams * PACED_TOKENS)
        gaps = [answer.longest_gap * 1000 for answer in answers]
        late = statistics.median(answer.duration for answer in answers) - PACED_TOKENS / PACED_RATE
        print(
            f"  {name:14} delivered {delivered:7.2%}   longest gap p50 {_p(gaps, 50):6.0f} ms, "
            f"worst {max(gaps):6.0f} ms   late at the end {late * 1000:6.0f} ms"
        )


def _ways(stage: Stage) -> Sequence[tuple[str, str]]:
    return (("direct", stage.direct_url), ("pass-through", stage.pass_through_url), ("Hopline", stage.hopline_url))


def _check_whole(answers: Sequence[Answer], model: str) -> None:
    wanted = int(model.partition("-")[0])
    broken = [answer.words for answer in answers if answer.words != wanted]
    assert not broken, f"answers that were not whole: {broken[:5]} words instead of {wanted}"


def _p(values: Sequence[float], percent: int) -> float:
    """The value below which `percent` of them are."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


if __name__ == "__main__":
    main()

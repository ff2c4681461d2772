"""`make bench`: prints what Hopline costs, side by side with a direct call and the plainest pass-through."""

import argparse
import asyncio
import os
import statistics
from collections.abc import Sequence
from pathlib import Path

from bench.caller import ask_many
from bench.costs import Cost, cost_of, idle_rates, listed
from bench.processes import pss_mib
from bench.stage import AROUND, DATABASES, OURS, PASS_THROUGH, Stage, staged
from bench.where import print_where

SHORT, LONG = 200, 2000
REAL_RATE = 50
PACED_TOKENS, PACED_RATE = 300, 20
SHORT_MODEL, LONG_MODEL = str(SHORT), str(LONG)
REAL_MODEL, PACED_MODEL = f"{SHORT}-at-{REAL_RATE}", f"{PACED_TOKENS}-at-{PACED_RATE}"
MODELS = (SHORT_MODEL, LONG_MODEL, REAL_MODEL, PACED_MODEL)
IDLE_S = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="answers one after another, a caller (default 8)")
    parser.add_argument("--repeats", type=int, default=3, help="measurements a figure is the median of (default 3)")
    parser.add_argument("--streams", type=int, default=200, help="paced streams at once (default 200)")
    parser.add_argument("--traces", type=float, default=1.0, help="share of traces sent to the sink (default 1.0)")
    parser.add_argument("--where", type=Path, help="profile with py-spy instead; its raw files go into this folder")
    wanted = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {_load()} at the start, traces at {wanted.traces:g}")
    with staged(MODELS, traces_sample_rate=wanted.traces) as stage:
        if wanted.where is None:
            asyncio.run(run(stage, rounds=wanted.rounds, repeats=wanted.repeats, streams=wanted.streams))
        else:
            wanted.where.mkdir(parents=True, exist_ok=True)
            asyncio.run(print_where(stage, SHORT_MODEL, LONG_MODEL, wanted.where))
    print(f"\nload {_load()} at the end")


async def run(stage: Stage, *, rounds: int, repeats: int, streams: int) -> None:
    for _, url in stage.ways:
        await ask_many(url, SHORT_MODEL, at_once=4, rounds=3)  # what is made on first use is made
    memory(stage, "fresh")
    idle = await idle_rates(stage, seconds=IDLE_S)
    print(f"\nIdle, CPU ms a second\n  {listed(idle, OURS + DATABASES)}")
    await first_token(stage, rounds=max(20, rounds * 2), repeats=repeats)
    short = [
        await cost(stage, SHORT_MODEL, idle, at_once=at_once, rounds=rounds, repeats=repeats) for at_once in (1, 4, 16)
    ]
    long = await cost(stage, LONG_MODEL, idle, at_once=16, rounds=1, repeats=repeats)
    marginal(short[-1], long)
    for at_once in (1, 16):
        await cost(stage, REAL_MODEL, idle, at_once=at_once, rounds=2, repeats=1)
    await paced(stage, streams)
    memory(stage, "after all that")


async def first_token(stage: Stage, *, rounds: int, repeats: int) -> None:
    print(f"\nTime to first token, one caller, {rounds * repeats} answers each, ms")
    times: dict[str, list[float]] = {name: [] for name, _ in stage.ways}
    for _ in range(repeats):
        for name, url in stage.ways:
            answers = await ask_many(url, SHORT_MODEL, at_once=1, rounds=rounds)
            times[name] += [answer.time_to_first_token * 1000 for answer in answers]
    for name, values in times.items():
        added = [_p(values, percent) - _p(times["direct"], percent) for percent in (50, 95)]
        print(
            f"  {name:14} p50 {_p(values, 50):7.1f}   p95 {_p(values, 95):7.1f}   "
            f"added p50 {added[0]:7.1f}   p95 {added[1]:7.1f}"
        )


async def cost(stage: Stage, model: str, idle: dict[str, float], *, at_once: int, rounds: int, repeats: int) -> Cost:
    tokens, _, rate = model.partition("-at-")
    pace = f", {rate} a second" if rate else ""
    print(f"\nCPU an answer, {tokens} tokens{pace}, {at_once} at once, {at_once * rounds} answers × {repeats}, ms")
    found = await cost_of(stage, model, idle, at_once=at_once, rounds=rounds, repeats=repeats)
    print(f"  Hopline {found.ours:.1f}   pass-through {found.pass_through:.1f}   ratio {found.ratio:.1f}")
    print(f"  of which  {listed(found.by_process, OURS)}")
    print(f"  apart     {listed(found.by_process, DATABASES)}   around it  {listed(found.by_process, AROUND)}")
    return found


def marginal(short: Cost, long: Cost) -> None:
    print(f"\nA token more, 16 at once, from {SHORT} to {LONG} tokens, µs CPU")
    per_token = 1000 / (LONG - SHORT)
    ours, through = (long.ours - short.ours) * per_token, (long.pass_through - short.pass_through) * per_token
    by_process = {name: (long.by_process[name] - short.by_process[name]) * per_token for name in short.by_process}
    print(f"  Hopline {ours:.1f}   pass-through {through:.1f}   ratio {ours / through:.1f}")
    print(f"  of which  {listed(by_process, OURS)}")
    print(f"  apart     {listed(by_process, DATABASES)}   around it  {listed(by_process, AROUND)}")


def memory(stage: Stage, when: str) -> None:
    shares = {name: pss_mib(stage.pids[name]) for name in (*OURS, *DATABASES, PASS_THROUGH)}
    ours, databases = (sum(shares[name] for name in names) for names in (OURS, DATABASES))
    print(f"\nMemory (PSS) {when}, MiB")
    print(f"  Hopline {ours:.0f}   databases {databases:.0f}   pass-through {shares[PASS_THROUGH]:.0f}")
    print(f"  of which  {listed(shares, OURS + DATABASES)}")


async def paced(stage: Stage, streams: int) -> None:
    print(f"\n{streams} streams at once, {PACED_TOKENS} tokens at {PACED_RATE} a second")
    for name, url in stage.ways:
        answers = await ask_many(url, PACED_MODEL, at_once=streams, rounds=1)
        delivered = sum(answer.words for answer in answers) / (streams * PACED_TOKENS)
        gaps = [answer.longest_gap * 1000 for answer in answers]
        first = [answer.time_to_first_token * 1000 for answer in answers]
        late = statistics.median(answer.duration for answer in answers) - PACED_TOKENS / PACED_RATE
        print(
            f"  {name:14} delivered {delivered:.2%}   longest gap p50 {_p(gaps, 50):.0f} ms, worst {max(gaps):.0f} ms"
            f"   first token p50 {_p(first, 50):.0f} ms   late at the end {late * 1000:.0f} ms"
        )


def _p(values: Sequence[float], percent: int) -> float:
    """The value below which `percent` of them are."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    main()

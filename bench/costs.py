"""CPU of an answer: what each process used for it, measured from outside."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.caller import Answer, ask_many
from bench.processes import cpu_of, own_cpu_seconds
from bench.scripted_model import script_of
from bench.stage import OURS, PASS_THROUGH, Stage

SETTLE_S = 2.0
"""After the last answer: the ledger's rows and the telemetry that are still on their way belong to it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU milliseconds an answer. `by_process` is of the answers through Hopline, what idling costs taken off."""

    by_process: dict[str, float]
    pass_through: float

    @property
    def ours(self) -> float:
        return sum(self.by_process[name] for name in OURS)

    @property
    def ratio(self) -> float:
        return self.ours / self.pass_through


async def idle_rates(stage: Stage, *, seconds: float) -> dict[str, float]:
    """CPU milliseconds a second that each process uses for its sweeps and leases when nobody asks anything."""
    await asyncio.sleep(SETTLE_S)
    before, start = _used(stage), time.monotonic()
    await asyncio.sleep(seconds)
    after, elapsed = _used(stage), time.monotonic() - start
    return {name: (after[name] - before[name]) * 1000 / elapsed for name in before}


async def cost_of(stage: Stage, model: str, idle: dict[str, float], *, at_once: int, rounds: int, repeats: int) -> Cost:
    """The median of `repeats` measurements, Hopline and the pass-through in turn."""
    costs = [await _cost_of(stage, model, idle, at_once=at_once, rounds=rounds) for _ in range(repeats)]
    names = costs[0].by_process
    return Cost(
        {name: statistics.median(cost.by_process[name] for cost in costs) for name in names},
        statistics.median(cost.pass_through for cost in costs),
    )


async def _cost_of(stage: Stage, model: str, idle: dict[str, float], *, at_once: int, rounds: int) -> Cost:
    before, start = _used(stage), time.monotonic()
    answers = await ask_many(stage.hopline_url, model, at_once=at_once, rounds=rounds)
    await asyncio.sleep(SETTLE_S)
    after, elapsed = _used(stage), time.monotonic() - start
    used = {name: ((after[name] - before[name]) * 1000 - idle[name] * elapsed) / len(answers) for name in before}
    through = _used(stage)[PASS_THROUGH]
    others = await ask_many(stage.pass_through_url, model, at_once=at_once, rounds=rounds)
    through = (_used(stage)[PASS_THROUGH] - through) * 1000 / len(others)
    _check_whole([*answers, *others], model)
    return Cost(used, through)


def _used(stage: Stage) -> dict[str, float]:
    """The caller is this process: what it started is its child, and counted by itself."""
    others = {name: pid for name, pid in stage.pids.items() if name != "caller"}
    return {**cpu_of(others), "caller": own_cpu_seconds(stage.pids["caller"])}


def _check_whole(answers: Sequence[Answer], model: str) -> None:
    wanted, _ = script_of(model)
    broken = [answer.words for answer in answers if answer.words != wanted]
    assert not broken, f"answers that were not whole: {broken[:5]} words instead of {wanted}"


def listed(by_process: dict[str, float], names: Sequence[str]) -> str:
    return "   ".join(f"{name} {by_process[name]:.1f}" for name in names)

"""Money is exact: decimals in, decimals out, and text that reads as one would write it."""

from decimal import Decimal
from typing import Any

import pytest

from wire.contracts.money import Price, money_text


def price(**per_million: str) -> Price:
    return Price.model_validate(per_million)


@pytest.mark.parametrize(
    ("of", "tokens", "cost"),
    [
        (price(input="0.15", output="0.60"), (1000, 0, 500), "0.00045"),
        (price(input="0.15", output="0.60", cached_input="0.075"), (1000, 400, 500), "0.00042"),
        (price(input="0.15", output="0.60"), (1000, 400, 500), "0.00045"),
        (price(input="0.15", output="0.60", cached_input="0"), (1000, 1000, 0), "0"),
        (price(input="0", output="0"), (1000, 0, 500), "0"),
        (price(input="3", output="15"), (0, 0, 0), "0"),
        (price(input="0.1", output="0.2"), (1, 0, 1), "0.0000003"),
    ],
)
def test_a_call_costs_its_tokens_at_their_price(of: Price, tokens: tuple[int, int, int], cost: str) -> None:
    input_tokens, cached_tokens, output_tokens = tokens

    exact = of.cost_of(input_tokens=input_tokens, cached_tokens=cached_tokens, output_tokens=output_tokens)

    assert exact == Decimal(cost)


def test_no_digit_is_rounded_away() -> None:
    long = price(input="0.12345678901234567890123456789", output="1")

    cost = long.cost_of(input_tokens=999_999_999_999, cached_tokens=0, output_tokens=0)

    assert cost == Decimal("123456.78901222222211222222221109876543211")


def test_the_sum_of_many_small_costs_is_exact() -> None:
    one = price(input="0.1", output="0").cost_of(input_tokens=1, cached_tokens=0, output_tokens=0)

    assert sum([one] * 10_000, Decimal(0)) == Decimal("0.001")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0"),
        ("0.000", "0"),
        ("1E-9", "0.000000001"),
        ("0.10", "0.1"),
        ("100", "100"),
        ("1E+3", "1000"),
        ("12.3400", "12.34"),
    ],
)
def test_money_is_written_plainly(amount: str, text: str) -> None:
    assert money_text(Decimal(amount)) == text


def test_a_price_travels_as_text() -> None:
    sent: dict[str, Any] = price(input="0.15", output="0.60").model_dump(mode="json")

    assert sent == {"input": "0.15", "output": "0.60", "cached_input": None, "version": "models.toml"}
    assert Price.model_validate(sent) == price(input="0.15", output="0.60")

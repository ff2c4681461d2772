"""Money: exact decimals, in US dollars. Never a float."""

from decimal import Decimal, localcontext

from wire.contracts import Readable

TOKENS_PER_PRICE = Decimal(1_000_000)
DIGITS = 100
"""More than any price has with any number of tokens: the usual 28 would round without a word."""


class Price(Readable):
    """US dollars per million tokens. Cached input without a price of its own costs what input costs."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    version: str = "models.toml"

    def cost_of(self, *, input_tokens: int, cached_tokens: int, output_tokens: int) -> Decimal:
        """Exact US dollars of one call; `input_tokens` includes the cached ones, as providers report them."""
        cached_price = self.input if self.cached_input is None else self.cached_input
        with localcontext(prec=DIGITS):
            total = self.input * (input_tokens - cached_tokens) + cached_price * cached_tokens
            return (total + self.output * output_tokens) / TOKENS_PER_PRICE


def money_text(amount: Decimal) -> str:
    """Plain decimal notation without an exponent and without trailing zeros: `0.00123`."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text

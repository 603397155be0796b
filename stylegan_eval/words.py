"""Numbers in words: with as many digits as they deserve, with their errors. Plain text."""

import math


def number(value: float) -> str:
    """Four significant digits, never an exponent for what people read as a number."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = 3 - math.floor(math.log10(abs(value)))
    return f"{value:.{max(decimals, 0)}f}" if abs(value) >= 1e-4 else f"{value:.3g}"


def with_error(value: float, error: float | None) -> str:
    """Value ± error, both to two significant digits of the error."""
    if error is None:
        return number(value)
    if error == 0 or not math.isfinite(error):
        return f"{number(value)} ± {error:g}"
    decimals = max(1 - math.floor(math.log10(error)), 0)
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def probability(p: float) -> str:
    """'p = 0.02', or 'p < 0.0001'."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def duration(seconds: float) -> str:
    """'3.2 h', '12 min', '40 s'."""
    if seconds >= 48 * 3600:
        return f"{seconds / 86400:.1f} days"
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def number_plain(value: float) -> str:
    """A number somebody chose, as it was typed: '100', '0.5', '25000'."""
    return f"{value:.10g}"

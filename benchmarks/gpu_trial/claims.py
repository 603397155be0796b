"""Claims with bounds, and verdicts on them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

Verdict = Literal["holds", "refuted", "not tried"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


class NotTriedError(Exception):
    """A claim cannot be tried here; the message says why."""


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < math.inf else f"{value:.3g}"


@dataclass(frozen=True, kw_only=True)
class Bound:
    """Range that a measured number must lie in, both ends included."""

    least: float = -math.inf
    most: float = math.inf
    unit: str = ""

    def text(self, value: float) -> str:
        """A measured number with its unit."""
        return f"{_number(value)} {self.unit}".strip()

    def __str__(self) -> str:
        if self.least == self.most:
            return self.text(self.least)
        if math.isinf(self.least):
            return f"at most {self.text(self.most)}"
        if math.isinf(self.most):
            return f"at least {self.text(self.least)}"
        return f"{_number(self.least)} to {self.text(self.most)}"

    def verdict(self, value: float) -> Verdict:
        """Whether a measured number keeps the bound; one that is no number does not.

        >>> Bound(least=0.9, most=1.1).verdict(1.0), Bound(most=0).verdict(math.nan)
        ('holds', 'refuted')
        """
        return "holds" if self.least <= value <= self.most else "refuted"


@dataclass(frozen=True, kw_only=True)
class Check:
    """A claim and how it is measured."""

    claim: str  # One line, unlike those of the part's other checks
    bound: Bound
    measure: Callable[[], float | tuple[float, str]]
    """A number, and what it was made of where that says more; NotTriedError where it cannot be."""
    no_verdict: str = ""
    """Why the number is shown, but says nothing here; empty where the bound counts."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A row of the trial's result."""

    part: str  # Key of `PARTS`
    claim: str
    bound: str
    verdict: Verdict = "not tried"
    measured: str = ""  # With its unit
    detail: str = ""  # What it was made of
    why: str = ""  # Not tried, or refuted by something other than the bound
    seconds: float = 0.0  # Time that it took

    @property
    def line(self) -> str:
        """The row as text."""
        measured = f": {self.measured}" if self.measured else ""
        measured += f", {self.detail}" if self.detail else ""
        why = f"; {self.why}" if self.why else ""
        return f"{self.verdict:9s}  {self.claim}{measured} ({self.bound}){why}"


def judge(part: str, check: Check) -> Finding:
    """Measure a claim; what it raises other than `NotTriedError` passes."""
    measured, detail, why, verdict = "", "", check.no_verdict, VERDICTS[-1]
    try:
        found = check.measure()
    except NotTriedError as reason:
        why = str(reason)
    else:
        value, detail = found if isinstance(found, tuple) else (found, "")
        measured = check.bound.text(value)
        verdict = verdict if check.no_verdict else check.bound.verdict(value)
    return Finding(
        part=part,
        claim=check.claim,
        bound=str(check.bound),
        verdict=verdict,
        measured=measured,
        detail=detail,
        why=why,
    )

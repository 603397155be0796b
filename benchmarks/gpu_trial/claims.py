"""Claims with bounds, verdicts on them, and the file that keeps these."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from benchmarks.folder import read_json, write_json
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError

FORMAT = "stylegan-gpu-trial/1"
NAME = "results.json"
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


class Record:
    """File of findings, whole after every claim: a trial that was stopped goes on from it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.about: dict[str, str] = {}  # Device, versions
        self.findings: list[Finding] = []
        self.running: Finding | None = None  # As it stands if the process dies
        if self.path.exists():
            self._read(read_json(self.path))

    def _read(self, tree: Mapping[str, Any]) -> None:
        with parsing(self.path, f"is no {FORMAT}", "choose another folder with --out"):
            if tree["format"] != FORMAT:
                raise ValueError(tree["format"])
            self.about = dict(tree["about"])
            self.findings = [Finding(**row) for row in tree["findings"]]
            self.running = None if tree["running"] is None else Finding(**tree["running"])

    def tried_on(self, about: Mapping[str, str]) -> None:
        """Note device and versions; UserError where earlier findings are of others."""
        for key, value in self.about.items():
            if about.get(key) != value:
                raise UserError(
                    f"{self.path.parent} holds a trial with {key} {value}, not {about.get(key)}:"
                    " choose another folder with --out"
                )
        self.about = dict(about)
        self._write()

    def knows(self, part: str, claim: str) -> bool:
        """Whether a claim was tried."""
        return any((each.part, each.claim) == (part, claim) for each in self.findings)

    def begin(self, finding: Finding | None) -> None:
        """Note what is being tried; None: nothing, whatever was when the trial was stopped."""
        self.running = finding
        self._write()

    def add(self, finding: Finding) -> None:
        """Note a finding."""
        self.findings.append(finding)
        self.running = None
        self._write()

    def bury(self, reason: str) -> None:
        """Refute the claim during which the process died."""
        assert self.running is not None
        self.add(replace(self.running, verdict="refuted", why=f"the process ended: {reason}"))

    def _write(self) -> None:
        tree = {
            "format": FORMAT,
            "about": self.about,
            "findings": [asdict(finding) for finding in self.findings],
            "running": None if self.running is None else asdict(self.running),
        }
        write_json(self.path, tree)

    def of(self, parts: Sequence[str]) -> list[Finding]:
        """Findings of some parts, in the order of the trial."""
        return [each for each in self.findings if each.part in parts]


def summary(findings: Sequence[Finding]) -> str:
    """How many of each verdict, as text."""
    counts = (sum(each.verdict == verdict for each in findings) for verdict in VERDICTS)
    holding, refuted, rest = counts
    return f"{len(findings)} claims: {holding} hold, {refuted} refuted, {rest} not tried"

"""File of a trial's findings, whole after every claim: a trial that was stopped goes on from it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.folder import read_json, write_json
from benchmarks.gpu_trial.claims import VERDICTS, Finding
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError

FORMAT = "stylegan-gpu-trial/1"
NAME = "results.json"


class Record:
    """Findings so far, the claim that is being tried, and what it is tried on."""

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

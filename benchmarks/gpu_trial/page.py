"""The page of a trial: every claim with its measurement, bound and verdict."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu_trial import PARTS
from benchmarks.gpu_trial.claims import Finding
from benchmarks.gpu_trial.record import NAME, Record, summary
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.report import shell

PAGE = "index.html"
_MARKS = {
    "holds": "holds",
    "refuted": '<b class="failed">refuted</b>',
    "not tried": "<i>not tried</i>",
}


def write_page(record: Record, folder: Path) -> None:
    """Write the page of all findings so far."""
    groups = {name: record.of([name]) for name in PARTS}
    tried = {name: findings for name, findings in groups.items() if findings}
    refuted = [each for each in record.findings if each.verdict == "refuted"]
    about = [*record.about.items(), ("claims", summary(record.findings))]
    text = shell.page(
        f"Trial on {record.about.get('device', 'a machine')}",
        intro=shell.terms(about)
        + shell.contents("Parts", ((name, _link(name, each)) for name, each in tried.items())),
        main="\n".join(
            [
                shell.section("refuted", "Refuted", _table("Refuted", refuted)) if refuted else "",
                *(_section(name, findings) for name, findings in tried.items()),
            ]
        ),
        footer=f"<p>Written by python -m benchmarks.gpu_trial; the same in {NAME}.</p>",
    )
    with atomic_write(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _link(name: str, findings: Sequence[Finding]) -> str:
    refuted = sum(each.verdict == "refuted" for each in findings)
    words = shell.text(PARTS[name].title)
    return f'{words} <span class="failed">({refuted} refuted)</span>' if refuted else words


def _section(name: str, findings: Sequence[Finding]) -> str:
    title = PARTS[name].title
    seconds = sum(each.seconds for each in findings)
    took = f"{summary(findings)}; {seconds:.0f} s. Again: --only {name} with another --out."
    return shell.section(name, title, shell.note(took), _table(title, findings))


def _table(label: str, findings: Sequence[Finding]) -> str:
    heads = [shell.head("claim", "text")]
    heads += [shell.head(words, kind="number") for words in ("measured", "bound")]
    heads += [shell.head("verdict", "text")]
    return shell.table(label, heads, map(_row, findings))


def _row(each: Finding) -> list[str]:
    return [
        shell.cell(shell.text(each.claim), each.claim, "names"),
        shell.cell(f"{shell.text(each.measured)}{_below(each.detail)}", kind="number"),
        shell.cell(shell.text(each.bound), kind="number"),
        shell.cell(f"{_MARKS[each.verdict]}{_below(each.why)}", each.verdict, "label"),
    ]


def _below(words: str) -> str:
    return f"<div><span>{shell.text(words)}</span></div>" if words else ""

"""`python -m benchmarks.gpu_trial`: measure on a GPU what training and evaluation claim; its page.

The claims are tried in a process of their own. One that dies refutes the claim that it was trying,
and another goes on with the next.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.gpu_trial import PARTS
from benchmarks.gpu_trial.claims import NAME, Finding, Record, summary
from benchmarks.processes import call
from stylegan_eval.engine.command import EXIT_ERROR, ErrorLineCommand, stopping_on_signals
from stylegan_eval.engine.files import atomic_write, held
from stylegan_eval.report import shell

_LOG = "trial.log"
PAGE = "index.html"
_MARKS = {
    "holds": "holds",
    "refuted": '<b class="failed">refuted</b>',
    "not tried": "<i>not tried</i>",
}


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Folder of the trial; one that was stopped goes on where it was.",
)
@click.option(
    "--device",
    type=click.Choice(["cuda", "cpu"]),
    default="cuda",
    help="On a CPU everything is small, and claims on time have no verdict.",
)
@click.option("--gpus", type=click.IntRange(min=1), default=1, help="Of the part `processes`.")
@click.option(
    "--only",
    "parts",
    type=click.Choice(list(PARTS)),
    multiple=True,
    metavar="PART",
    help=f"Try this part alone; may be repeated. Parts: {', '.join(PARTS)}.",
)
@click.option(
    "--digests",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE.json",
    help="Expected digests of random numbers.  [default: those of this checkout]",
)
@click.option("--here", is_flag=True, hidden=True)  # the process that tries the claims
def main(
    out: Path, device: str, gpus: int, parts: tuple[str, ...], digests: Path | None, *, here: bool
) -> None:
    """Try every claim on this machine and write DIR/index.html; exit with 1 if one is refuted.

    \b
    python -m benchmarks.gpu_trial --out trial/
    python -m benchmarks.gpu_trial --out trial/ --only numbers --only memory
    python -m benchmarks.gpu_trial --out small/ --device cpu
    """
    names = [name for name in PARTS if not parts or name in parts]
    with stopping_on_signals():
        if here:
            from benchmarks.gpu_trial.trial import try_parts

            try_parts(names, out=out, device=device, gpus=gpus, digests=digests)
            return
        arguments = ["--out", os.fspath(out), "--device", device, "--gpus", str(gpus), "--here"]
        arguments += [word for name in parts for word in ("--only", name)]
        arguments += [] if digests is None else ["--digests", os.fspath(digests)]
        with held(out / _LOG):
            try:
                _try_apart(arguments, out)
            finally:  # stopped or not: what was measured so far
                record = Record(out)
                if record.about:
                    write_page(record, out)
                else:  # refused before anything was measured: `held` removes an empty file
                    os.truncate(out / _LOG, 0)
    findings = record.of(names)
    click.echo(summary(findings))
    click.echo(out / PAGE)
    if any(each.verdict == "refuted" for each in findings):
        raise SystemExit(EXIT_ERROR)


def _try_apart(arguments: Sequence[str], out: Path) -> None:
    """Try in a process of its own, and in another one after each that died."""
    if (record := Record(out)).running is not None:  # when an earlier trial was stopped
        record.begin(None)
    while reason := call("benchmarks.gpu_trial", arguments, out / _LOG):
        record = Record(out)
        if record.running is None:  # it has said why
            raise SystemExit(EXIT_ERROR)
        record.bury(reason)


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


if __name__ == "__main__":
    main()

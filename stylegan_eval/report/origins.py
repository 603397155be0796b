"""The parts of a report as HTML: configurations, and where the numbers come from."""

import itertools
from collections.abc import Mapping, Sequence

from stylegan_eval.report import shell
from stylegan_eval.report.parts import code
from stylegan_eval.report.provenance import (
    batches_of,
    compare_settings,
    facts_of,
    files_of,
)
from stylegan_eval.report.subjects import Subject
from stylegan_eval.report.summary import letters


def settings_part(settings: Mapping[str, Mapping[str, str]]) -> str:
    """Configurations: what differs, or all of it where there is but one.

    Parameters
    ----------
    settings : mapping
        By label of the generator, the configuration: name and JSON.
    """
    if not settings:
        return ""
    found = compare_settings(settings)
    equal = "".join(
        f"<div><dt>{code(each.key)}</dt><dd>{shell.text(next(iter(each.values.values())))}</dd></div>"
        for each in found.equal
    )
    listed = f'<dl class="settings">{equal}</dl>'
    if len(settings) == 1:
        return shell.section("settings", "Configuration", listed)
    heads = [shell.head("setting", "text")]
    heads += [shell.head(f"<b>{shell.text(label)}</b>") for label in settings]
    rows = [
        [
            shell.row_name(code(each.key), each.key),
            *(shell.cell(shell.text(each.values.get(label, ""))) for label in settings),
        ]
        for each in found.different
    ]
    differing = (
        shell.table("Settings that differ", heads, rows) if rows else "<p>No setting differs.</p>"
    )
    equal_part = f"<h3>Equal in all that tell it</h3>{listed}" if found.equal else ""
    return shell.section("settings", "Configurations that differ", differing, equal_part)


def provenance_part(
    subjects: Sequence[Subject], origins: Mapping[str, Mapping[str, str]], command: str
) -> str:
    """Who measured what, with what, where and when.

    Parameters
    ----------
    subjects : sequence of Subject
        The generators.
    origins : mapping
        By label, what the file of a generator says of its making.
    command : str
        What made the page; may be empty.
    """
    made = f"<p>This page:</p><pre><code>{shell.text(command)}</code></pre>" if command else ""
    return shell.section(
        "provenance",
        "Where the numbers come from",
        *itertools.chain.from_iterable(
            _of_subject(subject, origins.get(subject.label, {}), letters(subjects))
            for subject in subjects
        ),
        _files(subjects),
        made,
    )


def _of_subject(
    subject: Subject, origin: Mapping[str, str], known: Mapping[tuple[str, ...], str]
) -> list[str]:
    rows = [
        [
            shell.cell(", ".join(map(code, batch.metrics)), kind="names"),
            shell.cell(", ".join(dict.fromkeys(known[each] for each in batch.protocols))),
            shell.cell(shell.text(batch.seed)),
            shell.cell("<br>".join(map(shell.text, batch.where)), kind="how"),
        ]
        for batch in batches_of(subject)
    ]
    heads = [shell.head(words) for words in ("metrics", "protocols", "seed", "measured")]
    return [
        f"<h3>{shell.text(subject.label)}</h3>",
        shell.terms(facts_of(subject, origin)),
        shell.table(f"Measurements of {subject.label}", heads, rows) if rows else "",
    ]


def _files(subjects: Sequence[Subject]) -> str:
    found = files_of(subjects)
    if not found:
        return ""
    heads = [shell.head("network or images", "text"), shell.head("SHA-256 of weights or content")]
    rows = [
        [shell.row_name(shell.text(name), name), shell.cell(code(digest))] for name, digest in found
    ]
    table = shell.table("Networks and real images", heads, rows)
    return f"<h3>Networks and real images</h3>{table}"

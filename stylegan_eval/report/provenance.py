"""Configurations, files and protocols of the results of a report."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from stylegan_eval.report import shell
from stylegan_eval.report.shell import code, place, sentence
from stylegan_eval.report.subjects import Subject
from stylegan_eval.results.formatting import duration
from stylegan_eval.results.measured import Measured

# Names, not choices: they differ wherever anything does.
_NAMES = ("name", "change")


# By name of a setting (``loss.r1_gamma``), its value in words by label; not there where unknown.
Settings = dict[str, dict[str, str]]


def compare_settings(settings: Mapping[str, Mapping[str, str]]) -> tuple[Settings, Settings]:
    """Settings that differ, and those that are equal in all that tell them.

    `settings`: by label, the configuration: name and JSON.
    """
    keys = dict.fromkeys(key for one in settings.values() for key in one if key not in _NAMES)
    different: Settings = {}
    equal: Settings = {}
    for key in keys:
        values = {label: one[key] for label, one in settings.items() if key in one}
        found = different if len(set(values.values())) > 1 else equal
        found[key] = {label: _plain(value) for label, value in values.items()}
    return different, equal


def _plain(value: str) -> str:
    """JSON as people write it."""
    try:
        found = json.loads(value)
    except ValueError:
        return value
    if isinstance(found, str):
        return found or "none"
    if isinstance(found, bool):
        return "yes" if found else "no"
    return "none" if found in (None, []) else value


_TOGETHER = ("seed", "device", "processes", "torch", "version")


def batches_of(subject: Subject) -> list[list[Measured]]:
    """Results of a generator that were measured on one machine with one seed, by these."""
    groups: dict[tuple[str, ...], list[Measured]] = {}
    for row in subject.results:
        groups.setdefault(tuple(row[column] for column in _TOGETHER), []).append(row)
    return list(groups.values())


def _batch(rows: Sequence[Measured], known: Mapping[tuple[str, ...], str]) -> list[str]:
    """Cells of such results: metrics, letters of their protocols, seed, and where and when."""
    one = rows[0]
    days = sorted(row["date"][:16].replace("T", " ") for row in rows)  # to the minute
    longest = max(_number(row["seconds"]) for row in rows)
    plural = "" if one["processes"] == "1" else "es"
    where = (
        f"{one['device']}, {one['processes']} process{plural}",
        f"PyTorch {one['torch']}, stylegan-bench {one['version']}",
        f"{days[0]} UTC" if days[0] == days[-1] else f"{days[0]} to {days[-1]} UTC",
        f"up to {duration(longest)} for one command",
    )
    metrics = dict.fromkeys(row.part_of or row.metric for row in rows)
    return [
        shell.cell(", ".join(map(code, metrics)), kind="names"),
        shell.cell(", ".join(dict.fromkeys(known[row.defining] for row in rows))),
        shell.cell(shell.text(one["seed"])),
        shell.cell("<br>".join(map(shell.text, where)), kind="how"),
    ]


def files_of(subjects: Sequence[Subject]) -> list[tuple[str, str]]:
    """Networks and real images that took part: (name, digest) pairs, each once."""
    found: dict[tuple[str, str], None] = {}
    for subject in subjects:
        for row in subject.results:
            for name, digest in (("detector", "weights_sha256"), ("data", "data_digest")):
                if row[digest]:
                    found[row[name], row[digest]] = None
    return sorted(found)


def _number(words: str) -> float:
    try:
        return float(words)
    except ValueError:
        return 0.0


def facts_of(subject: Subject, origin: Mapping[str, str], base: Path) -> list[tuple[str, str]]:
    """Facts on a generator: (word, value) pairs; `base`: folder of the page."""
    names = [row["generator"] for row in subject.results[:1] if row["generator"]]
    names = names or [str(path) for path in subject.paths[:1]]
    said = [("generator", place(name, base)) for name in names]
    said += [("SHA-256", subject.digest)] if subject.digest else []
    said += [("description", subject.description)] if subject.description else []
    if subject.run is not None:
        said.append(("folder of the training", place(subject.run.folder, base)))
    said += [(word, sentence(content, base)) for word, content in origin.items()]
    files = dict.fromkeys(place(row.source, base) for row in subject.results)
    said += [("results from", ", ".join(files))] if files else []
    if subject.older:
        said.append(("older results", f"{subject.older} not shown, for newer ones replace them"))
    return said


def settings_part(settings: Mapping[str, Mapping[str, str]], base: Path) -> str:
    """Configurations: what differs, or all of it where there is but one.

    `settings`: by label of the generator, the configuration: name and JSON; `base`: folder of the
    page.
    """
    if not settings:
        return ""
    # Before paths are shortened: others may look the same.
    different, same = compare_settings(settings)

    def words(value: str) -> str:
        return shell.text(sentence(value, base))

    equal = "".join(
        f"<div><dt>{code(key)}</dt><dd>{words(next(iter(values.values())))}</dd></div>"
        for key, values in same.items()
    )
    listed = f'<dl class="settings">{equal}</dl>'
    if len(settings) == 1:
        return shell.section("settings", "Configuration", listed)
    heads = [shell.head("setting", "text")]
    heads += [shell.head(f"<b>{shell.text(label)}</b>") for label in settings]
    rows = [
        [
            shell.row_name(code(key), key),
            *(shell.cell(words(values.get(label, ""))) for label in settings),
        ]
        for key, values in different.items()
    ]
    differing = (
        shell.table("Settings that differ", heads, rows) if rows else "<p>No setting differs.</p>"
    )
    equal_part = f"<h3>Equal in all that tell it</h3>{listed}" if same else ""
    return shell.section("settings", "Configurations that differ", differing, equal_part)


def provenance_part(
    subjects: Sequence[Subject],
    known: Mapping[tuple[str, ...], str],
    origins: Mapping[str, Mapping[str, str]],
    command: str,
    base: Path,
) -> str:
    """Who measured what, with what, where and when.

    `known`: letters of the protocols; `origins`: by label, what the file of a generator says of its
    making; `base`: folder of the page.
    """
    made = f"<p>This page:</p>{shell.command(command)}" if command else ""
    return shell.section(
        "provenance",
        "Where the numbers come from",
        *itertools.chain.from_iterable(
            _of_subject(
                subject,
                facts_of(subject, origins.get(subject.label, {}), base),
                known,
            )
            for subject in subjects
        ),
        _files(subjects, base),
        made,
    )


def _of_subject(
    subject: Subject, facts: Sequence[tuple[str, str]], known: Mapping[tuple[str, ...], str]
) -> list[str]:
    rows = [_batch(batch, known) for batch in batches_of(subject)]
    heads = [shell.head(words) for words in ("metrics", "protocols", "seed", "measured")]
    return [
        f"<h3>{shell.text(subject.label)}</h3>",
        shell.terms(facts),
        shell.table(f"Measurements of {subject.label}", heads, rows) if rows else "",
    ]


def _files(subjects: Sequence[Subject], base: Path) -> str:
    found = files_of(subjects)
    if not found:
        return ""
    heads = [shell.head("network or images", "text"), shell.head("SHA-256 of weights or content")]
    rows = [
        [shell.row_name(shell.text(place(name, base)), place(name, base)), shell.cell(code(digest))]
        for name, digest in found
    ]
    table = shell.table("Networks and real images", heads, rows)
    return f"<h3>Networks and real images</h3>{table}"

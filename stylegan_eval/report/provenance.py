"""Configurations, files and protocols of the results of a report."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stylegan_eval.report import shell
from stylegan_eval.report.places import place, sentence
from stylegan_eval.report.shell import code
from stylegan_eval.report.subjects import Subject
from stylegan_eval.report.tables import letters
from stylegan_eval.results.formatting import duration
from stylegan_eval.results.measured import Measured

# Names, not choices: they differ wherever anything does.
_NAMES = ("name", "change")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A setting that differs."""

    key: str  # ``loss.r1_gamma``
    values: Mapping[str, str]  # By label of the generator, in words; not there where unknown


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Configurations side by side."""

    different: tuple[Difference, ...]  # What differs
    equal: tuple[Difference, ...]  # What is equal in all that tell it


def compare_settings(settings: Mapping[str, Mapping[str, str]]) -> Settings:
    """Lay configurations side by side.

    `settings`: by label, the configuration: name and JSON.
    """
    keys = dict.fromkeys(key for one in settings.values() for key in one if key not in _NAMES)
    different: list[Difference] = []
    equal: list[Difference] = []
    for key in keys:
        values = {label: one[key] for label, one in settings.items() if key in one}
        words = Difference(key=key, values={label: _plain(v) for label, v in values.items()})
        (different if len(set(values.values())) > 1 else equal).append(words)
    return Settings(different=tuple(different), equal=tuple(equal))


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


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Results that were measured on one machine with one seed."""

    metrics: tuple[str, ...]  # Their names; parts of a metric by the metric
    protocols: tuple[tuple[str, ...], ...]  # `Measured.defining` of each
    seed: str  # Of all that was random
    where: tuple[str, ...]  # Machine, versions, dates, seconds


_TOGETHER = ("seed", "device", "processes", "torch", "version")


def batches_of(subject: Subject) -> list[Batch]:
    """Results of a generator by where they were measured."""
    groups: dict[tuple[str, ...], list[Measured]] = {}
    for row in subject.results:
        groups.setdefault(tuple(row[column] for column in _TOGETHER), []).append(row)
    return [_batch(rows) for rows in groups.values()]


def _batch(rows: Sequence[Measured]) -> Batch:
    one = rows[0]
    days = sorted(row["date"][:16].replace("T", " ") for row in rows)  # to the minute
    longest = max(_number(row["seconds"]) for row in rows)
    plural = "" if one["processes"] == "1" else "es"
    return Batch(
        metrics=tuple(dict.fromkeys(row.part_of or row.metric for row in rows)),
        protocols=tuple(dict.fromkeys(row.defining for row in rows)),
        seed=one["seed"],
        where=(
            f"{one['device']}, {one['processes']} process{plural}",
            f"PyTorch {one['torch']}, stylegan-bench {one['version']}",
            f"{days[0]} UTC" if days[0] == days[-1] else f"{days[0]} to {days[-1]} UTC",
            f"up to {duration(longest)} for one command",
        ),
    )


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
    """What is known of a generator: (word, value) pairs; `base`: folder of the page."""
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
    found = compare_settings(settings)  # before paths are shortened: others may look the same

    def words(value: str) -> str:
        return shell.text(sentence(value, base))

    equal = "".join(
        f"<div><dt>{code(each.key)}</dt><dd>{words(next(iter(each.values.values())))}</dd></div>"
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
            *(shell.cell(words(each.values.get(label, ""))) for label in settings),
        ]
        for each in found.different
    ]
    differing = (
        shell.table("Settings that differ", heads, rows) if rows else "<p>No setting differs.</p>"
    )
    equal_part = f"<h3>Equal in all that tell it</h3>{listed}" if found.equal else ""
    return shell.section("settings", "Configurations that differ", differing, equal_part)


def provenance_part(
    subjects: Sequence[Subject],
    origins: Mapping[str, Mapping[str, str]],
    command: str,
    base: Path,
) -> str:
    """Who measured what, with what, where and when.

    `origins`: by label, what the file of a generator says of its making; `base`: folder of the
    page.
    """
    made = f"<p>This page:</p>{shell.command(command)}" if command else ""
    return shell.section(
        "provenance",
        "Where the numbers come from",
        *itertools.chain.from_iterable(
            _of_subject(
                subject,
                facts_of(subject, origins.get(subject.label, {}), base),
                letters(subjects),
            )
            for subject in subjects
        ),
        _files(subjects, base),
        made,
    )


def _of_subject(
    subject: Subject, facts: Sequence[tuple[str, str]], known: Mapping[tuple[str, ...], str]
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

"""Assemble and write the report page."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylegan_eval.engine.files import atomic_write, check_writable
from stylegan_eval.errors import UserError
from stylegan_eval.report import shell
from stylegan_eval.report.attributes import attributes_part
from stylegan_eval.report.curves import (
    SMOOTHED,
    best_of,
    length_charts,
    loss_charts,
    metric_charts,
    tails,
)
from stylegan_eval.report.paper import paper_part
from stylegan_eval.report.parts import summary_part
from stylegan_eval.report.provenance import provenance_part, settings_part
from stylegan_eval.report.shell import charts, without_private_folders
from stylegan_eval.report.subjects import Found, Named, Subject, find, subjects_of
from stylegan_eval.report.tables import letters, lines_of
from stylegan_eval.report.verdict import verdict_part
from stylegan_eval.results.image_tables import TABLES
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.others import ReportSettings

if TYPE_CHECKING:
    from stylegan_eval.report.samples import Opened

_FOOTER = (
    "<p>Written by stylegan-eval report. This page needs no other file and asks nothing of the"
    " network.</p>"
)
_NO_LENGTHS = (
    "Results hold means alone. Measure with stylegan-eval ppl (or all) --distances FILE.npz beside"
    " the table, and this part shows how the lengths are spread."
)


def write_report(
    out: Path,
    paths: Sequence[Path],
    ckpts: Sequence[Path],
    inputs: Inputs,
    settings: ReportSettings,
    *,
    command: str = "",
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Write the report of results as one HTML page, whole or not at all.

    `paths`: see `subjects.find`; `ckpts`: checkpoints to show, also of results whose generator has
    moved; `inputs`: real images for nearest neighbours, weights of the feature network, device;
    `command`: the command line, to be shown; `tell` takes a line for each step.
    """
    check_writable(out)
    if out.resolve() in [path.resolve() for path in paths]:
        raise UserError(f"-o {out} would overwrite what is to be reported: name another file")
    if inputs.data is not None and settings.samples == 0:
        raise UserError("--data finds the nearest real images of samples: ask for some (--samples)")
    found = find(paths)
    subjects = subjects_of(found.measured, found.runs, _named(ckpts, inputs.device))
    base = out.resolve().parent
    opened, samples = _samples(subjects, inputs, settings, base, tell)
    galleries = {
        "samples": ("Samples", samples),
        "time": ("Samples over time", _over_time(subjects, settings)),
        **_of_images(found, subjects, inputs, settings, tell),
    }
    tell("drawing charts")
    text = _html(found, subjects, opened, galleries, settings.title, command, base)
    with atomic_write(out) as temporary:
        # A path may hold bytes that are no text.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _html(
    found: Found,
    subjects: Sequence[Subject],
    opened: "Mapping[str, Opened]",
    galleries: Mapping[str, tuple[str, str]],
    title: str,
    command: str,
    base: Path,
) -> str:
    """The whole page; `galleries`: heading and HTML by place; `base`: folder of the page."""
    styles = {subject.label: at for at, subject in enumerate(subjects)}
    lines = lines_of(subjects)
    shown = found.images if "influence" in galleries or "pairs" in galleries else ()
    configurations = {s.label: _settings(s, opened.get(s.label)) for s in subjects}
    configurations = {label: rows for label, rows in configurations.items() if rows}
    known = letters(subjects, lines)
    origins = {label: one.origin for label, one in opened.items()}
    parts = {
        "results": ("Results", summary_part(subjects, lines, styles, shown)),
        "paper": ("Beside the paper", paper_part(subjects)),
        "training": ("Training", _training(subjects, styles)),
        "attributes": ("Attributes", attributes_part(subjects, styles)),
        "lengths": ("Path lengths", _lengths(subjects, found, styles)),
        **galleries,
        "settings": ("Configuration", settings_part(configurations, base)),
        "provenance": ("Provenance", provenance_part(subjects, known, origins, command, base)),
    }
    links = [(at, heading) for at, (heading, html) in parts.items() if html]
    return shell.page(
        title,
        intro=without_private_folders(verdict_part(lines, base) + shell.contents("Parts", links)),
        main=without_private_folders("\n".join(html for _, html in parts.values() if html)),
        footer=_FOOTER,
    )


def _settings(subject: Subject, opened: "Opened | None") -> dict[str, str]:
    """The configuration of a generator: name and JSON."""
    of_file = {} if opened is None else opened.settings
    return {**of_file, **({} if subject.run is None else subject.run.settings)}


def _named(ckpts: Sequence[Path], device: str) -> list[Named]:
    if not ckpts:
        return []
    from stylegan_eval.engine.device import pick_device
    from stylegan_eval.generators.loading import load_generator

    named = []
    for path in ckpts:
        loaded = load_generator(path, pick_device(device))
        named.append(Named(path=path, digest=loaded.sha256, description=loaded.description))
    return named


def _samples(
    subjects: Sequence[Subject],
    inputs: Inputs,
    settings: ReportSettings,
    base: Path,
    tell: Callable[[str], None],
) -> "tuple[dict[str, Opened], str]":
    """The opened checkpoints by label, and the part of the page that shows samples."""
    if settings.samples == 0:
        return {}, ""
    from stylegan_eval.engine.device import pick_device
    from stylegan_eval.report.samples import open_neighbourhood, open_subject, samples_part

    device = pick_device(inputs.device)
    reals = None
    if inputs.data is not None:
        tell(f"looking at {inputs.data}")
        weights = inputs.weights_of(settings.features)
        reals = open_neighbourhood(inputs.data, settings.features, weights, device)
    opened = {}
    try:
        for subject in subjects:
            if subject.paths:
                tell(f"drawing {subject.label}")
                opened[subject.label] = open_subject(
                    subject, settings.samples, settings.seed, device, reals
                )
        return opened, samples_part(opened, reals, settings.seed, base)
    finally:
        if reals is not None:
            reals.close()


def _of_images(
    found: Found,
    subjects: Sequence[Subject],
    inputs: Inputs,
    settings: ReportSettings,
    tell: Callable[[str], None],
) -> dict[str, tuple[str, str]]:
    """Parts of the page that show single images: heading and HTML by place."""
    if not found.images or settings.samples == 0:
        return {}
    from stylegan_eval.engine.device import pick_device
    from stylegan_eval.report.galleries import drawn_in, influence_part, pairs_part, shown

    tell("looking for the images that cost most, and for copies")
    device, parts = pick_device(inputs.device), {}
    costly, pairs = (list(shown(option, found, subjects, inputs.data, device)) for option in TABLES)
    count = settings.samples
    if costly:
        html = influence_part(costly, count, drawn_in(pairs, count))
        parts["influence"] = ("Images that cost most", html)
    if pairs:
        html = pairs_part(pairs, count, drawn_in(costly, count))
        parts["pairs"] = ("Nearest training images", html)
    return parts


def _over_time(subjects: Sequence[Subject], settings: ReportSettings) -> str:
    if settings.samples == 0:
        return ""
    from stylegan_eval.report.samples import over_time_parts

    parts = over_time_parts(subjects)
    text = "The same latents from the sheets that each training wrote on its way."
    return shell.section("time", "Samples over time", shell.note(text), *parts) if parts else ""


def _training(subjects: Sequence[Subject], styles: Mapping[str, int]) -> str:
    trained = [subject for subject in subjects if subject.run is not None]
    measured, losses = metric_charts(trained, styles), loss_charts(trained)
    if not measured and not losses:
        return ""
    return shell.section(
        "training",
        "Training",
        charts(measured),
        shell.items(best_of(trained)) if measured else "",
        f'<p class="note smoothing">{SMOOTHED}</p>' if losses else "",
        charts(losses),
    )


def _lengths(subjects: Sequence[Subject], found: Found, styles: Mapping[str, int]) -> str:
    if not found.distances:
        if not any(row.metric.startswith("ppl_") for row in found.measured):
            return ""
        return shell.section("lengths", "Path lengths", shell.note(_NO_LENGTHS))
    return shell.section(
        "lengths",
        "Path lengths",
        shell.note(
            "How the lengths of single pairs are spread, on a logarithmic axis. An upright line is"
            " the trimmed mean, the result."
        ),
        charts(length_charts(subjects, found.distances, styles)),
        tails(subjects, found.distances),
    )

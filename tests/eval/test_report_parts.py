"""Dot plots, texts to copy, names of files and images over time on a report."""

import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch

from stylegan_eval.errors import UserError
from stylegan_eval.report.curves import LOSSES, binned, length_charts, tails, terms_of
from stylegan_eval.report.galleries import Shown
from stylegan_eval.report.parts import axis_of, comparison_of, copies, dot_plots
from stylegan_eval.report.provenance import settings_part
from stylegan_eval.report.samples import _read, chosen_sheets
from stylegan_eval.report.shell import place, sentence, without_private_folders
from stylegan_eval.report.tables import lines_of
from stylegan_eval.results.comparison import FORMATS, compare_tables
from stylegan_eval.results.image_tables import ImagePair
from stylegan_eval.results.path_length_file import Distances
from stylegan_eval.results.plotting import running_mean
from stylegan_eval.results.results import append_csv
from tests.eval.report_fakes import row, subjects, write_run
from tests.eval.report_pages import write_sheet


def lines(tmp_path, *rows):
    return lines_of(subjects(tmp_path, *rows))


def share(words):
    return float(words.removesuffix("%"))


def test_dots_and_bars_stand_where_the_axis_says(tmp_path):
    rows = [row("A", value=10.0, stderr=1.0), row("B", value=30.0, stderr=4.0)]
    [html] = dot_plots(lines(tmp_path, *rows), {"A": 0, "B": 1})
    svg = ET.fromstring(html).find("svg")
    ticks = {float(t.text): share(t.get("x")) for t in svg.iter("text") if t.get("class") == "tick"}
    (one, x1), *_, (other, x2) = ticks.items()

    def number(x):
        return one + (share(x) - x1) / (x2 - x1) * (other - one)

    assert [number(c.get("cx")) for c in svg.iter("circle")] == pytest.approx([10, 30], abs=0.02)
    bars = [e for e in svg.iter("line") if e.get("stroke-width") and e.get("x1") != e.get("x2")]
    ends = [number(bar.get(key)) for bar in bars for key in ("x1", "x2")]
    assert ends == pytest.approx([9, 11, 26, 34], abs=0.02)
    assert [c.get("class") for c in svg.iter("circle")] == [None, "hollow"]


def test_a_dot_plot_is_told_in_words(tmp_path):
    rows = [row(name, "is_x", x, 0.1) for name, x in (("A", 2.0), ("B", 3.0))]
    [html] = dot_plots(lines(tmp_path, *rows), {"A": 0, "B": 1})
    svg = ET.fromstring(html).find("svg")
    assert svg.find("title").text == "is_x, higher is better"
    assert svg.find("desc").text == "From the best: B 3.00 ± 0.10; A 2.00 ± 0.10."
    assert svg.get("aria-labelledby") == "dots-0-title dots-0-desc"
    words = [text.text for text in svg.iter("text")]
    assert words[-4:] == ["B", "3.00 ± 0.10", "A", "2.00 ± 0.10"]


def test_one_number_alone_is_no_plot(tmp_path):
    assert dot_plots(lines(tmp_path, row("A"), row("B", "kid50k")), {"A": 0, "B": 1}) == []


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 12345.6, 1e29])
@pytest.mark.parametrize("gap", [0.0, 1e-6, 1.0])
def test_an_axis_has_a_few_ticks_within_its_ends(tmp_path, scale, gap):
    rows = [row("A", value=scale, stderr=None), row("B", value=scale * (1 + gap), stderr=None)]
    [line] = lines(tmp_path, *rows)
    low, high, ticks = axis_of(list(line.cells.values()))
    assert low < high
    assert 1 <= len(ticks) <= 6
    assert low <= ticks[0] <= ticks[-1] <= high * (1 + 1e-12)


def test_what_is_copied_is_what_compare_prints(tmp_path):
    rows = [
        row(name, metric, x, 0.5, generator=name)
        for name, x in (("A", 10.0), ("B", 30.0))
        for metric in ("fid50k", "is_x")
    ]
    shown = comparison_of(lines(tmp_path, *rows))
    other = tmp_path / "other.csv"
    append_csv(other, rows)
    expected = compare_tables([other])
    for name in ("markdown", "latex", "csv"):
        assert FORMATS[name](shown) == FORMATS[name](expected)
    areas = re.findall(r"<textarea[^>]*>(.*?)</textarea>", copies(lines(tmp_path / "x", *rows)),
                       flags=re.DOTALL)  # fmt: skip
    assert next(csv.reader(io.StringIO(areas[2])))[0] == "metric"
    assert len(areas) == 3


def test_names_act_neither_in_markdown_nor_in_latex(tmp_path):
    name = "\\input{/x}|<b>\n&"
    shown = comparison_of(lines(tmp_path, row("A", generator_digest="", generator=name)))
    [head, *_] = FORMATS["markdown"](shown).splitlines()
    assert head == "| metric | x}\\|\\<b>\\n& |"
    name = "\\write18~<>|\n^"
    shown = comparison_of(lines(tmp_path / "x", row("A", generator_digest="", generator=name)))
    head = FORMATS["latex"](shown).splitlines()[2]
    assert head == (r"metric & $\backslash$write18$\sim$$<$$>$$|$$\backslash$n\^{} \\")


def test_what_one_generator_lacks_is_an_empty_cell(tmp_path):
    rows = [row("A"), row("B", value=1.0), row("A", "is_x"), row("A", num=7), row("difference")]
    table = FORMATS["markdown"](comparison_of(lines(tmp_path, *rows))).splitlines()
    assert table[0] == "| metric | A | B | difference (generator) |"
    assert [line.split(" | ")[0] for line in table[2:]] == [
        *("| fid50k (protocol a)", "| fid50k (protocol b)", "| is_x"),
    ]
    assert table[4].endswith("| 10.0 ± 1.0 |  |  |")


def test_names_of_files_tell_nothing_of_the_machine(tmp_path, monkeypatch):
    assert place("runs/F", tmp_path) == "runs/F"
    assert place("../x/runs/F", tmp_path) == "…/runs/F"
    assert place(tmp_path / "a" / "b.csv", tmp_path) == "a/b.csv"
    assert place("/data/secret/sets/ffhq.zip", tmp_path) == "…/sets/ffhq.zip"
    assert sentence('"/data/secret/a/b.zip"', tmp_path) == '"…/a/b.zip"'
    assert (
        sentence("minibatch / 2, fid/x and 3/4 px", tmp_path) == "minibatch / 2, fid/x and 3/4 px"
    )
    monkeypatch.setenv("HOME", "/srv/people/jane doe")
    monkeypatch.setattr("tempfile.tempdir", "/scratch/job 17")
    said = (
        "cp '/srv/people/jane doe/a.csv' /scratch/job 17/x/b.csv /home/joe/c /tmp/d/e.html /data/f"
    )
    assert without_private_folders(said) == "cp '~/a.csv' …/b.csv ~/c …/e.html /data/f"
    picture = '<img src="data:image/png;base64,AA/tmp/x/home/joe/">'
    assert without_private_folders(picture) == picture


def test_path_lengths_of_what_is_not_reported_name_no_folder_of_the_machine():
    kept = Distances(lengths={"ppl_x": np.ones(20)}, generator="/data/secret/run/g.pt",
                     generator_digest="", seed=0)  # fmt: skip
    for html in (tails([], [kept]), *length_charts([], [kept], {})):
        assert "…/run/g.pt" in html
        assert "secret" not in html


@pytest.mark.parametrize(("protocol", "same"), [({"psi": "0.5"}, False), ({"crop": "1"}, True)])
def test_an_image_drawn_in_another_way_is_another_image(tmp_path, protocol, same):
    [subject] = subjects(tmp_path, row("A"), row("A", "kid50k", protocol=protocol))
    cpu = torch.device("cpu")
    plain, other = (Shown("pairs", subject, r, Path(), None, cpu) for r in subject.results)
    pair = ImagePair("3", "0", "r.png", 1.0, 2.0)
    assert (plain.key(pair) == other.key(pair)) == same


def test_paths_that_differ_are_settings_that_differ():
    """However alike they look when they are shortened."""
    settings = {name: {"data": f'"/{name}/sets/d.zip"'} for name in "ab"}
    html = settings_part(settings, Path("/page"))
    assert "Settings that differ" in html
    assert html.count("…/sets/d.zip") == 2


def test_a_smoothed_curve_keeps_the_logged_one():
    log = [{"nimg": at * 1000, "loss_D": float(at % 7)} for at in range(200)]
    [curve] = terms_of(log, LOSSES)
    assert curve.y == [float(at % 7) for at in range(200)]
    assert curve.smooth == running_mean(curve.y, 11)
    [short] = terms_of(log[:30], LOSSES)
    assert (len(short.y), short.smooth) == (30, ())


def test_a_long_log_is_drawn_by_means_of_neighbours():
    values = np.arange(5000.0)
    found = binned(values.tolist(), 1000)
    np.testing.assert_allclose(found, values.reshape(1000, 5).mean(axis=1))
    assert binned([1.0, float("nan"), float("nan"), float("nan")], 2)[0] == 1.0


def test_sheets_are_chosen_evenly_from_the_first_to_the_last(tmp_path):
    for name in ("fakes-000000.png", "fakes-000001_500.png", "other.png", "fakes-x.png"):
        (tmp_path / name).touch()
    for kimg in range(2, 30):
        (tmp_path / f"fakes-{kimg:06d}.png").touch()
    kimg = [at for at, _ in chosen_sheets(tmp_path)]
    assert (len(kimg), kimg[0], kimg[-1]) == (8, 0.0, 29.0)
    assert kimg == sorted(kimg)
    [one] = chosen_sheets_of(tmp_path / "one", "fakes-000003.png")
    assert one[0] == 3.0
    assert chosen_sheets_of(tmp_path / "none") == []


def chosen_sheets_of(folder: Path, *names):
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return chosen_sheets(folder)


def test_images_of_a_sheet_are_cut_out_in_their_order(tmp_path):
    trained = write_run(tmp_path / "F", resolution=16)
    path = tmp_path / "F" / "fakes-000001.png"
    write_sheet(path, 200)
    images = _read(path, trained)
    assert [image.shape for image in images] == [(3, 16, 16)] * 6
    colours = [[image[channel].mean() for channel in range(3)] for image in images]
    assert colours == [[200, 30 * at, 0] for at in range(6)]
    odd = replace(trained, content={"config": {"resolution": 15}})
    with pytest.raises(UserError, match="is no sheet of samples"):
        _read(path, odd)
    path.write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match="is no sheet of samples"):
        _read(path, trained)

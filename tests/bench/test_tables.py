"""The paper's tables as data."""

import json
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.jobs import ask, cells_of
from benchmarks.scales import SCALES, training_config
from benchmarks.tables import NETWORKS, TABLES, chosen_lines, published
from stylegan.configs import CONFIGS, diff
from stylegan_eval.errors import UserError
from stylegan_eval.results.formatting import with_error
from stylegan_eval.results.published import published_values
from stylegan_eval.results.significance import Sample, compare_groups

PSI = ("1", "0.7", "0.5")
ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def test_every_published_number_has_its_cell():
    found = {
        (table.name, dataset, line.key, cell.metric, cell.condition): value
        for table in TABLES.values()
        for dataset in table.datasets
        for line in table.lines
        for cell in table.quantities
        if (value := published(table, dataset, line, cell)) is not None
    }
    # Each number is in one cell; those of the released network are of no table of the paper.
    in_tables = [value for place, value in published_values().items() if place.table != "readme"]
    assert sorted(found.values()) == sorted(in_tables)
    # Spot checks against the printed paper.
    assert found["table1", "celebahq", "D", "fid", ""] == 5.07
    assert found["table2", "ffhq", "mixing-50", "fid", "latents=3"] == 8.71
    assert found["table3", "ffhq", "B", "separability", ""] == 10.78
    assert found["table4", "ffhq", "traditional-8-z", "ppl_end", ""] == 902.0
    assert found["table4", "ffhq", "traditional-8-w", "ppl_end", ""] == 212.2
    assert found["lsun", "lsun-car", "F", "fid", ""] == 3.27


@pytest.mark.parametrize(
    ("network", "row", "change"),
    [
        ("mixing-50", "F", {"loss.style_mixing_prob": (0.9, 0.5)}),
        ("mixing-100", "F", {"loss.style_mixing_prob": (0.9, 1.0)}),
        ("traditional-8", "B", {"network.mapping_layers": (0, 8)}),
        ("style-0", "F", {"network.mapping_layers": (8, 0)}),
        ("style-1", "F", {"network.mapping_layers": (8, 1)}),
        ("style-2", "F", {"network.mapping_layers": (8, 2)}),
    ],
)
def test_networks_of_tables_2_and_4_differ_in_one_thing(network, row, change):
    assert diff(CONFIGS[row], NETWORKS[network]) == change


def test_the_papers_scale_is_the_papers_configuration():
    for name, config in CONFIGS.items():
        scaled = training_config(name, SCALES["paper-1024"], "ffhq", gpus=8)
        assert scaled == config


def test_celebahq_keeps_wgan_gp_in_every_row_at_every_scale():
    for scale in SCALES.values():
        losses = {
            dataset: {training_config(name, scale, dataset).loss.kind for name in "BCDEF"}
            for dataset in ("ffhq", "celebahq")
        }
        assert losses == {"ffhq": {"logistic-r1"}, "celebahq": {"wgan-gp"}}


def test_lsun_is_not_mirrored_and_has_its_own_length():
    cat = training_config("F", SCALES["paper-256"], "lsun-cat", gpus=8)
    assert (cat.mirror, cat.schedule.total_kimg, cat.resolution) == (False, 70000.0, 256)


def test_tables_share_trainings():
    names = {}
    for table in ("table1", "table2", "table3", "table4"):
        asked = ask(table, "demo-32", None)
        cells = cells_of(asked, asked.table.lines, (0,), "digest")
        names[table] = {cell.line.network: cell.training.name for cell in cells}
    assert names["table2"]["E"] == names["table1"]["E"]
    assert names["table3"]["B"] == names["table4"]["B"] == names["table1"]["B"]
    assert names["table4"]["F"] == names["table1"]["F"]
    everything = set().union(*(found.values() for found in names.values()))
    assert len(everything) == len(NETWORKS)


def test_names_tell_trainings_and_measurements_apart():
    def training(**changes):
        choices = {"dataset": None, "seed": 0, "data": "digest"} | changes
        seed, data = choices.pop("seed"), choices.pop("data")
        asked = ask("table1", choices.pop("scale", "demo-32"), **choices)
        return cells_of(asked, asked.table.lines[-1:], (seed,), data)[0].training.name

    changes = (
        {},
        {"seed": 1},
        {"data": "other"},
        {"kimg": 50.0},
        {"precision": "bf16"},
        {"dataset": "celebahq"},
        {"scale": "demo-64"},
    )
    names = [training(**change) for change in changes]
    assert len(set(names)) == len(names)
    assert training(kimg=100.0) == training()  # the scale's own length

    asked = ask("table4", "demo-32", None)
    cells = cells_of(asked, asked.table.lines, (0,), "digest")
    by_space = {cell.measurement.name("c"): cell.measurement for cell in cells}
    # One distance, path lengths in z and in w, separability in z and in w.
    assert len(by_space) == 5
    separability = next(cell for cell in cells if cell.measurement.needs_classifiers)
    assert separability.measurement.name("c") != separability.measurement.name("d")
    distance = next(cell for cell in cells if cell.quantity.metric == "fid")
    assert distance.measurement.name("c") == distance.measurement.name("d")


def test_plainly_drawn_images_are_measured_once():
    mixing = ask("table2", "demo-32", None)
    cells = cells_of(mixing, mixing.table.lines[:1], (0,), "digest")
    plain = ask("table1", "demo-32", None)
    one = cells_of(plain, plain.table.lines[:1], (0,), "digest")[0].measurement
    assert [cell.measurement == one for cell in cells] == [True, False, False, False]
    assert "--mixing" in cells[3].measurement.options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("table9", "demo-32", None), "no table 'table9'; there are: table1, "),
        (("table1", "demo-33", None), "no scale 'demo-33'; there are: "),
        (("table2", "demo-32", "celebahq"), "table2 is of ffhq, not of 'celebahq'"),
    ],
)
def test_unknown_names_are_refused(arguments, message):
    with pytest.raises(UserError) as raised:
        ask(*arguments)
    assert message in str(raised.value)


def test_rows_are_chosen_by_key_or_network():
    table = TABLES["table4"]
    assert [line.key for line in chosen_lines(table, ("traditional-8",))] == [
        "traditional-8-z",
        "traditional-8-w",
    ]
    assert chosen_lines(table, ()) == table.lines
    with pytest.raises(UserError, match="table4 has no row 'G'; there are: traditional-0, "):
        chosen_lines(table, ("G",))


def test_the_results_state_the_test_of_the_claim_by_their_numbers():
    rows = pd.read_csv(RESULTS / "demo-32" / "results.csv").query("table == 'table1'")
    samples = {
        line: Sample(values=tuple(cells.value), stderrs=tuple(cells.stderr))
        for line, cells in rows.groupby("line")
    }
    worse, better = ([samples[key] for key in keys] for keys in ("AB", "CDEF"))
    found = compare_groups(("A, B", worse), ("C to F", better))
    stated = f"by {-found.difference:.0f} ± {found.stderr:.0f} (p = {found.p:.2g}, one"
    assert stated in (RESULTS / "README.md").read_text()


def test_the_page_of_results_shows_cells_of_the_report():
    def rows(path):
        lines = path.read_text().replace(r"\*", "").splitlines()
        return [
            [cell.strip() for cell in line.strip("|").split("|")] for line in lines if "± " in line
        ]

    reported = [
        # Without the number of seeds, and what is still to come.
        [cell.partition(";")[0].partition(" (n =")[0] for cell in row]
        for row in rows(RESULTS / "table-32" / "report.md")
    ]
    shown = [row for row in rows(RESULTS / "README.md") if len(row) > 2 and row[0] not in PSI]
    assert len(shown) == 20
    for row in shown:
        assert any(set(row) <= set(cells) for cells in reported), row
    first = [row[:3] for row in rows(ROOT / "README.md") if row[0] in tuple("ABCDEF")]
    assert first == [row[:3] for row in shown[:6]]
    (truncated,) = (cells for cells in reported if cells[0] == "F" and len(cells) == 11)
    for number, psi in enumerate(PSI):
        (row,) = (row for row in rows(RESULTS / "README.md") if row[0] == psi)
        assert row[1:] == truncated[2 + number :: 3]


def test_the_document_shows_the_measured_distances_with_and_without_noise():
    table = RESULTS / "table-32"
    without = pd.read_csv(table / "noise.csv").set_index("generator")
    expected = []
    for quarter, kimg in enumerate((30, 60, 90, 120)):
        cells = [str(kimg)]
        for row in "EF":
            (log,) = (table / "trainings").glob(f"{row}-seed0-*/metrics.jsonl")
            fresh = json.loads(log.read_text().splitlines()[quarter])
            none = without.loc[f"{row}-seed0-{kimg:03}-none"]
            assert round(fresh["kimg"]) == kimg
            cells += [with_error(cell["value"], cell["stderr"]) for cell in (fresh, none)]
        expected.append(f"| {' | '.join(cells)} |")
    assert "\n".join(expected) in (ROOT / "docs" / "demo-scale.md").read_text()

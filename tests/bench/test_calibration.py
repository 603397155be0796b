"""A short calibration: standard errors against the deviation of repeated samples."""

import math

import pytest
from click.testing import CliRunner

from benchmarks.calibration import FEATURES, lines, main, markdown


@pytest.fixture(scope="module")
def found():
    return list(lines([60], repeats=14, seed=0))


def test_every_metric_is_held_against_every_law(found):
    metrics = {line.metric for line in found if line.law in FEATURES}
    kinds = {metric.split(",")[0] for metric in metrics}
    assert kinds == {"fid", "kid", "cmmd", "precision", "density", "is"}
    assert len([line for line in found if line.metric == "fid"]) == len(FEATURES)
    assert {"ppl", "ls"} <= {line.metric for line in found}


def test_stated_errors_are_near_the_true_ones(found):
    """14 repetitions know a deviation to 20 %, less where tails are heavy."""
    for line in found:
        if line.metric == "ppl" and "sigma" in line.law:
            continue  # so few pairs of heavy tails: noted in the row
        if math.isnan(line.fixed) or line.law in ("0.1 % mistakes", "none"):
            continue  # almost no value differs from another
        assert 0.5 < line.fixed < 2, line
        if not math.isnan(line.redrawn_own):
            assert 0.5 < line.redrawn_own < 2, line


def test_tables_are_written(tmp_path, found):
    done = CliRunner().invoke(
        main, ["--nums", "40", "--repeats", "2", "--out", str(tmp_path / "new")]
    )
    assert done.exit_code == 0, done.output
    written = (tmp_path / "new" / "calibration.md").read_text()
    assert "| cmmd | 40 |" in written
    assert (tmp_path / "new" / "calibration.csv").read_text().startswith("metric,law,num,fixed")
    assert len(markdown(found)) < len(found)
    refused = CliRunner().invoke(main, ["--nums", "10"])
    assert (refused.exit_code, "40 images or more" in refused.stderr) == (2, True)

"""Results, trainings and pages with known contents, for the tests of reports."""

import json
from dataclasses import replace
from pathlib import Path

from stylegan_eval.report.subjects import subjects_of
from stylegan_eval.results.measured import Measured, from_table
from stylegan_eval.results.results import append_csv
from stylegan_eval.results.run_folder import append_rows, read_run
from tests.eval.test_results import ROW

DIGESTS = {name: f"{at:x}" * 64 for at, name in enumerate("ABCDEFGH", start=1)}


def row(key="A", /, metric="fid50k", value=10.0, stderr=1.0, **changed):
    """A result of the generator of this name."""
    fields = {
        "generator": f"runs/{key}",
        "generator_digest": DIGESTS.get(key, ""),
        "description": f"config {key}, 32x32, 9.0 kimg",
        "details": {},
    }
    return replace(ROW, metric=metric, value=value, stderr=stderr, **(fields | changed))


def measured(path, *rows) -> list[Measured]:
    append_csv(path, rows)
    return from_table(path)


def subjects(tmp_path, *rows):
    return subjects_of(measured(tmp_path / "results.csv", *rows), [])


def write_run(folder: Path, *, kimg=(25, 50), digest="ab" * 32, **settings):
    """The folder of a training as `stylegan-train` leaves it, with nothing but its words."""
    folder.mkdir(parents=True)
    tree = {
        "config": {"name": "F", "resolution": 32, "loss": {"r1_gamma": 10.0}, **settings},
        "data": "av.zip",
        "seed": 0,
    }
    (folder / "run.json").write_text(json.dumps(tree))
    terms = {"loss_D": 1.3, "loss_G": 0.9, "r1": 0.1, "score_real": 0.2, "score_fake": -0.1}
    append_rows(folder / "log.jsonl", [{"nimg": at * 1000, **terms} for at in range(1, 51)])
    one = json.loads(json.dumps(vars(ROW)))
    rows = [
        {
            **one,
            "nimg": at * 1000,
            "metric": "fd_x",
            "value": 900.0 / at,
            "stderr": 2.0,
            "generator": f"{folder.name}/checkpoint-{at:06d}.pt",
            "generator_digest": digest if at == kimg[-1] else f"{at:064d}",
            "description": f"config F, 32x32, {at}.0 kimg",
        }
        for at in kimg
    ]
    append_rows(folder / "metrics.jsonl", rows)
    return read_run(folder)

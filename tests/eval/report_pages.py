"""A page of `stylegan-eval report` that shows everything that one can show."""

import json

import numpy as np
from click.testing import CliRunner
from PIL import Image

from stylegan_eval.cli import main
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.images.content import content_digest
from stylegan_eval.images.files import open_images
from stylegan_eval.results.image_tables import ImageInfluence, ImagePair, write_table
from stylegan_eval.results.path_length_file import Distances, write_distances
from stylegan_eval.results.results import append_csv
from tests.bench.report_fakes import untrained
from tests.eval.report_fakes import row

LENGTHS = np.array([1.0, 2.0, 4.0, 60.0])
SHEETS = (0, 1, 2)  # kimg


def run(*args):
    return CliRunner().invoke(main, ["report", *map(str, args)])


def write_reals(folder):
    """Nine images of 16x16; returns the digest of their content."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for at in range(9):
        image = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        image.save(folder / f"{at}.png")
    with open_images(folder) as files:
        return content_digest(files)


def write_sheet(path, shade):
    """Two rows of four images of 16x16, each of its own colour: red is the time."""
    sheet = np.zeros((32, 64, 3), np.uint8)
    for at in range(8):
        y, x = divmod(at, 4)
        sheet[16 * y : 16 * y + 16, 16 * x : 16 * x + 16] = (shade, 30 * at, 0)
    Image.fromarray(sheet).save(path)


def made(folder):
    """A report of two trainings of 16x16, B and F: everything that a report can show."""
    rows, reals = [], folder / "reals"
    digest_of_reals = write_reals(reals)
    costly = [ImageInfluence("generated", str(at), "0", 9.0 - at) for at in (3, 1, 0)]
    near = [ImagePair(str(at), "0", f"{at}.png", 1.0, 2.0) for at in (2, 3)]
    tables = {
        "influence": write_table(folder / "influence.csv", costly),
        "pairs": write_table(folder / "pairs.csv", near),
    }
    for at, name in enumerate("BF"):
        trained = untrained(name, folder / name).folder
        tree = {"config": {"name": name, "resolution": 16, "loss": {"r1_gamma": 10.0 * at}}}
        (trained / "run.json").write_text(json.dumps(tree))
        about = {
            "generator": str(trained),
            "generator_digest": sha256_of(trained / "checkpoint-000001.pt"),
            "description": f"config {name}, 16x16, 1.0 kimg",
        }
        rows += [
            row(name, "fd_x", 9.0 + 100 * at, 1.0, note="few images", **about),
            row(name, "is_x", 2.0 + at, 0.1, **about),
            row(name, "ppl_wend[x]", 5.0, 1.0, **about),
        ]
        if name == "B":
            where = {"data": "reals", "data_digest": digest_of_reals, **about}
            for option, digest in tables.items():
                rows.append(row(name, f"of_{option}", 1.0, 0.1, details={option: digest}, **where))
            for kimg in SHEETS:
                write_sheet(trained / f"fakes-{kimg:06d}.png", 100 * kimg)
        for space in "zw":
            rows.append(row(name, f"ls_{space}", 3.0, 0.1, **about))
            rows += [row(name, f"ls_{space}/{a}", 0.4, None, **about) for a in ("hat", "smile")]
        digest = about["generator_digest"]
        lengths = {"ppl_wend[x]": LENGTHS * (1 + at)}
        kept = Distances(lengths=lengths, generator=name, generator_digest=digest, seed=0)
        write_distances(folder / f"{name}.npz", kept)
    append_csv(folder / "results.csv", rows)
    out = folder / "report.html"
    done = run(
        folder / "results.csv", folder / "B", folder / "F", "--data", reals,
        "--samples", 4, "--device", "cpu", "-o", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    return out

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.speed.everything import Job
from benchmarks.speed.fid import FidRun, compared, write_folders
from benchmarks.speed.fid_sides import Stopwatch
from stylegan_eval.cli import main
from stylegan_eval.images.files import open_images

ROOT = Path(__file__).parents[2]


def timing(wall, value=8.0, memory=100.0):
    return FidRun(
        wall=wall, value=value, features=wall - 3, distance=2.0, cpu=2 * wall, memory=memory
    )


def test_a_ratio_is_of_neighbours_not_of_medians():
    mine = [timing(10.0), timing(20.0), timing(40.0)]
    other = [timing(30.0, value=10.0), timing(40.0), timing(60.0)]
    row = compared("ours", "peer", 5, mine, other)
    assert row["ratio"] == row["cpu_ratio"] == 2.0
    assert (row["wall"], row["against_wall"]) == (20.0, 40.0)
    assert (row["features"], row["distance"], row["rounds"]) == (17.0, 2.0, 3)
    assert row["difference"] == pytest.approx(0.2)


def test_both_folders_hold_as_many_different_images(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    folders = write_folders(tmp_path, images=3, size=16)
    seen = []
    for folder in folders:
        with open_images(folder) as files:
            assert len(files) == 3
            seen += [files.read(index) for index in range(3)]
    assert {image.shape for image in seen} == {(3, 16, 16)}
    assert len({image.tobytes() for image in seen}) == 6


def test_a_stopwatch_passes_results_on_and_counts_errors_too():
    watch = Stopwatch()
    assert watch.around(divmod)(7, 2) == (3, 1)
    before = watch.seconds
    with pytest.raises(ZeroDivisionError):
        watch.around(divmod)(1, 0)
    assert watch.seconds > before


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux keeps this record")
def test_peak_memory_rises_with_what_was_touched():
    """In a process whose peak is low: one that has tested much would touch gigabytes."""
    program = (
        "from benchmarks.speed.fid_sides import peak_memory\n"
        "before = peak_memory()\n"
        "touched = b'1' * (int(before + 100) * 2**20)\n"
        "print(before, peak_memory())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    before, after = map(float, done.stdout.split())
    assert after > before + 90


def test_every_command_is_one_that_the_toolkit_knows(tmp_path):
    paths = [tmp_path / name for name in ("ckpt", "data", "classifiers")]
    job = Job(ckpt=paths[0], data=paths[1], classifiers=paths[2], images=20, pairs=4, crop="none")
    assert sorted(job.singles()) == ["fid", "is", "kid", "ls", "ppl", "pr", "prdc"]
    for arguments in [job.everything(), *job.singles().values()]:
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 1, done.output  # 2 would be a wrong command line
        assert str(paths[0]) in done.output or str(paths[2]) in done.output

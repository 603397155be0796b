"""Systems without Unix's modules (Windows), as far as taking the modules away shows them."""

import subprocess
import sys

WITHOUT = """
import os, sys
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
del os.O_NOFOLLOW
from click.testing import CliRunner
from stylegan.sample.cli import main as sample
from stylegan_eval.cli import main as measure

image, table = sys.argv[1:]
for main, arguments in [
    (sample, ["image", "--ckpt", "demo", "--seed", "1", image]),
    (measure, ["ppl", "--ckpt", "demo", "-n", "4", "--batch", "2", "--space", "w",
               "--distance", "st-lpips-alex", "--device", "cpu", "--csv", table]),
]:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
"""


def test_images_are_drawn_and_measured_without_unix_modules(tmp_path):
    outputs = [tmp_path / "image.png", tmp_path / "results.csv"]
    command = [sys.executable, "-c", WITHOUT, *map(str, outputs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(path.stat().st_size > 0 for path in outputs)
    assert sorted(tmp_path.iterdir()) == outputs  # nothing half-written stays

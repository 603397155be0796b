"""Files of the project entered by a command before its work begins, under a profiler hook."""

import inspect
import json
import sys
from functools import cache
from pathlib import Path

from click.testing import CliRunner

ROOT = Path(__file__).parents[1]
PACKAGES = ("stylegan", "stylegan_eval")


class Arrived(BaseException):
    """The command has come to its work."""


def importing(frame):
    """Whether the frame is part of an import, as the default of a field is."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals["__name__"] != "__main__":
            return True
        frame = frame.f_back
    return False


@cache
def in_project(path):
    """Name of a file below the root of the project; empty where it is in none of its packages."""
    path = Path(path)
    ours = any(path.is_relative_to(ROOT / package) for package in PACKAGES)
    return str(path.relative_to(ROOT)) if ours else ""


def files_entered(main, arguments, place, name):
    """Files whose functions ran before the function `name` of the file `place`, in order."""
    files = {}

    def look(frame, event, _argument):
        code = frame.f_code
        if (
            event != "call" or not code.co_flags & inspect.CO_OPTIMIZED
        ):  # a module's, a class's body
            return
        file = in_project(code.co_filename)
        if not file:
            return
        if (file, code.co_name) == (place, name):
            raise Arrived
        if not importing(frame):
            files.setdefault(file, code.co_name)

    sys.setprofile(look)
    try:
        result = CliRunner().invoke(main, arguments)
    except Arrived:
        return list(files)
    finally:
        sys.setprofile(None)
    raise AssertionError(f"{place}: {name} was never called: {result.output}")


def main():
    """Print the files of each journey as JSON: DATA IMAGES OUT."""
    from stylegan.sample.cli import main as sample
    from stylegan.train import main as train
    from stylegan_eval.cli import main as measure

    data, images, out = sys.argv[1:]
    efficientnet = ["--features", "efficientnet-lite0", "--device", "cpu"]
    journeys = {
        "fid": (
            measure,
            ["fid", "--images", images, "--data", images, "-n", "20", *efficientnet],
            ("stylegan_eval/networks/efficientnet.py", "forward"),
        ),
        "ppl": (
            measure,
            ["ppl", "--ckpt", "demo", "-n", "4", "--space", "w", "--distance", "st-lpips-alex",
             "--device", "cpu"],
            ("stylegan_eval/metrics/path_length.py", "measure_pairs"),
        ),
        "train": (
            train,
            ["--config", "F", "--preset", "tiny-16", "--data", data, "--out", f"{out}/run",
             "--device", "cpu", "--warmup", "0"],
            ("stylegan/training/loop.py", "train"),
        ),
        "image": (
            sample,
            ["image", "--ckpt", "demo", "--seed", "1", "--device", "cpu", f"{out}/image.png"],
            ("stylegan/networks/mapping.py", "forward"),
        ),
    }  # fmt: skip
    entered = {name: files_entered(*start, *end) for name, (*start, end) in journeys.items()}
    sys.stdout.write(json.dumps(entered))


if __name__ == "__main__":
    main()

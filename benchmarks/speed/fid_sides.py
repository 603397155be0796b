"""One whole FID of two folders by one package, in a process of its own.

``python -m benchmarks.speed.fid_sides SIDE FIRST SECOND WEIGHTS`` prints a line of JSON: value,
seconds of features and of the distance, peak memory. All sides read the same random weights.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

BATCH = 32


def peak_memory() -> float:
    """Largest resident size in MB by Linux: `resource` counts the parent at the fork too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


class Stopwatch:
    """Adds up the time of calls of one function."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, timed."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start

        return timed

    def wrap(self, module: ModuleType, name: str) -> None:
        """Time a function of a module from now on."""
        setattr(module, name, self.around(getattr(module, name)))


Side = Callable[[Stopwatch], float]


def ours(folders: tuple[Path, Path], weights: Path, resize: str, precision: str) -> Side:
    """`stylegan-eval fid --images ... --data ...`, with an empty cache."""
    from stylegan_eval.metrics import fid
    from stylegan_eval.metrics.image_metrics import evaluate
    from stylegan_eval.metrics.measure import open_run
    from stylegan_eval.settings.common import Inputs, Precision
    from stylegan_eval.settings.image_metrics import FidSettings, Resize

    def run(watch: Stopwatch) -> float:
        inputs = Inputs(images=folders[0], data=folders[1], weights={"": weights}, device="cpu")
        settings = FidSettings(
            num=len(list(folders[0].iterdir())),
            batch=BATCH,
            resize=cast(Resize, resize),
            precision=cast(Precision, precision),
        )
        watch.wrap(fid, "fid")
        return evaluate(inputs, [settings], open_run("cpu"))[0].value

    return run


def api(folders: tuple[Path, Path], weights: Path, resize: str, precision: str) -> Side:
    """The same from Python: `stylegan_eval.fid`."""
    import stylegan_eval as se
    from stylegan_eval.metrics import fid

    def run(watch: Stopwatch) -> float:
        watch.wrap(fid, "fid")
        about = {"weights": weights, "resize": resize, "precision": precision}
        return float(se.fid(*folders, device="cpu", batch=BATCH, **about))

    return run


def pytorch_fid(folders: tuple[Path, Path], weights: Path) -> Side:
    """Its `calculate_fid_given_paths`, with our weights instead of those it would download."""
    import torch
    from pytorch_fid import fid_score, inception

    inception.load_state_dict_from_url = lambda *_, **__: torch.load(weights, weights_only=True)

    def run(watch: Stopwatch) -> float:
        watch.wrap(fid_score, "calculate_frechet_distance")
        paths = [str(folder) for folder in folders]
        return float(fid_score.calculate_fid_given_paths(paths, BATCH, "cpu", 2048, 0))

    return run


def torch_fidelity(folders: tuple[Path, Path], weights: Path) -> Side:
    """Its `calculate_metrics`, which takes a file of weights."""
    from torch_fidelity import calculate_metrics, metric_fid

    def run(watch: Stopwatch) -> float:
        watch.wrap(metric_fid, "fid_statistics_to_metric")
        scores = calculate_metrics(
            input1=str(folders[0]),
            input2=str(folders[1]),
            feature_extractor_weights_path=str(weights),
            fid=True,
            cuda=False,
            cache=False,
            batch_size=BATCH,
            verbose=False,
        )
        return float(scores["frechet_inception_distance"])

    return run


def clean_fid(folders: tuple[Path, Path], weights: Path) -> Side:
    """Its `compute_fid`: its files, resize, statistics and distance.

    Its own network is a TorchScript file that would be downloaded, so it gets the PyTorch network
    of the same package as the feature extractor of a caller.
    """
    import torch
    from cleanfid import fid, inception_pytorch

    inception_pytorch.load_state_dict_from_url = lambda *_, **__: torch.load(
        weights, weights_only=True
    )

    def run(watch: Stopwatch) -> float:
        watch.wrap(fid, "frechet_distance")
        network = inception_pytorch.InceptionV3(output_blocks=[3], resize_input=False).eval()

        def extract(images: torch.Tensor) -> torch.Tensor:
            # The network makes 2 x - 1 of it; (x - 128) / 128 is what the TorchScript file does.
            features: torch.Tensor = network((images - 128) / 256 + 0.5)[0]
            return features.flatten(1)

        return float(
            fid.compute_fid(
                str(folders[0]),
                str(folders[1]),
                custom_feat_extractor=extract,
                num_workers=0,
                batch_size=BATCH,
                device=torch.device("cpu"),
                verbose=False,
            )
        )

    return run


def prepare(name: str, folders: tuple[Path, Path], weights: Path) -> Side:
    """Import what a side needs, a peer or ``ours RESIZE PRECISION``; return its work."""
    if " " in name:
        who, resize, precision = name.split()
        return {"ours": ours, "api": api}[who](folders, weights, resize, precision)
    peers = {"pytorch-fid": pytorch_fid, "torch-fidelity": torch_fidelity, "clean-fid": clean_fid}
    return peers[name](folders, weights)


def main(name: str, first: str, second: str, weights: str) -> None:
    """Measure one side and print its figures."""
    work = prepare(name, (Path(first), Path(second)), Path(weights))
    watch = Stopwatch()
    start = time.perf_counter()
    value = work(watch)
    seconds = time.perf_counter() - start
    figures = {
        "value": value,
        "features": seconds - watch.seconds,
        "distance": watch.seconds,
        "cpu": time.process_time(),
        "memory": peak_memory(),
    }
    print(json.dumps(figures))  # `FidRun` without its wall time


if __name__ == "__main__":
    main(*sys.argv[1:])

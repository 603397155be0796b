"""The prepared images of a run, which one of its processes prepares."""

from pathlib import Path

from stylegan.datasets.pyramid import Pyramid, open_pyramid
from stylegan.runtime import Runtime


def open_together(data: Path, cache: Path | None, runtime: Runtime) -> Pyramid:
    """Open the images in all processes; the first prepares them while the others wait.

    Raises
    ------
    UserError
        See `open_pyramid`; or another process has ended.
    """
    if not runtime.is_first:
        runtime.processes.wait()
    pyramid = open_pyramid(data, cache=cache, progress=runtime.is_first)
    if runtime.is_first:
        runtime.processes.wait()
    return pyramid

"""Images of many seeds: a PNG each in a folder, batch by batch, or cells of a sheet."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from stylegan.png import image_grid, png_of, texts_of
from stylegan.sample.canvas import Pixels, enlarged
from stylegan.sample.drawing import OpenedGenerator, check_fits, draw_ws, mapped_seeds
from stylegan.sample.painter import Painter
from stylegan.sample.recipe import GeneratorSource, Recipe
from stylegan_eval.engine.files import atomic_write, check_writable, sha256_of
from stylegan_eval.engine.progress import progress_bar
from stylegan_eval.engine.sampling import latents
from stylegan_eval.errors import UserError

Origin = int | tuple[Path, int]  # a seed, or a file and its row


def write_images(
    subject: OpenedGenerator,
    source: GeneratorSource,
    recipe: Recipe,
    origins: Sequence[int] | Sequence[Path],
    out: Path,
    *,
    scale: int = 1,
) -> int:
    """Draw the recipe from each seed, or from each w of files, into the folder `out`.

    Memory does not grow with the number of seeds. Batches are the same whichever files are there,
    so a folder written in parts has the bits of one written at once.

    Returns
    -------
    int
        Files that were there already.
    """
    painter, network = subject.painter, sha256_of(subject.file)
    seeds = [each for each in origins if isinstance(each, int)]
    files = [each for each in origins if isinstance(each, Path)]
    check_fits(recipe, subject, saved=bool(files))
    painter.batch = source.batch
    saved = painter.read_ws(files) if files else None  # [N, L, D]

    def texts(name: str, origin: Origin) -> tuple[str, str]:
        """Command and network of a file."""
        if isinstance(origin, int):
            command = source.command(replace(recipe, seed=origin), name, scale=scale)
        else:
            command = source.command(recipe, name, saved=origin, scale=scale)
        return command, network

    rows = [(file, row) for file in files for row in range(len(painter.read_ws([file])))]
    wanted: list[tuple[str, Origin]] = [(seed_name(seed), seed) for seed in seeds]
    wanted += [(f"w{number:04d}.png", origin) for number, origin in enumerate(rows)]
    check_writable(out / wanted[0][0])
    there = [_is_there(out / name, texts(name, origin)) for name, origin in wanted]
    with progress_bar(desc="draw", total=len(wanted), unit="img") as bar:
        for start in range(0, len(wanted), source.batch):
            part = slice(start, start + source.batch)
            if not all(there[part]):
                ws = mapped_seeds(seeds[part], recipe, subject) if saved is None else saved[part]
                images = draw_ws(recipe, subject, ws)
                for (name, origin), image in zip(wanted[part], images, strict=True):
                    data = png_of(enlarged(image, scale), *texts(name, origin))
                    with atomic_write(out / name) as temporary:
                        temporary.write_bytes(data)
            bar.update(len(there[part]))
    return sum(there)


def seed_name(seed: int) -> str:
    """Name of the file of a seed."""
    return f"seed{seed:04d}.png"


def seed_files(
    subject: OpenedGenerator,
    source: GeneratorSource,
    recipe: Recipe,
    seeds: Sequence[int],
    network: str,
) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file that `write_images` makes of these seeds, drawn one by one.

    `network`: SHA-256 of the network's file.
    """
    check_fits(recipe, subject)
    subject.painter.batch = source.batch
    for start in range(0, len(seeds), source.batch):
        part = seeds[start : start + source.batch]
        images = draw_ws(recipe, subject, mapped_seeds(part, recipe, subject))
        for seed, image in zip(part, images, strict=True):
            name = seed_name(seed)
            yield name, png_of(image, source.command(replace(recipe, seed=seed), name), network)


def _is_there(path: Path, texts: tuple[str, str]) -> bool:
    """Whether a file was written with these texts; refuses one with others."""
    if not path.exists():
        return False
    with suppress(UserError):  # damaged: not by us
        if texts_of(path) == texts:
            return True
    raise UserError(
        f"{path} is there and was made by another command or network: name another folder with"
        " --out"
    )


def drawn_seeds(
    painter: Painter,
    seeds: Sequence[int],
    labels: Tensor | None = None,
    *,
    psi: float,
    cutoff: int,
    noise: str,
) -> Iterator[Pixels]:
    """Draw images [H, W, C] of seeds one by one, each with its own noise.

    `labels` [N, label_size] in place of the painter's own.
    """
    ws = painter.ws(latents(0, seeds, painter.network.z_dim).numpy(), labels)
    yield from painter.images(painter.truncated(ws, psi, cutoff), painter.noise(noise))


def laid_out(cells: Sequence[Pixels], columns: int) -> Pixels:
    """Cells [H, W, C] of one size in rows; what is left of the last row is 0."""
    return image_grid(np.stack(cells).transpose(0, 3, 1, 2), columns)

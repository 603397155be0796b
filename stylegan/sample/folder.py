"""Images of many seeds: a PNG each in a folder, batch by batch, or cells of a sheet."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from stylegan.png import image_grid, png_of, texts_of
from stylegan.sample.canvas import Pixels, enlarged
from stylegan.sample.drawing import (
    OpenedGenerator,
    check_fits,
    draw_ws,
    mapped_seeds,
    noise_of_each,
)
from stylegan.sample.painter import Painter
from stylegan.sample.recipe import GeneratorSource, Recipe
from stylegan_eval.engine.files import atomic_write, check_writable, sha256_of
from stylegan_eval.engine.progress import progress_bar
from stylegan_eval.engine.sampling import latents
from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import SEEDS

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

    rows = [(file, row) for file in files for row in range(len(painter.read_ws([file])))]
    wanted: list[tuple[str, Origin]] = [(seed_name(seed), seed) for seed in seeds]
    wanted += [(f"w{number:04d}.png", origin) for number, origin in enumerate(rows)]

    def own(number: int) -> Recipe:
        """The recipe of a file."""
        _, origin = wanted[number]
        if isinstance(origin, int):
            return _of_seed(recipe, origin)
        return _with_own_noise(recipe, number)

    def texts(number: int) -> tuple[str, str]:
        """Command and network of a file."""
        name, origin = wanted[number]
        place = None if isinstance(origin, int) else origin
        return source.command(own(number), name, saved=place, scale=scale), network

    check_writable(out / wanted[0][0])
    there = [_is_there(out / name, texts(number)) for number, (name, _) in enumerate(wanted)]
    with progress_bar(desc="draw", total=len(wanted), unit="img") as bar:
        for start in range(0, len(wanted), source.batch):
            part = range(start, min(start + source.batch, len(wanted)))
            if not all(there[number] for number in part):
                of_part = slice(part.start, part.stop)
                if saved is None:
                    ws = mapped_seeds(seeds[of_part], recipe, subject)
                else:
                    ws = saved[of_part]
                noise = noise_of_each([own(number) for number in part], subject)
                for number, image in zip(part, draw_ws(recipe, subject, ws, noise), strict=True):
                    data = png_of(enlarged(image, scale), *texts(number))
                    with atomic_write(out / wanted[number][0]) as temporary:
                        temporary.write_bytes(data)
            bar.update(len(part))
    return sum(there)


def _with_own_noise(recipe: Recipe, number: int) -> Recipe:
    """The recipe of one of many images: random noise differs from image to image."""
    if recipe.noise != "random":
        return recipe
    return replace(recipe, noise_seed=(recipe.noise_seed + number) % SEEDS)


def _of_seed(recipe: Recipe, seed: int) -> Recipe:
    return _with_own_noise(replace(recipe, seed=seed), seed)


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
        recipes = [_of_seed(recipe, seed) for seed in part]
        ws, noise = mapped_seeds(part, recipe, subject), noise_of_each(recipes, subject)
        for each, image in zip(recipes, draw_ws(recipe, subject, ws, noise), strict=True):
            name = seed_name(each.seed)
            yield name, png_of(image, source.command(each, name), network)


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
    ws = painter.truncated(ws, psi, cutoff)
    yield from painter.images(ws, painter.noise_of_seeds(noise, seeds))


def laid_out(cells: Sequence[Pixels], columns: int) -> Pixels:
    """Cells [H, W, C] of one size in rows; what is left of the last row is 0."""
    return image_grid(np.stack(cells).transpose(0, 3, 1, 2), columns)

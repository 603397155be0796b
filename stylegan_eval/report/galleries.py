"""Samples as HTML: the same latents for each generator, each above its nearest real image."""

import math
from collections.abc import Mapping

from stylegan_eval.report import shell
from stylegan_eval.report.neighbours import Neighbourhood
from stylegan_eval.report.samples import Opened, as_png
from stylegan_eval.words import number


def samples_part(opened: Mapping[str, Opened], reals: Neighbourhood | None, seed: int) -> str:
    """Samples of each generator.

    Parameters
    ----------
    opened : mapping
        By label; those that could not be opened say why.
    reals : Neighbourhood or None
        Where the nearest real images were looked for.
    seed : int
        Of the latents.
    """
    if not opened:
        return ""
    dims = {one.z_dim for one in opened.values() if one.images is not None}
    said = f"Seed {seed}, not truncated, uncurated."
    if len(opened) > 1 and dims:
        said += (
            " Image by image the same latents for all."
            if len(dims) == 1
            else " Image by image the same latents for those whose latents are equally long."
        )
    return shell.section(
        "samples",
        "Samples" if reals is None else "Samples and their nearest real images",
        shell.note(said),
        shell.note(_scale(reals)),
        *(_gallery(label, one) for label, one in opened.items()),
    )


def _scale(reals: Neighbourhood | None) -> str:
    if reals is None:
        return (
            "For the nearest real image below each sample, name the real images: stylegan-eval"
            " report ... --data IMAGES."
        )
    typical = (
        f" A copy has distance 0; real images are {number(reals.typical)} from their nearest"
        " neighbour (median)."
        if math.isfinite(reals.typical)
        else ""
    )
    return (
        f"Below each sample its nearest among {len(reals.files):,} images of {reals.files.path}, by"
        f" the distance of features of {reals.detector.name}.{typical}"
    )


def _gallery(label: str, one: Opened) -> str:
    heading = f"<h3>{shell.text(label)}</h3>"
    if one.images is None:
        return f'{heading}<p class="failed">No samples: {shell.text(one.trouble)}</p>'
    size = one.images.shape[-1]
    cells = []
    for at, image in enumerate(one.images):
        shown = _image(as_png(image), f"sample {at} of {label}")
        if one.near:
            near = one.near[at]
            what = f"nearest real image, {near.name}"
            shown += _image(as_png(near.image), what)
            shown += f"<figcaption>{number(near.distance)}</figcaption>"
        cells.append(f"<figure>{shown}</figure>")
    kinds = "gallery small" if size <= 64 else "gallery"
    said = ""
    if one.near:
        distances = sorted(near.distance for near in one.near)
        said = shell.note(f"Median distance {number(distances[len(distances) // 2])}.")
        if one.near[0].image.shape[-1] != size:
            said += shell.note(
                f"The real images are {one.near[0].image.shape[-1]} pixels wide, the samples"
                f" {size}: that alone makes them differ."
            )
    return f'{heading}{said}<div class="{kinds}">{"".join(cells)}</div>'


def _image(png: bytes, alt: str) -> str:
    return f'<img src="{shell.data_uri(png)}" alt="{shell.text(alt)}">'

"""An image as PNG that carries the command which makes it again."""

import io
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngInfo

from stylegan.grid import picture
from stylegan.recipe import Recipe

KEYWORD = "Command"  # of the PNG's text


@dataclass(frozen=True, kw_only=True)
class Source:
    """What images are drawn from, as the user named it.

    Attributes
    ----------
    ckpt : Path
        The network.
    directions : Path, optional
        File of attribute directions; None where none was named.
    device : str
        Name of the device, or "auto".
    """

    ckpt: Path
    directions: Path | None
    device: str

    def command(self, recipe: Recipe, out: str) -> str:
        """Command line that writes this recipe's image to the file `out`."""
        words = ["stylegan-sample", "image", "--ckpt", str(self.ckpt)]
        if self.directions is not None and recipe.moves:
            words += ["--directions", str(self.directions)]
        if self.device != "auto":
            words += ["--device", self.device]
        return shlex.join([*words, *recipe.words(), out])


def png_of(image: NDArray[np.uint8], command: str) -> bytes:
    """Encode an image [H, W, 3] or [H, W, 1], with its command as text.

    The same image and command give the same bytes.
    """
    text = PngInfo()
    text.add_text(KEYWORD, command)  # as iTXt where Latin-1 does not hold it
    buffer = io.BytesIO()
    picture(image).save(buffer, format="PNG", pnginfo=text)
    return buffer.getvalue()

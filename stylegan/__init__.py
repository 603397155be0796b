"""StyleGAN (Karras et al., CVPR 2019): networks, data, training for configurations A to F.

>>> import stylegan
>>> G = stylegan.load("demo")
>>> G.sample(seeds=[0, 1], psi=0.7).shape
(2, 64, 64, 3)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylegan.api import load as load

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import what is public when it is asked for: commands start without it."""
    if name == "load":
        from stylegan.api import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

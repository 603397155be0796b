"""Which latent a seed means: the official scripts' or this toolkit's."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.errors import UserError
from stylegan_eval.sampling import latents

_LARGEST = 2**32 - 1


def official_batch(seed: int, count: int, z_dim: int) -> NDArray[np.float32]:
    """Latents [count, z_dim] of one draw of NumPy's RandomState, as the official scripts have.

    Raises
    ------
    UserError
        RandomState takes no such seed.
    """
    if seed > _LARGEST:
        raise UserError(f"seed {seed}: NumPy's RandomState takes 0 to {_LARGEST}")
    return np.random.RandomState(seed).standard_normal((count, z_dim)).astype(np.float32)


def official_latents(seeds: Sequence[int], z_dim: int) -> NDArray[np.float32]:
    """Latents [N, z_dim]: of each seed, the first of its own RandomState."""
    return np.concatenate([official_batch(seed, 1, z_dim) for seed in seeds])


def latents_of(seeds: Sequence[int], z_dim: int, seeding: str) -> NDArray[np.float32]:
    """Latents [N, z_dim] by 'official' seeds, or by those of 'grid'.

    Parameters
    ----------
    seeds : sequence of int
        N seeds.
    z_dim : int
        Length of a latent.
    seeding : str
        'official': `official_latents`. 'grid': image s of `stylegan-eval --seed 0`, as in
        `stylegan-sample grid`.
    """
    if seeding == "official":
        return official_latents(seeds, z_dim)
    return latents(0, seeds, z_dim).numpy()

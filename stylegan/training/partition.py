"""Who works on which images of a minibatch, and how many at a time.

A minibatch is divided only between whole groups of the minibatch standard deviation, so networks,
losses and gradients are the same functions however it is divided: over processes, or into passes
whose gradients add up. The official code forms its groups inside each GPU's part as well; which
images meet in a group is random either way.
"""

from dataclasses import dataclass

import numpy as np

from stylegan_eval.errors import UserError


@dataclass(frozen=True)
class Share:
    """Whole groups of a minibatch, worked on in one pass.

    Attributes
    ----------
    minibatch : int
        N, images of a step over all processes.
    group_size : int
        G, images in a group.
    groups : range
        Groups of this share, of the N / G there are.
    """

    minibatch: int
    group_size: int
    groups: range

    @property
    def size(self) -> int:
        """Images in the share."""
        return self.group_size * len(self.groups)

    @property
    def weight(self) -> float:
        """Part of the minibatch: what the share's mean counts for."""
        return self.size / self.minibatch

    @property
    def rows(self) -> np.ndarray:
        """Places in the minibatch, int64 [size].

        Group m of the minibatch holds places m, m + N/G, m + 2 N/G, ...; the share keeps that
        order, so `minibatch_stddev` finds the same groups in it.
        """
        stride = self.minibatch // self.group_size
        return (np.arange(self.group_size)[:, None] * stride + np.array(self.groups)).reshape(-1)


def shares(
    minibatch: int, group_size: int, *, rank: int = 0, world: int = 1, at_a_time: int | None = None
) -> list[Share]:
    """Passes of one process over its part of a minibatch.

    Parameters
    ----------
    minibatch : int
        Images of a step over all processes.
    group_size : int
        Largest group of the minibatch standard deviation; a smaller minibatch is one group.
    rank, world : int
        This process, of how many.
    at_a_time : int, optional
        Most images in a pass; at least one group is taken.

    Raises
    ------
    UserError
        The minibatch does not divide into groups, or these not over the processes.
    """
    G = min(group_size, minibatch)
    total, rest = divmod(minibatch, G)
    if rest:
        raise UserError(f"a minibatch of {minibatch} is no multiple of {G}")
    if total % world:
        fitting = max(n for n in range(1, min(total, world) + 1) if total % n == 0)
        raise UserError(
            f"{world} processes do not divide a minibatch of {minibatch} into groups of {G}: use"
            f" {fitting} process{'' if fitting == 1 else 'es'}, or a preset with a larger minibatch"
        )
    mine = range(rank * total // world, (rank + 1) * total // world)
    step = len(mine) if at_a_time is None else max(1, at_a_time // G)
    return [Share(minibatch, G, mine[i : i + step]) for i in range(0, len(mine), step)]

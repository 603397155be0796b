"""Learning rate and noise on w over the steps of a projection, both as factors in [0, 1].

References
----------
Karras et al., Analyzing and Improving the Image Quality of StyleGAN, 2020, Appendix D.
"""

import math

# Shares of the steps: rise of the rate, its fall at the end, and how long there is noise.
WARM_UP, RAMP_DOWN, PERTURBED = 0.05, 0.25, 0.75


def rate_factor(t: float) -> float:
    """Learning rate over its peak.

    Parameters
    ----------
    t : float
        Share of the steps done, in [0, 1].

    Returns
    -------
    float
        Rises from 0 in a line, then 1, then falls to 0 as half a cosine.

    Examples
    --------
    >>> [round(rate_factor(t), 3) for t in (0, 0.025, 0.05, 0.75, 0.875, 1)]
    [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    """
    fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / RAMP_DOWN))
    return fall * min(1.0, t / WARM_UP)


def noise_factor(t: float) -> float:
    """Deviation of the noise over that of the first step: a parabola down to 0.

    Parameters
    ----------
    t : float
        Share of the steps done, in [0, 1].

    Examples
    --------
    >>> [round(noise_factor(t), 3) for t in (0, 0.375, 0.75, 1)]
    [1.0, 0.25, 0.0, 0.0]
    """
    return max(0.0, 1 - t / PERTURBED) ** 2

"""Losses of the paper's Section 3 and Appendix C, as pure functions of scores.

Shapes: scores [N, 1], penalties [N], one number per image.

Images come at the native resolution of level floor(lod). The official code instead feeds D with
images repeated to the full resolution, and takes the gradients of its penalties with respect to
those. D averages them back, so with s = 4^floor(lod) full-size pixels per native one

    d score / d full = (1 / s) d score / d native    for each of the s copies,
    |grad_full|^2    = s (1 / s)^2 |grad_native|^2   = |grad_native|^2 / 4^floor(lod).

The penalties below divide by that, and are the official ones at every level.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def g_logistic_nonsaturating(fake_scores: Tensor) -> Tensor:
    """-log(sigmoid(D(fake)))."""
    return F.softplus(-fake_scores)


def g_wgan(fake_scores: Tensor) -> Tensor:
    """-D(fake)."""
    return -fake_scores


def d_logistic(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """-log(1 - sigmoid(D(fake))) - log(sigmoid(D(real)))."""
    return F.softplus(fake_scores) + F.softplus(-real_scores)


def d_wgan(real_scores: Tensor, fake_scores: Tensor, drift: float) -> Tensor:
    """D(fake) - D(real) + drift * D(real)^2 (Karras et al. 2018, Appendix A.1)."""
    return fake_scores - real_scores + drift * real_scores.square()


def squared_gradient_norm(scores: Tensor, images: Tensor, lod: float) -> Tensor:
    """|d sum(scores) / d images|^2 with respect to full-size images, [N]; differentiable once more.

    `scores` [N, 1] come from `images` [N, C, H, W] at the native resolution of level floor(lod).
    This is R1's penalty on real images and R2's on fakes, without the factor gamma / 2.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)) / 4 ** math.floor(lod)


def mix_images(reals: Tensor, fakes: Tensor, t: Tensor) -> Tensor:
    """Point between each real and fake image [N, C, H, W] where WGAN-GP looks at the gradient.

    `t` [N, 1, 1, 1] in [0, 1) is the share of the fake.
    """
    return torch.lerp(reals, fakes, t)


def gradient_penalty(squared_norms: Tensor, gp_lambda: float, target: float) -> Tensor:
    """WGAN-GP: lambda / target^2 * (|gradient| - target)^2, of `squared_gradient_norm` [N]."""
    return gp_lambda / target**2 * (squared_norms.sqrt() - target).square()

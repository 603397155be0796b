"""Fresh runs and fresh noise, by what the product has."""

import torch

from stylegan.training.run import check_free, fresh, run


def start_run(config, settings, runtime):
    """Train from fresh weights; the last checkpoint."""

    def begin(*, taken):
        check_free(settings.out, runtime, taken=taken)
        return fresh(config, settings)

    return run(settings.out, begin, runtime)


def draw_noise(network, n, rng, lod=0.0):
    """Noise for `n` images: [n, 1, H, W] per layer active at `lod`, on the device of `rng`."""
    shapes = network.g.noise_shapes(lod)
    return [torch.randn(n, 1, h, w, generator=rng, device=rng.device) for h, w in shapes]

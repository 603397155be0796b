import numpy as np
import pytest
import torch

from stylegan_eval.networks.preprocess import (
    INCEPTION_INPUT,
    clean_inception_input,
    half_pixel_inception_input,
    tf1_bilinear,
)

SIZES = [32, 64, 128, 256, 299, 512, 1024]


def images_of(size, count=1):
    """Noise and hard edges: what resize rules treat most differently."""
    rng = torch.Generator().manual_seed(size)
    noise = torch.randint(0, 256, (count, 3, size, size), generator=rng, dtype=torch.uint8)
    noise[..., : size // 2] = 255 * (noise[..., : size // 2] > 127)
    return noise


def by_peer(resizer, images):
    return np.stack([resizer(image.permute(1, 2, 0).numpy()) for image in images])


@pytest.mark.parametrize("size", SIZES)
def test_clean_rule_equals_clean_fids(size):
    from cleanfid.resize import make_resizer

    images = images_of(size)
    theirs = by_peer(make_resizer("PIL", False, "bicubic", (299, 299)), images)
    ours = (clean_inception_input(images) * 128 + 128).permute(0, 2, 3, 1)
    assert (ours - torch.from_numpy(theirs)).abs().max() < 5e-3


@pytest.mark.parametrize("size", SIZES)
def test_half_pixel_rule_equals_clean_fids_legacy_pytorch(size):
    from cleanfid.resize import build_resizer

    images = images_of(size)
    theirs = by_peer(build_resizer("legacy_pytorch"), images)
    ours = ((half_pixel_inception_input(images) + 1) * 127.5).permute(0, 2, 3, 1)
    assert (ours - torch.from_numpy(theirs)).abs().max() < 5e-3


def test_clean_rule_clips_but_does_not_round():
    edge = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    edge[..., 32:] = 255
    x = clean_inception_input(edge) * 128 + 128
    assert x.min() == 0
    assert x.max() == 255
    assert not torch.equal(x, x.round())


@pytest.mark.parametrize("target", [224, 299])
@pytest.mark.parametrize("size", [32, 64, 128, 256, 512, 1024])
def test_tf1_rule_equals_torch_fidelitys(size, target):
    from torch_fidelity.interpolate_compat_tensorflow import (
        interpolate_bilinear_2d_like_tensorflow1x,
    )

    images = images_of(size)
    theirs = interpolate_bilinear_2d_like_tensorflow1x(
        images.float(), size=(target, target), align_corners=False
    )
    torch.testing.assert_close(tf1_bilinear(images, target), theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("rule", INCEPTION_INPUT)
def test_rules_treat_images_of_a_batch_alone(rule):
    images = images_of(48, count=3)
    together = INCEPTION_INPUT[rule](images)
    assert together.shape == (3, 3, 299, 299)
    alone = torch.cat([INCEPTION_INPUT[rule](image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)

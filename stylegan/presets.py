"""Data sets and scales: named changes on top of a row of Table 1."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from stylegan.configs import Config, FloatTable, IntTable
from stylegan_eval.errors import UserError

# Images per step in total, by number of GPUs, from the official training script.
_MINIBATCH: Mapping[int, tuple[IntTable, int]] = MappingProxyType(
    {
        8: (((4, 512), (8, 256), (16, 128), (32, 64), (64, 32)), 32),
        4: (((4, 512), (8, 256), (16, 128), (32, 64), (64, 32), (128, 16)), 16),
        2: (((4, 256), (8, 256), (16, 128), (32, 64), (64, 32), (128, 16), (256, 8)), 8),
        1: (
            ((4, 128), (8, 128), (16, 128), (32, 64), (64, 32), (128, 16), (256, 8), (512, 4)),
            4,
        ),
    }
)


@dataclass(frozen=True)
class Preset:
    """A named change."""

    description: str  # One line for ``--preset list`` and logs
    apply: Callable[[Config], Config]


def _gpus(config: Config, count: int) -> Config:
    """The published minibatch for `count` GPUs."""
    table, base = _MINIBATCH[count]
    schedule = replace(config.schedule, minibatch=table, minibatch_base=base)
    if config.name == "A" and count == 1:  # Progressive GAN's own rates on one GPU
        schedule = replace(schedule, lrate=((1024, 0.0015),))
    return replace(config, schedule=schedule)


def _celebahq(config: Config) -> Config:
    """WGAN-GP in every row, learning rates of at most 0.002 (Section 2.1, Appendix C)."""
    lrate: FloatTable = tuple((size, min(rate, 0.002)) for size, rate in config.schedule.lrate)
    return replace(
        config,
        loss=replace(config.loss, kind="wgan-gp"),
        schedule=replace(config.schedule, lrate=lrate),
    )


def _lsun(config: Config, resolution: int, total_kimg: float) -> Config:
    """No mirroring, and a length of its own (Appendix B)."""
    return replace(
        config,
        resolution=resolution,
        mirror=False,
        schedule=replace(config.schedule, total_kimg=total_kimg),
    )


def _cpu(
    config: Config,
    *,
    resolution: int,
    width: int,
    minibatch: int,
    lrate: float,
    phase_kimg: float,
    total_kimg: float,
    ema_kimg: float,
) -> Config:
    """A scale that two CPU cores train in minutes to hours. `docs/demo-scale.md` gives reasons."""
    return replace(
        config,
        resolution=resolution,
        network=replace(
            config.network,
            fmap_base=resolution * width // 4,  # half the width at full resolution
            fmap_max=width,
            z_dim=2 * width,
            w_dim=2 * width,
            mapping_fmaps=2 * width,
        ),
        schedule=replace(
            config.schedule,
            training_kimg=phase_kimg,
            transition_kimg=phase_kimg,
            total_kimg=total_kimg,
            minibatch=(),
            minibatch_base=minibatch,
            lrate=(),
            lrate_base=lrate,
            tick_kimg=(),
            ema_kimg=ema_kimg,
        ),
    )


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "paper-ffhq": Preset(
            "FFHQ at 1024x1024 as published: 8 GPUs, logistic + R1 from B on", lambda config: config
        ),
        "paper-ffhq-4gpu": Preset(
            "FFHQ at 1024x1024, minibatch for 4 GPUs", partial(_gpus, count=4)
        ),
        "paper-ffhq-2gpu": Preset(
            "FFHQ at 1024x1024, minibatch for 2 GPUs", partial(_gpus, count=2)
        ),
        "paper-ffhq-1gpu": Preset(
            "FFHQ at 1024x1024, minibatch for 1 GPU", partial(_gpus, count=1)
        ),
        "paper-celebahq": Preset(
            "CelebA-HQ at 1024x1024: WGAN-GP in every row, learning rate <= 0.002", _celebahq
        ),
        "paper-lsun-bedroom": Preset(
            "LSUN Bedroom at 256x256: 70M images, no mirroring",
            partial(_lsun, resolution=256, total_kimg=70000.0),
        ),
        "paper-lsun-cat": Preset(
            "LSUN Cat at 256x256: 70M images, no mirroring",
            partial(_lsun, resolution=256, total_kimg=70000.0),
        ),
        "paper-lsun-car": Preset(
            "LSUN Car at 512x512: 46M images, no mirroring",
            partial(_lsun, resolution=512, total_kimg=46000.0),
        ),
        "tiny-16": Preset(
            "Seconds: 16x16, width 8, 0.2 kimg a phase, 1 kimg; shows that all works",
            partial(
                _cpu,
                resolution=16,
                width=8,
                minibatch=8,
                lrate=0.003,
                phase_kimg=0.2,
                total_kimg=1.0,
                ema_kimg=0.2,
            ),
        ),
        "quick-32": Preset(
            "Minutes on a CPU: 32x32, width 64, 4 kimg a phase, 24 kimg",
            partial(
                _cpu,
                resolution=32,
                width=64,
                minibatch=16,
                lrate=0.004,
                phase_kimg=4.0,
                total_kimg=24.0,
                ema_kimg=1.0,
            ),
        ),
        "demo-32": Preset(
            "An hour on a CPU: 32x32, width 64, 10 kimg a phase, 150 kimg",
            partial(
                _cpu,
                resolution=32,
                width=64,
                minibatch=16,
                lrate=0.003,
                phase_kimg=10.0,
                total_kimg=150.0,
                ema_kimg=3.0,
            ),
        ),
        "demo-64": Preset(
            "A night on a CPU: 64x64, width 64, 30 kimg a phase, 600 kimg",
            partial(
                _cpu,
                resolution=64,
                width=64,
                minibatch=16,
                lrate=0.003,
                phase_kimg=30.0,
                total_kimg=600.0,
                ema_kimg=5.0,
            ),
        ),
    }
)


def apply_preset(config: Config, name: str) -> Config:
    """Change `config` as the preset says."""
    if name not in PRESETS:
        raise UserError(f"no preset {name!r}; there are: {', '.join(PRESETS)}")
    return PRESETS[name].apply(config)


def with_options(
    config: Config,
    *,
    resolution: int | None = None,
    total_kimg: float | None = None,
    mirror: bool | None = None,
    label_size: int | None = None,
) -> Config:
    """Change what a user may change of a row and preset; None leaves a value alone."""
    if resolution is not None:
        config = replace(config, resolution=resolution)
    if total_kimg is not None:
        config = replace(config, schedule=replace(config.schedule, total_kimg=total_kimg))
    if mirror is not None:
        config = replace(config, mirror=mirror)
    if label_size is not None:
        network = replace(config.network, label_size=label_size)
        if network.mapping_layers == 0:  # w is z beside the label's embedding
            network = replace(network, w_dim=network.z_dim * (2 if label_size else 1))
        config = replace(config, network=network)
    return config

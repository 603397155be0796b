"""Data sets and scales: named changes on top of a row of Table 1."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from stylegan.configs import Config, FloatTable, IntTable, NetworkConfig
from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import choice

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


AUTO = "auto"  # The preset whose values `stylegan.auto` chooses
Change = Callable[[Config], Config]


@dataclass(frozen=True)
class Preset:
    """A named change."""

    description: str  # One line for ``--preset list`` and logs
    apply: Change


def _gpus(count: int) -> Change:
    """The published minibatch for `count` GPUs."""

    def change(config: Config) -> Config:
        table, base = _MINIBATCH[count]
        schedule = replace(config.schedule, minibatch=table, minibatch_base=base)
        if config.name == "A" and count == 1:  # Progressive GAN's own rates on one GPU
            schedule = replace(schedule, lrate=((1024, 0.0015),))
        return replace(config, schedule=schedule)

    return change


def _celebahq(config: Config) -> Config:
    """WGAN-GP in every row, learning rates of at most 0.002 (Section 2.1, Appendix C)."""
    lrate: FloatTable = tuple((size, min(rate, 0.002)) for size, rate in config.schedule.lrate)
    loss = replace(config.loss, kind="wgan-gp")
    return replace(config, loss=loss, schedule=replace(config.schedule, lrate=lrate))


def _lsun(resolution: int, total: float) -> Change:
    """No mirroring, and a length of its own (Appendix B)."""

    def change(config: Config) -> Config:
        schedule = replace(config.schedule, total_kimg=total)
        return replace(config, resolution=resolution, mirror=False, schedule=schedule)

    return change


def sized(network: NetworkConfig, *, width: int, base: int, latents: int) -> NetworkConfig:
    """Networks of at most `width` feature maps, and latents."""
    return replace(
        network,
        fmap_base=base,
        fmap_max=width,
        z_dim=latents,
        w_dim=latents,
        mapping_fmaps=latents,
    )


def scaled(network: NetworkConfig, width: int) -> NetworkConfig:
    """Networks of at most `width` feature maps; the others and latents in proportion."""

    def part(size: int) -> int:
        return max(round(size * width / network.fmap_max), 1)

    z_dim, w_dim = part(network.z_dim), part(network.w_dim)
    if network.mapping_layers == 0:  # w is z beside the label's embedding
        w_dim = z_dim * (2 if network.label_size else 1)
    return replace(
        network,
        fmap_base=part(network.fmap_base),
        fmap_max=width,
        z_dim=z_dim,
        w_dim=w_dim,
        mapping_fmaps=part(network.mapping_fmaps),
    )


def _cpu(
    resolution: int,
    *,
    width: int,
    minibatch: int,
    lrate: float,
    phase: float,
    total: float,
    ema: float,
) -> Change:
    """A scale that two CPU cores train in minutes to hours. `docs/demo-scale.md` gives reasons.

    `phase`, `total`, `ema`: In kimg.
    """

    def change(config: Config) -> Config:
        base = resolution * width // 4  # half the width at full resolution
        network = sized(config.network, width=width, base=base, latents=2 * width)
        schedule = replace(
            config.schedule,
            training_kimg=phase,
            transition_kimg=phase,
            total_kimg=total,
            minibatch=(),
            minibatch_base=minibatch,
            lrate=(),
            lrate_base=lrate,
            tick_kimg=(),
            ema_kimg=ema,
        )
        return replace(config, resolution=resolution, network=network, schedule=schedule)

    return change


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "paper-ffhq": Preset(
            "FFHQ at 1024x1024 as published: 8 GPUs, logistic + R1 from B on", lambda config: config
        ),
        "paper-ffhq-4gpu": Preset("FFHQ at 1024x1024, minibatch for 4 GPUs", _gpus(4)),
        "paper-ffhq-2gpu": Preset("FFHQ at 1024x1024, minibatch for 2 GPUs", _gpus(2)),
        "paper-ffhq-1gpu": Preset("FFHQ at 1024x1024, minibatch for 1 GPU", _gpus(1)),
        "paper-celebahq": Preset(
            "CelebA-HQ at 1024x1024: WGAN-GP in every row, learning rate <= 0.002", _celebahq
        ),
        "paper-lsun-bedroom": Preset(
            "LSUN Bedroom at 256x256: 70M images, no mirroring", _lsun(256, 70000.0)
        ),
        "paper-lsun-cat": Preset(
            "LSUN Cat at 256x256: 70M images, no mirroring", _lsun(256, 70000.0)
        ),
        "paper-lsun-car": Preset(
            "LSUN Car at 512x512: 46M images, no mirroring", _lsun(512, 46000.0)
        ),
        "tiny-16": Preset(
            "Seconds: 16x16, width 8, 0.2 kimg a phase, 1 kimg; shows that all works",
            _cpu(16, width=8, minibatch=8, lrate=0.003, phase=0.2, total=1.0, ema=0.2),
        ),
        "quick-32": Preset(
            "Minutes on a CPU: 32x32, width 64, 4 kimg a phase, 24 kimg",
            _cpu(32, width=64, minibatch=16, lrate=0.004, phase=4.0, total=24.0, ema=1.0),
        ),
        "demo-32": Preset(
            "An hour on a CPU: 32x32, width 64, 10 kimg a phase, 150 kimg",
            _cpu(32, width=64, minibatch=16, lrate=0.003, phase=10.0, total=150.0, ema=3.0),
        ),
        "table-32": Preset(
            "An hour on a CPU, at the rates that trials found better: 32x32, width 64, 120 kimg",
            _cpu(32, width=64, minibatch=16, lrate=0.008, phase=5.0, total=120.0, ema=3.0),
        ),
        "demo-64": Preset(
            "A night on a CPU: 64x64, width 64, 30 kimg a phase, 600 kimg",
            _cpu(64, width=64, minibatch=16, lrate=0.003, phase=30.0, total=600.0, ema=5.0),
        ),
    }
)


def apply_preset(config: Config, name: str) -> Config:
    """Change `config` as the preset says."""
    if name not in PRESETS:
        raise UserError(f"no preset {name!r}; there are: {', '.join((AUTO, *PRESETS))}")
    return PRESETS[name].apply(config)


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Values that a user may change of any preset; None leaves one alone."""

    minibatch: int | None = choice(
        None,
        "Images per step over all processes, at every resolution.",
        shown="the preset's",
        least=1,
        most=2**16,
        metavar="N",
    )
    lrate: float | None = choice(
        None,
        "Learning rate of both networks, at every resolution.",
        shown="the preset's",
        above=0,
        metavar="RATE",
    )
    gamma: float | None = choice(
        None, "Weight of R1 in the loss of D.", shown="the preset's", least=0, metavar="GAMMA"
    )
    ema_kimg: float | None = choice(
        None,
        "EMA half-life of the generator weights, in kimg.",
        shown="the preset's",
        above=0,
        metavar="KIMG",
    )
    width: int | None = choice(
        None,
        "Most feature maps of a layer; other layers and the latents change in proportion.",
        shown="the preset's",
        least=1,
        most=2**16,
        metavar="MAPS",
    )

    def apply(self, config: Config) -> Config:
        """Change `config`."""
        schedule, loss, network = config.schedule, config.loss, config.network
        if self.minibatch is not None:
            schedule = replace(schedule, minibatch=(), minibatch_base=self.minibatch)
        if self.lrate is not None:
            schedule = replace(schedule, lrate=(), lrate_base=self.lrate)
        if self.ema_kimg is not None:
            schedule = replace(schedule, ema_kimg=self.ema_kimg)
        if self.gamma is not None:
            if loss.kind != "logistic-r1":
                raise UserError(
                    f"--gamma weighs R1, and configuration {config.name} is trained with"
                    f" {loss.kind}: leave it out"
                )
            loss = replace(loss, r1_gamma=self.gamma)
        if self.width is not None:
            network = scaled(network, self.width)
        return replace(config, schedule=schedule, loss=loss, network=network)


def with_options(
    config: Config,
    *,
    resolution: int | None = None,
    total_kimg: float | None = None,
    mirror: bool | None = None,
    label_size: int | None = None,
    num_channels: int | None = None,
) -> Config:
    """Change what a user may change of a row and preset; None leaves a value alone."""
    if resolution is not None:
        config = replace(config, resolution=resolution)
    if total_kimg is not None:
        config = replace(config, schedule=replace(config.schedule, total_kimg=total_kimg))
    if mirror is not None:
        config = replace(config, mirror=mirror)
    if num_channels is not None:
        network = replace(config.network, num_channels=num_channels)
        config = replace(config, network=network)
    if label_size is not None:
        network = replace(config.network, label_size=label_size)
        if network.mapping_layers == 0:  # w is z beside the label's embedding
            network = replace(network, w_dim=network.z_dim * (2 if label_size else 1))
        config = replace(config, network=network)
    return config

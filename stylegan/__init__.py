"""StyleGAN (Karras et al., CVPR 2019): networks, data, training for configurations A to F."""

__version__ = "0.1.0"

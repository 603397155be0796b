"""StyleGAN (Karras, Laine, Aila, CVPR 2019): networks, data and training for configurations A to F."""

__version__ = "0.1.0"

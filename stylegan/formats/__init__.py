"""Networks of other programs: pickles of NVIDIA's, and the layouts of PyTorch implementations."""

from stylegan.formats import genforce, huangzh13, rosinality

LAYOUTS = (
    rosinality.LAYOUT,
    huangzh13.LAYOUT,
    genforce.LAYOUT,
)

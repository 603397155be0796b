"""What a results folder tells of one run of a table: the records that a report is made of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["done", "failed", "running", "waiting"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One run of one table: what was asked for.

    Attributes
    ----------
    table, title : str
        'table1'; 'Table 1: FID of generator designs'.
    scale : str
        'demo-32'.
    dataset : str
        'ffhq' or 'celebahq': whose losses and whose published numbers.
    kimg : float
        Budget of each training, thousands of real images shown.
    data : str
        Name and size of the data set in words.
    command : str
        What to type to get it.
    """

    table: str
    title: str
    scale: str
    dataset: str
    kimg: float
    data: str
    command: str


@dataclass(frozen=True, kw_only=True)
class Training:
    """One trained network.

    Attributes
    ----------
    name : str
        'A-s0-1f2e3d4c'.
    folder : Path
        Folder of `stylegan-train`; may not exist yet.
    network : str
        'A', 'traditional-8'.
    seed : int
        Seed of the training.
    kimg : float
        Thousands of images shown so far.
    seconds : float
        Wall time of the training, measurements on the way included.
    machine : str
        'cpu, AMD EPYC, 2 cores, 1 thread, fp32'.
    """

    name: str
    folder: Path
    network: str
    seed: int
    kimg: float
    seconds: float
    machine: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One cell of a table for one seed.

    Attributes
    ----------
    request : Request
        What it belongs to.
    line, label : str
        Key of the table's line ('A', 'traditional-8-z'), and what the paper calls it.
    space : str
        '', 'z' or 'w'.
    metric : str
        'fid', 'ppl_full', 'ppl_end', 'separability', 'precision' or 'recall'.
    condition : str
        '', 'latents=2' or 'psi=0.7'.
    seed : int
        Seed of the training.
    state : {'done', 'failed', 'running', 'waiting'}
        How it stands.
    reason : str
        Why it failed.
    value, stderr : float or None
        The measured number and, where known, the standard error of measuring it.
    measured_as : str
        Name of the metric that was really measured: 'fd10k_efficientnet-lite0'.
    protocol : str
        How it was measured, in words.
    published : float or None
        The paper's number.
    training : Training or None
        The network that was measured.
    """

    request: Request
    line: str
    label: str
    space: str
    metric: str
    condition: str
    seed: int
    state: State
    reason: str = ""
    value: float | None = None
    stderr: float | None = None
    measured_as: str = ""
    protocol: str = ""
    published: float | None = None
    training: Training | None = None

"""The recipe of one image: all that its pixels depend on, as options and inside a PNG."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from stylegan.sample.layers import parse_range, range_word
from stylegan_eval.engine.options import PSI, Parsed
from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import check_psi, check_seed, choice

Noise = Literal["fixed", "random", "none"]
NOISE: tuple[Noise, ...] = get_args(Noise)
CUTOFF = 8  # the official default
LARGEST_MOVE = 1000.0  # standard deviations of w
CLASS_HELP = (
    "Class (or attribute) of a conditional network, by number or name."
    "  [default: drawn as in the training data]"
)
# At most 19 digits: Python refuses to read numbers of thousands.
_NUMBER = re.compile(r"-?[0-9]{1,19}")
_MIX = re.compile(r"([0-9]{1,19}):([0-9]{1,4})(?:-([0-9]{1,4}))?")


def _require(condition: bool, message: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not condition:
        raise UserError(message)


def idle_seed(noise: Noise) -> str:
    """Why a seed of noise is refused where the noise is not random."""
    return f"is for --noise random: leave it out with --noise {noise}"


def parse_class(text: str) -> int | str:
    """Read the number of a class, or its name where it is no number.

    >>> parse_class("3"), parse_class("cat")
    (3, 'cat')
    """
    if not text:
        raise ValueError("expected the number or the name of a class")
    if _NUMBER.fullmatch(text) is None:
        return text
    if int(text) < 0:
        raise ValueError(f"{text} is no class: classes are counted from 0")
    return int(text)


def class_word(number: int, names: Sequence[str]) -> int | str:
    """The word for a class after --class: its name, if it has one that is not a number itself.

    >>> class_word(1, ("ape", "cat")), class_word(1, ("7", "8")), class_word(1, ())
    ('cat', 1, 1)
    """
    return names[number] if names and _NUMBER.fullmatch(names[number]) is None else number


CLASS = Parsed("class", parse_class)


def parse_digest(text: str) -> str:
    """Read the digest of a w, as `Recipe.saved` has it."""
    if re.fullmatch(r"[0-9a-f]{16}", text) is None:
        raise ValueError(f"{text!r:.60} is no digest of a w: expected 16 digits from 0 to f")
    return text


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Another latent, which some layers are drawn from (style mixing, Section 3.1)."""

    seed: int  # Of the other latent
    first: int  # First layer that takes it, counted from 0
    last: int  # Last layer that takes it

    def __post_init__(self) -> None:
        check_seed("the seed of --mix", self.seed)
        _require(
            0 <= self.first <= self.last,
            f"--mix needs layers from 0 up, the first one first, not {self.first}-{self.last}",
        )

    @classmethod
    def parse(cls, text: str) -> Mix:
        """Read '8:4-7' (seed 8 in layers 4 to 7) or '8:4'; ValueError where it is neither."""
        match = _MIX.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r:.60} is not a seed and layers such as 8:4-7")
        seed, first, last = match.groups()
        return cls(seed=int(seed), first=int(first), last=int(last or first))

    def __str__(self) -> str:
        return f"{self.seed}:{range_word(range(self.first, self.last + 1))}"


@dataclass(frozen=True, kw_only=True)
class Move:
    """A step in W along the normal of an attribute's hyperplane."""

    name: str  # Of the attribute
    amount: float
    """In standard deviations of w along the normal; below 0 is away from the attribute."""
    layers: range | None = None  # That move; None are those of the direction, all but by a file

    def __post_init__(self) -> None:
        _require(bool(self.name), f"--move needs the name of an attribute before ={self.amount:g}")
        _require(
            abs(self.amount) <= LARGEST_MOVE,
            f"--move {self.name} must be a number from {-LARGEST_MOVE:g} to {LARGEST_MOVE:g}",
        )

    @classmethod
    def parse(cls, text: str) -> Move:
        """Read 'eyeglasses=1.5' or 'eyeglasses=1.5:4-7'; ValueError where it is neither.

        A name may hold any sign: it ends at the last =, and no number or range has one.
        """
        name, _, rest = text.rpartition("=")
        amount, colon, layers = rest.partition(":")
        try:
            number = float(amount)
        except ValueError as error:
            example = "an attribute and a number such as smiling=1.5 (or smiling=1.5:4-7)"
            raise ValueError(f"{text!r:.60} is not {example}") from error
        return cls(name=name, amount=number, layers=parse_range(layers) if colon else None)

    def __str__(self) -> str:
        layers = "" if self.layers is None else f":{range_word(self.layers)}"
        return f"{self.name}={number_word(self.amount)}{layers}"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of one image, with the defaults of `stylegan-sample grid`."""

    seed: int = choice(0, "Latent: image SEED of `grid --seeds`.")
    psi: float = choice(1.0, "Truncation psi; 1 disables truncation.", type=PSI)
    cutoff: int = choice(CUTOFF, "Number of first layers that are truncated.", least=0)
    mix: Mix | None = choice(
        None,
        "Draw these layers, the first being 0, from another latent.",
        type=Parsed("seed:layers", Mix.parse),
        metavar="SEED:FIRST-LAST",
    )
    noise: Noise = choice("fixed", "Noise inputs.")
    noise_seed: int = choice(0, "Seed of --noise random.")  # 0 with other noise
    moves: tuple[Move, ...] = choice(
        (),
        "Move along an attribute, in standard deviations of w; in all layers, or in these. May be"
        " repeated.",
        names=("--move",),
        type=Parsed("attribute=amount", Move.parse),
        multiple=True,
        metavar="NAME=AMOUNT[:FIRST-LAST]",
    )
    number: int | str | None = choice(
        None, CLASS_HELP, names=("--class",), type=CLASS, metavar="K|NAME"
    )
    saved: str | None = None
    """Digest of the w that it starts from in place of its seed, where a server holds w by digest;
    commands name a file."""

    def __post_init__(self) -> None:
        check_seed("--seed", self.seed)
        _require(not self.saved or self.seed == 0, "--seed and --ws: give one of them")
        check_seed("--noise-seed", self.noise_seed)
        check_psi(self.psi)
        _require(self.cutoff >= 0, f"--cutoff must be at least 0, not {self.cutoff}")
        _require(self.noise in NOISE, f"--noise must be {', '.join(NOISE)}, not {self.noise}")
        _require(
            self.noise == "random" or self.noise_seed == 0,
            f"--noise-seed {idle_seed(self.noise)}",
        )
        _require(
            not isinstance(self.number, int) or self.number >= 0,
            f"--class must be at least 0, not {self.number}",
        )
        names = [move.name for move in self.moves]
        for name in names:
            _require(names.count(name) == 1, f"--move {name} is given more than once: add them up")

    @property
    def effective(self) -> Recipe:
        """The same image without a cutoff that has no effect, which commands refuse."""
        return replace(self, cutoff=CUTOFF) if self.psi == 1 else self

    def words(self) -> list[str]:
        """Options of `stylegan-sample image` that draw it, without those at their defaults."""
        words = ["--ws", self.saved] if self.saved else ["--seed", str(self.seed)]
        if self.psi != 1:
            words += ["--psi", number_word(self.psi)]
        if self.cutoff != CUTOFF:
            words += ["--cutoff", str(self.cutoff)]
        if self.mix is not None:
            words += ["--mix", str(self.mix)]
        if self.noise != "fixed":
            words += ["--noise", self.noise]
        if self.noise_seed:
            words += ["--noise-seed", str(self.noise_seed)]
        for move in self.moves:
            words += ["--move", str(move)]
        if self.number is not None:
            words += ["--class", str(self.number)]
        return words

    def __str__(self) -> str:
        return shlex.join(self.words())


def number_word(value: float) -> str:
    """Shortest text that reads as this number: 1, 0.7, -1.5."""
    return repr(float(value)).removesuffix(".0")


def layer_word(first: int, last: int) -> str:
    """Sizes in pixels at which layers `first` to `last` work: 4x4, or 4x4 to 8x8."""
    sizes = [4 << layer // 2 for layer in (first, last)]
    return " to ".join(f"{size}x{size}" for size in dict.fromkeys(sizes))


@dataclass(frozen=True, kw_only=True)
class GeneratorSource:
    """Generator and how it is run, as the user named it."""

    ckpt: Path  # Whatever `stylegan.opening.located` finds networks by
    number: int | str | None = None
    """The one class that a conditional network draws; None draws as in the training data."""
    lod: float | None = None  # Level of detail; None is what the checkpoint was trained to
    batch: int = 16  # Images drawn at a time
    device: str = "auto"  # 'auto', 'cpu', 'cuda' or 'cuda:N'
    directions: Path | None = None
    """File of directions, or `directions.COMPONENTS`; None where none was named."""

    def command(
        self, recipe: Recipe, out: str, *, saved: tuple[Path, int] | None = None, scale: int = 1
    ) -> str:
        """Command line that writes this recipe's image to the file `out`.

        `saved`: File and row of the w that it starts from, in place of the recipe's seed.
        """
        words = self.start("image", moves=bool(recipe.moves))
        options = recipe.effective.words()
        if saved is not None:
            file, row = saved
            options[:2] = ["--ws", str(file), *(["--row", str(row)] if row else [])]
        if scale != 1:
            options += ["--scale", str(scale)]
        return shlex.join([*words, *options, out])

    @property
    def name(self) -> str:
        """The network as commands name it."""
        # `NetworkPath` makes ./NAME absolute: no folder of the machine that was not typed.
        here = self.ckpt.is_absolute() and self.ckpt.parent == Path.cwd()
        return f"./{self.ckpt.name}" if here else str(self.ckpt)

    def start(self, command: str, *, moves: bool = False) -> list[str]:
        """First words of a `stylegan-sample` command; with the directions, where it `moves`."""
        words = ["stylegan-sample", command, "--ckpt", self.name]
        if self.directions is not None and moves:
            words += ["--directions", str(self.directions)]
        return [*words, "--device", self.device] if self.device != "auto" else words

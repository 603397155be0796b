"""The controls of the page, and the recipe they set."""

import shlex
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from nicegui import ui

from stylegan.explore.widgets import Changed, Seed, Slider, unbroken
from stylegan.sample.painter import Subject
from stylegan.sample.recipe import CUTOFF, NOISE, Mix, Move, Noise, Recipe, layer_word

PSI = (-1.0, 1.5)
FARTHEST = 4.0  # standard deviations that a slider moves; a command takes more
_ANY_CLASS = -1
_NO_W = (
    "This network has no mapping network, hence no W: there is nothing to truncate, to mix or to"
    " move in."
)


@contextmanager
def section(title: str) -> Iterator[None]:
    """A group of controls; the style knows it by its title."""
    with ui.element("fieldset").classes(title.lower().replace(" ", "-")):
        with ui.element("legend"):
            ui.html(title, tag="span")
        yield


class Controls:
    """All controls that a network has a use for.

    `changed`: Called when they say another recipe.
    """

    def __init__(self, subject: Subject, changed: Callable[[], Awaitable[None]]) -> None:
        self._listener = changed
        self._silent = False
        self._latent = Latent(subject, self._changed)
        self._truncation = self._mixing = self._attributes = self._noise = None
        if not subject.painter.maps:
            ui.label(_NO_W).classes("remark")
        else:
            self._truncation = Truncation(subject, self._changed)
            if subject.num_layers > 1:
                self._mixing = Mixing(subject, self._changed)
        if subject.has_noise:
            self._noise = NoiseInputs(self._changed)
        if subject.painter.maps:
            self._attributes = Attributes(subject, self._changed)

    def recipe(self) -> Recipe:
        """What they say."""
        psi, cutoff = self._truncation.get() if self._truncation else (1.0, CUTOFF)
        noise, noise_seed = self._noise.get() if self._noise else (NOISE[0], 0)
        return Recipe(
            seed=self._latent.seed.get(),
            psi=psi,
            cutoff=cutoff,
            mix=self._mixing.get() if self._mixing else None,
            noise=noise,
            noise_seed=noise_seed,
            moves=self._attributes.get() if self._attributes else (),
            number=self._latent.number(),
        )

    async def show(self, recipe: Recipe) -> None:
        """Say a recipe."""
        self._silent = True
        self._latent.set(recipe)
        if self._truncation:
            self._truncation.set(recipe.psi, recipe.cutoff)
        if self._mixing:
            self._mixing.set(recipe.mix)
        if self._noise:
            self._noise.set(recipe.noise, recipe.noise_seed)
        if self._attributes:
            self._attributes.set(recipe.moves)
        self._silent = False
        await self._listener()

    def _changed(self) -> Awaitable[None] | None:
        # Asked at once, not when the awaitable has its turn.
        return None if self._silent else self._listener()


class Latent:
    """Seed, and class of a conditional network."""

    def __init__(self, subject: Subject, changed: Changed) -> None:
        self._select: ui.select | None = None
        with section("Latent"):
            self.seed = Seed("Seed", changed)
            if subject.classes:
                # Without labels none can be drawn.
                drawn = (
                    {}
                    if subject.painter.label_rows is None
                    else {_ANY_CLASS: "as in the training data"}
                )
                options = drawn | {k: str(k) for k in range(subject.classes)}
                self._first = next(iter(options))
                self._select = ui.select(
                    options, label="Class", value=self._first, on_change=lambda _: changed()
                ).props("outlined dense options-dense")

    def number(self) -> int | None:
        """Class; None draws it from the latent."""
        if self._select is None or self._select.value == _ANY_CLASS:
            return None
        return int(self._select.value)

    def set(self, recipe: Recipe) -> None:
        """Show seed and class."""
        self.seed.set(recipe.seed)
        if self._select is not None:
            self._select.set_value(self._first if recipe.number is None else recipe.number)


class Truncation:
    """psi, and the layers that it touches."""

    def __init__(self, subject: Subject, changed: Changed) -> None:
        layers = subject.num_layers
        with section("Truncation"):
            self._psi = Slider(
                "ψ (psi)",
                ["Truncation psi"],
                [1],
                low=PSI[0],
                high=PSI[1],
                step=0.05,
                changed=changed,
            )
            # Where all layers are fewer than the default, the default is all of them.
            self._default = min(CUTOFF, layers)
            texts = ["no layer"]
            texts += [f"{n} of {layers}, {layer_word(0, n - 1)}" for n in range(1, layers + 1)]
            self._cutoff = Slider(
                "Layers touched",
                ["Number of layers that truncation touches"],
                [self._default],
                low=0,
                high=layers,
                step=1,
                texts=texts,
                changed=changed,
            )

    def get(self) -> tuple[float, int]:
        """Psi, and cutoff as commands have it."""
        cutoff = int(self._cutoff.numbers()[0])
        return self._psi.numbers()[0], CUTOFF if cutoff == self._default else cutoff

    def set(self, psi: float, cutoff: int) -> None:
        """Show them."""
        self._psi.set_value([psi])
        self._cutoff.set_value([self._default if cutoff == CUTOFF else cutoff])


class Mixing:
    """Another latent in a range of layers."""

    def __init__(self, subject: Subject, changed: Changed) -> None:
        last = subject.num_layers - 1
        self._default = (min(2, last), last)
        with section("Style mixing"):
            self._on = ui.switch("Mix in another latent", on_change=lambda _: changed())
            with ui.element("div").classes("more").bind_visibility_from(self._on, "value"):
                self._seed = Seed("Second seed", changed)
                self._layers = Slider(
                    "From it",
                    ["First layer mixed in", "Last layer mixed in"],
                    self._default,
                    low=0,
                    high=last,
                    step=1,
                    texts=[layer_word(layer, layer) for layer in range(last + 1)],
                    changed=changed,
                )
        self._seed.set(1)

    def get(self) -> Mix | None:
        """What is mixed in."""
        if not self._on.value:
            return None
        first, last = (int(value) for value in self._layers.numbers())
        return Mix(seed=self._seed.get(), first=first, last=last)

    def set(self, mix: Mix | None) -> None:
        """Show it; seed and layers stay, for another time, where there is none."""
        self._on.set_value(mix is not None)
        if mix is not None:
            self._seed.set(mix.seed)
            self._layers.set_value([mix.first, mix.last])


class NoiseInputs:
    """Kind of noise, and its seed."""

    def __init__(self, changed: Changed) -> None:
        names = dict(zip(NOISE, ("Fixed", "Random", "Off"), strict=True))
        with section("Noise"):
            self._kind = ui.radio(names, value=NOISE[0], on_change=lambda _: changed())
            self._kind.props("inline dense").props["aria-label"] = "Noise inputs"
            shown = ui.element("div").classes("more")
            shown.bind_visibility_from(self._kind, "value", backward=lambda kind: kind == "random")
            with shown:
                self._seed = Seed("Noise seed", changed)

    def get(self) -> tuple[Noise, int]:
        """Kind and seed."""
        kind: Noise = self._kind.value or NOISE[0]
        return kind, self._seed.get() if kind == "random" else 0

    def set(self, kind: Noise, seed: int) -> None:
        """Show them."""
        self._kind.set_value(kind)
        self._seed.set(seed)


class Attributes:
    """One slider for each direction in W."""

    def __init__(self, subject: Subject, changed: Changed) -> None:
        self._sliders: dict[str, Slider] = {}
        with section("Attributes"):
            if not subject.attributes:
                ui.label("No directions are known for this network. This finds them:").classes(
                    "remark"
                )
                known = shlex.join(["stylegan-eval", "directions", "--ckpt", str(subject.ckpt)])
                ui.html(unbroken(f"{known} --classifiers C --out FILE"), tag="code")
                ui.label("Then start again with --directions FILE.").classes("remark")
                return
            ui.label("Standard deviations of w along the normal of each.").classes("remark")
            for name in subject.attributes:
                self._sliders[name] = Slider(
                    name.replace("_", " "),
                    [name],
                    [0],
                    low=-FARTHEST,
                    high=FARTHEST,
                    step=0.1,
                    changed=changed,
                )

    def get(self) -> tuple[Move, ...]:
        """Moves other than 0."""
        amounts = {name: slider.numbers()[0] for name, slider in self._sliders.items()}
        return tuple(Move(name=name, amount=amount) for name, amount in amounts.items() if amount)

    def set(self, moves: tuple[Move, ...]) -> None:
        """Show them."""
        amounts = {move.name: move.amount for move in moves}
        for name, slider in self._sliders.items():
            slider.set_value([amounts.get(name, 0)])

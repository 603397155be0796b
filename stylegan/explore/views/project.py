"""The view that starts an image from a photograph, or from the file of a w."""

import shlex
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from stylegan.explore.jobs import CancelledError, Job
from stylegan.explore.page import Page, Shortcut
from stylegan.explore.studio import Studio, address
from stylegan.explore.uploads import LARGEST, file_name_of
from stylegan.explore.views.image import CRISP
from stylegan.explore.widgets import (
    Choice,
    CommandLine,
    DownloadLink,
    Progress,
    Slider,
    error_label,
    flat_button,
    region,
    section,
)
from stylegan.sample.recipe import Recipe
from stylegan.sample.settings import ProjectionSettings
from stylegan_eval.errors import UserError

NAME = "project"
_SPACES = {"w": "W, one w for all layers", "w+": "W+, one for each layer"}
_PICTURES = ("projected.png", "projected-again.png")  # the second where the photograph is the first
_ABOUT = (
    "A square photograph, framed as those that the network was trained on, is projected: the w is"
    " sought whose image is nearest to it. A .npy or .npz file of w is taken as it is. Files stay"
    f" in this server's memory, and are {LARGEST >> 20} MiB at most."
)


class Upload(ui.element, component="upload.js"):
    """A button for a file; `taken` is called with what the server made of it."""

    def __init__(self, label: str, accept: str, taken: Any) -> None:
        super().__init__()
        self.props["label"], self.props["accept"] = label, accept
        self.props["where"], self.props["most"] = "upload", LARGEST
        self.on("taken", lambda event: taken(event.args))


class Project:
    """A file, what is done with it, and the w that comes of it."""

    shortcuts: Sequence[Shortcut] = ()

    def __init__(self, page: Page) -> None:
        self._page = page
        self._studio = page.studio
        if not self._studio.subject.painter.maps:
            ui.label(
                "This network has no mapping network, hence no W to project into or to start from."
            ).classes("remark")
            return
        with ui.element("div").classes("projecting"):
            with region("choose", "File"):
                self._choose()
            with ui.element("div"):
                self._error = error_label()
                with ui.element("div").classes("pair") as self._pair:
                    self._target = self._figure("Photograph")
                    self._found = self._figure("Image of the w")
                self._progress = Progress("Steps done", "Step")
                self._result = Result(page)

    async def show(self, words: str) -> None:
        """There is no state: what was handed in is as it was left."""
        del words
        self._page.record(NAME, "")

    def _choose(self) -> None:
        ui.label(_ABOUT).classes("remark")
        with section("Projection"):
            self._space = Choice("Space", _SPACES, lambda: None)
            steps = ProjectionSettings.steps
            self._steps = Slider(
                "Steps", ["Steps"], [steps], low=50, high=1000, step=50, changed=lambda: None
            )
        Upload("Choose a photograph or w", "image/*,.npy,.npz", self._taken)

    def _figure(self, text: str) -> ui.element:
        size = self._studio.subject.painter.network.resolution
        with ui.element("figure"):
            with ui.element("div").classes("of"):
                image = ui.element("img").classes("picture").props(f"width={size} height={size}")
            image.props["alt"] = text
            if size <= CRISP:
                image.classes("crisp")
            ui.html(text, tag="figcaption")
        return image

    async def _taken(self, answer: dict[str, Any]) -> None:
        if self._progress.busy:  # its progress and its result have these places
            self._error.set_text("a photograph is being projected: wait for it, or cancel it")
            return
        self._error.set_text(str(answer.get("error", "")))
        if "w" in answer:
            self._pair.set_visibility(False)
            self._result.show(str(answer["w"]), str(answer["note"]), "")
        if "target" in answer:
            await self._project(str(answer["target"]))

    async def _project(self, key: str) -> None:
        settings = ProjectionSettings(
            space="w+" if self._space.value == "w+" else "w", steps=int(self._steps.numbers()[0])
        )
        job = Job(total=settings.steps)
        self._result.clear()
        try:
            target = self._studio.uploads.target(key)
            self._target.props["src"] = "target?" + urlencode({"key": key})
            self._found.props.pop("src", None)
            self._pair.set_visibility(True)
            work = self._studio.projector.project(target.pixels, settings, job)
            ws = await self._progress.follow(job, work)
        except CancelledError:
            self._error.set_text("cancelled: choose a file again")
            return
        except UserError as error:
            self._error.set_text(str(error))
            return
        digest = self._studio.held.add(ws)
        self._found.props["src"] = address(Recipe(saved=digest))
        self._result.show(
            digest, target.note, projecting_command(self._studio, settings, digest, target.name)
        )


def projecting_command(
    studio: Studio, settings: ProjectionSettings, digest: str, photograph: str
) -> str:
    """Command that projects a photograph, the name of whose file may be any, and saves the w."""
    usual = ProjectionSettings()
    words = [*studio.source.start("project")]
    words += ["--space", settings.space] if settings.space != usual.space else []
    words += ["--steps", str(settings.steps)] if settings.steps != usual.steps else []
    file = f"./{photograph}" if photograph.startswith("-") else photograph
    out = _PICTURES[photograph.casefold() == _PICTURES[0]]
    return shlex.join([*words, "--save", file_name_of(digest), file, out])


class Result:
    """A w, and what can be done with it."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._digest = ""
        with ui.element("div").classes("more") as self._place:
            self._note = ui.label().classes("remark")
            with ui.element("div").classes("actions"):
                flat_button("Continue in Image", "tune", self._open)
                self._file = DownloadLink("Download w")
            self._command = CommandLine()
        self.clear()

    def show(self, digest: str, note: str, command: str) -> None:
        """Offer a w; `command` makes its file, where there is one."""
        self._digest = digest
        self._note.set_text(note)
        self._file.set("w?" + urlencode({"digest": digest}), file_name_of(digest))
        recipe = Recipe(saved=digest)
        self._command.set(command or self._page.studio.command(recipe))
        self._place.set_visibility(True)

    def clear(self) -> None:
        """Offer nothing."""
        self._place.set_visibility(False)

    async def _open(self) -> None:
        await self._page.open("image", str(Recipe(saved=self._digest)))

"""The views of the page, in the order of their tabs: one file a row, with its style sheet."""

from stylegan.explore.page import View
from stylegan.explore.views.compare import Compare
from stylegan.explore.views.film import FilmView
from stylegan.explore.views.image import ImageView
from stylegan.explore.views.inside import Inside
from stylegan.explore.views.mixing import MixingView
from stylegan.explore.views.project import Project
from stylegan.explore.views.samples import Samples
from stylegan.explore.views.time import OverTime

VIEWS = (
    View(name="samples", title="Samples", parameter="sheet", build=Samples),
    View(name="image", title="Image", parameter="recipe", build=ImageView),
    View(name="mixing", title="Mixing", parameter="mixing", build=MixingView),
    View(name="film", title="Film", parameter="film", build=FilmView),
    View(name="inside", title="Inside", parameter="inside", build=Inside),
    View(name="project", title="Project", parameter="project", build=Project),
    View(
        name="compare",
        title="Compare",
        parameter="compare",
        build=Compare,
        offered=lambda networks: networks.pair is not None,
    ),
    View(
        name="time",
        title="Over time",
        parameter="time",
        build=OverTime,
        offered=lambda networks: networks.run is not None and networks.run.is_there,
    ),
)

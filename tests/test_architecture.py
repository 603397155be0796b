"""Rules that hold for the whole source tree."""

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).parents[1]
PACKAGES = ("stylegan", "stylegan_eval", "benchmarks")
SOURCES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
# Who may import whom, beside itself.
ALLOWED = {
    "stylegan_eval": set(),
    "stylegan": {"stylegan_eval"},
    "benchmarks": {"stylegan", "stylegan_eval"},
}
# The folders of stylegan_eval, each above those before it: it may import from them alone.
LAYERS = (
    *("errors", "plugins", "settings", "engine", "pickles", "images", "generators", "results"),
    *("networks", "classifiers", "metrics", "report", "api", "cli", "__main__"),
)
COMMANDS = (
    "stylegan.convert",
    "stylegan.data",
    "stylegan.train",
    "stylegan.sample.cli",
    "stylegan.explore.command",
    "stylegan_eval.cli",
    "benchmarks.__main__",
    "benchmarks.plan.__main__",
    "benchmarks.gpu_trial.__main__",
)


def tree(path):
    return ast.parse(path.read_text(), str(path))


def imported(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def imported_names(path):
    """Modules, and names of modules that may be modules themselves."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def calls(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def place(path, node):
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def test_dependencies_point_one_way():
    wrong = []
    for path in SOURCES:
        package = path.relative_to(ROOT).parts[0]
        for module in imported(path):
            top = module.split(".")[0]
            if top in PACKAGES and top != package and top not in ALLOWED[package]:
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert wrong == []


def folder_of(path):
    """The folder of a module, counted from the top: ('stylegan', 'training')."""
    return path.relative_to(ROOT).parts[:-1]


def test_every_folder_is_a_package_and_the_top_is_seen_at_a_glance():
    assert [p for p in SOURCES if not (p.parent / "__init__.py").exists()] == []
    top = {
        path.relative_to(ROOT / "stylegan_eval").parts[0]
        for path in SOURCES
        if path.is_relative_to(ROOT / "stylegan_eval")
    }
    assert {name.removesuffix(".py") for name in top} == {*LAYERS, "__init__"}


def test_no_arrow_between_folders_of_the_evaluation_runs_upwards():
    wrong = []
    for path in SOURCES:
        if folder_of(path)[0] != "stylegan_eval":
            continue
        inside = path.relative_to(ROOT / "stylegan_eval").with_suffix("").parts
        for module in imported(path):
            parts = module.split(".")
            if parts[0] == "stylegan_eval" and inside[0] in LAYERS:
                above = LAYERS[LAYERS.index(inside[0]) + 1 :]
                wrong += [f"{path.relative_to(ROOT)} imports {module}"] * (
                    len(parts) > 1 and parts[1] in above
                )
    assert wrong == []


def test_no_circle_of_imports_between_files():
    modules = {}
    for path in SOURCES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    for package in ("stylegan", "stylegan_eval"):  # what is public, imported when it is asked for
        del modules[package]
    arrows = {
        name: {module for module in imported_names(path) if module in modules and module != name}
        for name, path in modules.items()
    }
    # Files that import nothing of the rest are taken away until none is left.
    while done := [name for name, needs in arrows.items() if not needs]:
        arrows = {name: needs.difference(done) for name, needs in arrows.items() if needs}
    assert arrows == {}


def test_every_draw_names_its_generator():
    draws = {"torch.randn", "torch.rand", "torch.randint", "torch.randperm", "torch.normal"}
    wrong = []
    for path in SOURCES:
        for name, node in calls(path):
            keywords = {keyword.arg for keyword in node.keywords}
            in_place = name.endswith((".normal_", ".uniform_")) and "generator" not in keywords
            if in_place or (name in draws and "generator" not in keywords):
                wrong.append(place(path, node))
            legacy = name.startswith(("np.random.", "numpy.random.")) and name.split(".")[-1] in (
                *("rand", "randn", "randint", "seed", "random", "choice", "shuffle", "normal"),
            )
            if legacy or name in ("torch.manual_seed", "torch.cuda.manual_seed_all"):
                wrong.append(place(path, node))
    assert wrong == []


def test_nothing_is_unpickled_or_evaluated():
    wrong = []
    for path in SOURCES:
        for name, node in calls(path):
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if name in ("pickle.load", "pickle.loads", "eval", "exec", "joblib.load"):
                wrong.append(place(path, node))
            if name == "torch.load" and keywords.get("weights_only") != "True":
                wrong.append(place(path, node))
            if name == "np.load" and keywords.get("allow_pickle", "False") != "False":
                wrong.append(place(path, node))
    assert wrong == []


def test_devices_are_passed_not_assumed():
    wrong = [
        place(path, node)
        for path in SOURCES
        for name, node in calls(path)
        if name.endswith((".cuda", "set_default_device"))
    ]
    assert wrong == []


def test_files_stay_readable():
    assert [path.name for path in SOURCES if len(path.read_text().splitlines()) > 400] == []


@pytest.mark.parametrize("module", COMMANDS)
def test_command_lines_import_nothing_heavy(module):
    program = f"import sys, {module}\n"
    program += "assert not {'torch', 'numpy', 'pandas', 'PIL'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["stylegan.training.run", "stylegan_eval.metrics.measure"])
def test_work_begins_without_libraries_of_other_work(module):
    program = f"import sys, {module}\n"
    program += "assert not {'sklearn', 'pandas', 'matplotlib'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_only_the_two_packages_are_installed():
    """`benchmarks` would collide with packages of that name."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    include = settings["options.packages.find"]["include"].split()
    packages = setuptools.find_packages(str(ROOT), include=include)
    assert {name.partition(".")[0] for name in packages} == {"stylegan", "stylegan_eval"}
    folders = {folder_of(path) for path in SOURCES if path.parts[len(ROOT.parts)] != "benchmarks"}
    assert {tuple(name.split(".")) for name in packages} == folders

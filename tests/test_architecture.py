"""Rules that hold for the whole source tree."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("stylegan", "stylegan_eval", "benchmarks")
SOURCES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
# Who may import whom, beside itself.
ALLOWED = {
    "stylegan_eval": set(),
    "stylegan": {"stylegan_eval"},
    "benchmarks": {"stylegan", "stylegan_eval"},
}
COMMANDS = (
    "stylegan.convert",
    "stylegan.data",
    "stylegan.train",
    "stylegan.status_command",
    "stylegan.info_command",
    "stylegan.sample",
    "stylegan.draw.image_command",
    "stylegan.explore.command",
    "stylegan_eval.cli",
    "benchmarks.__main__",
    "benchmarks.plan.__main__",
)


def tree(path):
    return ast.parse(path.read_text(), str(path))


def imported(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


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

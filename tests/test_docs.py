"""What the documents show in Python runs as it stands."""

import re
import sys
from pathlib import Path

from tests import starting

ROOT = Path(__file__).parents[1]


def test_the_example_of_the_metrics_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path))
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    done = starting.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert 6 < float(first) < 10  # |shift|^2 = 8
    name, value, stderr = second.split()
    assert name == "ppl_wend[st-lpips-alex,nocrop]"
    assert float(value) > float(stderr) > 0


def test_the_example_of_the_front_page_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    done = starting.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fd_efficientnet-lite0_full ")


def test_the_page_about_python_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 5
    make = [sys.executable, "-m", "stylegan.data", "avatars", "avatars.zip", "--count", "64"]
    starting.run([*make, "--resolution", "64"], check=True, capture_output=True, cwd=tmp_path)
    program = [sys.executable, "-c", "".join(blocks)]
    done = starting.run(program, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = ("fd_efficientnet-lite0_full", "kd_efficientnet-lite0", "coverage")
    assert all(name in done.stdout for name in names)
    assert (tmp_path / "zero.png").exists()


def test_documents_lead_to_files_that_exist():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    missing = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert missing == []

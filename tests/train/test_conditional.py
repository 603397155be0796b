"""Labels: the networks are trained with them, and sampled and measured as often as they occur."""

import json
import zlib

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image, ImageSequence

from stylegan.api import load
from stylegan.checkpoint import newest_checkpoint, read_checkpoint
from stylegan.convert import main as convert
from stylegan.data import main as data
from stylegan.datasets.archive import write_archive
from stylegan.network_file import read_network, save_network
from stylegan.networks.generator import DrawsLabels, labels_of
from stylegan.opening import load_for_evaluation
from stylegan.sample.cli import main as sample
from stylegan.sample.film import film
from stylegan.sample.painter import class_numbers, open_painter
from stylegan.sample.recipe import GeneratorSource
from stylegan.sample.settings import Film
from stylegan.train import main as train
from stylegan_eval.cli import main as evaluate
from stylegan_eval.engine.sampling import draw, latents

CPU = torch.device("cpu")
NAMES = ("red", "green", "blue")


def run(command, *args):
    return CliRunner().invoke(command, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """300 images of 16x16, in three classes by colour, the first as frequent as the others."""
    path = tmp_path_factory.mktemp("classes") / "colours16.zip"
    classes = [(0, 1, 0, 2)[k % 4] for k in range(300)]
    images = np.zeros((300, 16, 16, 3), np.uint8)
    for image, number in zip(images, classes, strict=True):
        image[:, :, number] = 255
    write_archive(path, zip(images, classes, strict=True), classes=NAMES)
    return path


@pytest.fixture(scope="module")
def conditional(classes, cache, tmp_path_factory):
    """Folder of a finished conditional run."""
    out = tmp_path_factory.mktemp("run") / "cond"
    options = ["--config", "F", "--preset", "tiny-16", "--kimg", "0.5", "--cond", "--warmup", "0"]
    result = run(train, *options, "--data", classes, "--cache", cache, "--out", out)
    assert result.exit_code == 0, result.output
    return out


def test_the_networks_have_and_use_labels(conditional):
    tree = read_checkpoint(newest_checkpoint(conditional))
    assert tree.config.network.label_size == 3
    labels = tree.labels
    assert labels.shape == (300, 3)
    assert labels.mean(0).tolist() == pytest.approx([0.5, 0.25, 0.25])
    assert tree.resume.optimizers["G"]["exp_avg_sq"]["f.label_embedding.weight"].min() > 0
    assert tree.resume.optimizers["D"]["exp_avg_sq"]["dense1.weight"].sum(1).min() > 0


def test_labels_are_drawn_as_often_as_they_occur_and_by_the_latent_alone():
    z = torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
    rows = torch.eye(3)[[0, 0, 1, 2]]
    labels = labels_of(z, rows)
    shares = labels.mean(0)
    assert (shares - torch.tensor([0.5, 0.25, 0.25])).abs().max() < 5 * 0.5 / 4000**0.5
    assert torch.equal(labels_of(z[[7, 3]], rows), labels[[7, 3]])


@pytest.mark.parametrize("z_dim", [1, 8, 512])
def test_a_label_is_drawn_by_the_checksum_of_its_latent(z_dim):
    z = torch.randn(20, z_dim, generator=torch.Generator().manual_seed(1))
    z[0] = -0.0
    rows = torch.arange(1000.0)[:, None]
    checksums = [zlib.crc32(latent.numpy().tobytes()) for latent in z]
    assert labels_of(z, rows).flatten().tolist() == [number % 1000 for number in checksums]


def test_evaluation_draws_labels_and_refuses_paths(conditional, classes):
    loaded = load_for_evaluation(conditional, CPU)
    assert isinstance(loaded.generator, DrawsLabels)
    z = torch.randn(5, loaded.generator.z_dim, generator=torch.Generator().manual_seed(0))
    ws = loaded.generator.mapping(z)
    torch.testing.assert_close(loaded.generator.mapping(z[2:3]), ws[2:3])
    result = run(evaluate, "ppl", "--ckpt", conditional, "--crop", "none", "--num", "20")
    assert result.exit_code == 1
    assert "is conditional" in result.stderr
    everything = ["all", "--ckpt", conditional, "--data", classes, "--features"]
    everything += ["efficientnet-lite0", "-n", "20"]
    done = run(evaluate, *everything, "--subset-size", "5")
    assert done.exit_code == 0, done.output
    assert "ppl is left out" in done.stderr
    assert "ppl_" not in done.stdout
    assert run(evaluate, *everything, "--metrics", "ppl").exit_code == 1


def test_a_network_file_keeps_the_labels(conditional, tmp_path):
    path = tmp_path / "network.safetensors"
    save_network(path, read_checkpoint(newest_checkpoint(conditional)))
    images = [
        draw(load_for_evaluation(p, CPU).generator, 0, range(6), CPU)[2]
        for p in (conditional, path)
    ]
    assert torch.equal(*images)


def test_one_class_can_be_drawn(conditional, tmp_path):
    sheets = []
    for number in (0, 2):
        out = tmp_path / f"{number}.png"
        result = run(sample, "grid", "--ckpt", conditional, "--class", number, out)
        assert result.exit_code == 0, result.output
        sheets.append(np.asarray(Image.open(out)))
    assert not np.array_equal(*sheets)
    assert run(sample, "grid", "--ckpt", conditional, tmp_path / "any.png").exit_code == 0


@pytest.fixture(scope="module")
def network(conditional, tmp_path_factory):
    """The run's network as a file of `stylegan-convert`."""
    path = tmp_path_factory.mktemp("network") / "colours.safetensors"
    assert run(convert, conditional, path).exit_code == 0
    return path


def test_names_of_classes_come_through_every_file(classes, conditional, network):
    told = run(data, "inspect", classes)
    assert [line.split() for line in told.stdout.splitlines() if "class " in line] == [
        ["class", "0", "red", "0.500"],
        ["class", "1", "green", "0.250"],
        ["class", "2", "blue", "0.250"],
    ]
    assert read_checkpoint(newest_checkpoint(conditional)).label_names == NAMES
    assert read_network(network).label_names == NAMES
    for told in (
        run(sample, "info", "--ckpt", conditional),
        run(sample, "info", "--ckpt", network),
        run(convert, network, "--describe"),
    ):
        assert "classes   3, red, green, blue\n" in told.stdout


def test_a_class_is_drawn_by_its_name_as_by_its_number(network, tmp_path):
    for command, out, options in (
        ("grid", "x.png", ["--seeds", "0-2"]),
        ("mixing", "x.png", ["--sources", "0", "--destinations", "1"]),
        ("interpolate", "x.gif", ["--seeds", "0,1", "--frames", 2]),
    ):
        made = []
        for word in ("green", 1, 2):
            path = tmp_path / f"{word}-{out}"
            done = run(sample, command, "--ckpt", network, "--class", word, *options, path)
            assert done.exit_code == 0, done.output
            with Image.open(path) as opened:
                frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(opened)]
            made.append(np.stack(frames))
        assert np.array_equal(made[0], made[1])
        assert not np.array_equal(made[0], made[2])
    done = run(sample, "image", "--ckpt", network, "--class", "green", tmp_path / "x.png")
    assert done.exit_code == 0, done.output
    assert "--class green" in Image.open(tmp_path / "x.png").text["Command"]
    by_name, by_number = (load(network, device="cpu", label=label) for label in ("green", 1))
    np.testing.assert_array_equal(by_name.sample([3]), by_number.sample([3]))


def test_a_grid_has_a_row_for_each_class(network, tmp_path):
    def sheet(*options):
        done = run(sample, "grid", "--ckpt", network, *options, tmp_path / "x.png")
        assert done.exit_code == 0, done.output
        return np.asarray(Image.open(tmp_path / "x.png"), dtype=float)

    def check(made, wanted):  # batches of other sizes round otherwise on some processors
        np.testing.assert_allclose(made, wanted, atol=1)

    rows = [sheet("--class", k, "--seeds", "3-5", "--columns", 3) for k in range(3)]
    check(sheet("--classes", "blue,0", "--seeds", "3-5"), np.concatenate([rows[2], rows[0]]))
    check(sheet("--classes", "all", "--seeds", "3-5"), np.concatenate(rows))


def test_a_film_goes_from_class_to_class(network):
    painter = open_painter(GeneratorSource(ckpt=network, device="cpu"))
    numbers = class_numbers(["blue", "red", 1], painter, network)
    frames = list(film(painter, [[7] * 3], Film(frames=4, loop=True), numbers))
    assert len(frames) == 12
    alone = [load(network, device="cpu", label=k) for k in numbers]
    for key, G in zip(frames[::4], alone, strict=True):
        np.testing.assert_array_equal(key, G.sample([7])[0])
    z = latents(0, [7], painter.network.z_dim).numpy()
    middle = (alone[0].painter.ws(z) + alone[1].painter.ws(z)) / 2
    between = next(painter.images(middle, painter.noise("fixed")))
    assert np.abs(frames[2].astype(int) - between).max() <= 1


def test_a_film_from_class_to_class_takes_one_seed_or_as_many(network, tmp_path):
    film = ["interpolate", "--ckpt", network, "--frames", 1, "--classes"]
    for options in (["all"], ["red,blue", "--seeds", 3, "--seeds", "3,4"]):
        done = run(sample, *film, *options, tmp_path / "x.gif")
        assert done.exit_code == 0, done.output
    for message, *options in (
        ("expected one, or one for each of 3 classes", "all", "--seeds", "3,4"),
        ("two classes or more", "red"),
        ("leave one out", "red,blue", "--class", 0),
    ):
        done = run(sample, *film, *options, tmp_path / "y.gif")
        assert (done.exit_code, message in done.stderr) == (2, True), done.output


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("Red", "has no class 'Red': do you mean red?"),
        ("gren", "has no class 'gren': do you mean green?"),
        ("yolk", "has no class 'yolk': it has red, green, blue"),
        (3, "knows classes 0 to 2, not 3"),
    ],
)
def test_an_unknown_class_is_one_line_with_those_there_are(network, tmp_path, word, message):
    for option in ("--class", "--classes"):
        done = run(sample, "grid", "--ckpt", network, option, word, tmp_path / "x.png")
        assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
        assert done.stderr.rstrip().endswith(message)


def test_a_number_that_is_the_name_of_another_class_is_told(conditional, tmp_path):
    tree = torch.load(newest_checkpoint(conditional), weights_only=True)
    torch.save(tree | {"label_names": ["0", "10", "2"]}, path := tmp_path / "checkpoint-000001.pt")
    torch.save(tree | {"label_names": ["0", "2", "10"]}, other := tmp_path / "other.pt")
    for file, number, told in [
        (path, 2, ""),
        (path, 0, ""),
        (other, 1, ""),
        (other, 2, "class 2 is number 2, named '10'; the class named 2 has the number 1"),
    ]:
        done = run(sample, "grid", "--ckpt", file, "--class", number, tmp_path / "x.png")
        assert done.exit_code == 0, done.stderr
        assert done.stderr == (f"note: {told}\n" if told else "")


def test_names_with_commas_or_in_another_unicode_form_are_found(conditional, tmp_path):
    tree = torch.load(newest_checkpoint(conditional), weights_only=True)
    names = ["salt, pepper", "caf\xe9", "line\nbreak"]
    torch.save(tree | {"label_names": names}, path := tmp_path / "checkpoint-000001.pt")

    def sheet(words):
        args = ["--seeds", "3", "--classes", words, tmp_path / "x.png"]
        done = run(sample, "grid", "--ckpt", path, *args)
        assert done.exit_code == 0, done.output
        return np.asarray(Image.open(tmp_path / "x.png"))

    by_number = sheet("1,0,2")
    np.testing.assert_array_equal(sheet('cafe\u0301, "salt, pepper","line\nbreak"'), by_number)
    told = run(sample, "info", "--ckpt", path).stdout
    assert 'classes   3, "salt, pepper", caf\xe9, line\\nbreak\n' in told
    for words, status, message in (
        ("salt, pepper", 1, "has no class 'salt': it has \"salt, pepper\", café, line\\nbreak"),
        ('"salt', 2, "expected quotes around a whole word"),
    ):
        done = run(sample, "grid", "--ckpt", path, "--classes", words, tmp_path / "y.png")
        assert (done.exit_code, message in done.stderr) == (status, True), done.output
    torch.save(tree | {"label_names": ["cafe\u0301", "caf\xe9", "x"]}, path)
    for word, message in (("caf\xe9 ", "classes 0 and 1 look the same"), ("caf\xe9", "")):
        done = run(sample, "grid", "--ckpt", path, "--class", word, tmp_path / "y.png")
        assert (done.exit_code, message in done.stderr) == (bool(message), True), done.output


def test_files_of_versions_without_names_go_by_number(conditional, tmp_path):
    tree = torch.load(newest_checkpoint(conditional), weights_only=True)
    del tree["label_names"]
    torch.save(tree, path := tmp_path / "checkpoint-000001.pt")
    out = tmp_path / "x.png"
    assert run(sample, "grid", "--ckpt", path, "--class", 2, out).exit_code == 0
    assert "classes   3, without names" in run(sample, "info", "--ckpt", path).stdout
    done = run(sample, "grid", "--ckpt", path, "--class", "red", out)
    assert "has no names of its classes: give a number from 0 to 2, not 'red'" in done.stderr
    for names in (["a"], ["a", "b", "b"], "abc", ["a", "b", 3]):
        torch.save(tree | {"label_names": names}, path)
        done = run(sample, "info", "--ckpt", path)
        assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1), done.output
        assert "labels" in done.stderr


@pytest.mark.parametrize("row", ["A", "C"])
def test_rows_without_a_constant_input_take_labels_too(row, classes, cache, tmp_path):
    options = ["--config", row, "--preset", "tiny-16", "--kimg", "0.1", "--cond", "--warmup", "0"]
    result = run(train, *options, "--data", classes, "--cache", cache, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output


def test_bad_input(conditional, finished, cache, tmp_path):
    def refused(message, command, *args):
        result = run(command, *args)
        assert result.exit_code == 1, result.output
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1

    out = tmp_path / "x.png"
    refused("classes 0 to 2, not 3", sample, "grid", "--ckpt", conditional, "--class", 3, out)
    refused("is unconditional", sample, "grid", "--ckpt", finished, "--class", 0, out)
    images, scores = tmp_path / "x.npy", tmp_path / "scores.npy"
    np.save(images, np.zeros((4, 3, 16, 16), np.float32))
    refused("is conditional", sample, "scores", "--ckpt", conditional, "--images", images, scores)
    plain = tmp_path / "plain.zip"
    write_archive(plain, ((np.full((16, 16, 3), k, np.uint8), None) for k in range(20)))
    options = ["--config", "F", "--preset", "tiny-16", "--cache", cache, "--out", tmp_path / "r"]
    refused("has no labels", train, *options, "--data", plain, "--cond")
    lacking = tmp_path / "lacking.zip"
    images = [(np.full((16, 16, 3), k, np.uint8), k % 2) for k in range(20)]
    write_archive(lacking, images, classes=["ape", "cat", "dog"])
    done = run(
        train, *options, "--data", lacking, "--cond", "--kimg", "0.1", "--warmup", "0", "--dry-run"
    )
    assert (done.exit_code, done.stderr.count("has no images of the classes dog")) == (0, 1)
    sparse = tmp_path / "sparse.zip"
    write_archive(sparse, ((np.full((16, 16, 3), k, np.uint8), k * 10**8) for k in range(20)))
    refused("number the classes from 0", train, *options, "--data", sparse, "--cond")
    tree = json.loads((conditional / "run.json").read_text())
    assert tree["config"]["network"]["label_size"] == 3
    others = tmp_path / "others.zip"
    write_archive(others, ((np.full((16, 16, 3), k, np.uint8), k % 5) for k in range(20)))
    init = ["--init", conditional, "--data", others, "--out", tmp_path / "s", "--cache", cache]
    refused(
        "has labels of 5 classes or numbers, the networks take 3 labels (red, green, blue): use",
        *(train, *init),
    )
    write_archive(
        named := tmp_path / "named.zip",
        ((np.full((16, 16, 3), k, np.uint8), k % 2) for k in range(20)),
        classes=["salt, pepper", "cat"],
    )
    refused(
        'has 2 labels ("salt, pepper", cat), the networks take 3', train, *init, "--data", named
    )


@pytest.mark.parametrize("row", ["F", "A"])
def test_the_advice_on_labels_of_a_run_can_be_followed(row, classes, cache, tmp_path):
    out, again = tmp_path / "run", ["--config", row, "--preset", "tiny-16", "--kimg", "0.1"]
    more = ["--warmup", "0", "--cache", cache, "--out"]
    begun = run(train, *again, "--data", classes, "--cond", *more, out)
    assert begun.exit_code == 0, begun.output
    init = ["--init", out, *again, "--data", classes, "--dry-run"]
    for words in (["--resume", *again, *more, out], [*init, *more, tmp_path / "new"]):
        refused = run(train, *words)
        assert refused.exit_code == 1
        assert "add --cond" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
        done = run(train, *words, "--cond")
        assert done.exit_code == 0, done.output

"""What a report says: whose results are whose, what differs, what may be compared."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stylegan_eval.engine.statistics import FeatureStats
from stylegan_eval.engine.stats_file import write_stats
from stylegan_eval.errors import UserError
from stylegan_eval.report.attributes import attributes_of
from stylegan_eval.report.curves import best_of
from stylegan_eval.report.paper import beside, quantity_of
from stylegan_eval.report.provenance import batches_of, compare_settings, files_of
from stylegan_eval.report.subjects import Named, find, subjects_of
from stylegan_eval.report.tables import letters, lines_of, order, protocol, unlike, value
from stylegan_eval.results.results import append_csv
from stylegan_eval.results.run_folder import read_run
from tests.eval.report_fakes import DIGESTS, measured, row, subjects, write_run


def line(tmp_path, *rows):
    [found] = lines_of(subjects(tmp_path, *rows))
    return found


def test_results_of_one_file_are_of_one_generator_whatever_it_was_called(tmp_path):
    rows = [row("A"), row("A", "kid50k", generator="elsewhere/A.pt"), row("B")]
    a, b = subjects(tmp_path, *rows)
    assert [each.metric for each in a.results] == ["fid50k", "kid50k"]
    assert (a.digest, b.digest) == (DIGESTS["A"], DIGESTS["B"])


def test_the_newest_of_equal_measurements_counts(tmp_path):
    rows = [
        row("A", value=3.0, date="2026-02-01T00:00:00+00:00"),
        row("A", value=1.0, date="2026-01-01T00:00:00+00:00"),
        row("A", value=5.0, num=7, date="2025-01-01T00:00:00+00:00"),  # another protocol
    ]
    [one] = subjects(tmp_path, *rows)
    assert [each.value for each in one.results] == [3.0, 5.0]
    assert one.older == 1


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("runs/A", "runs/B"), ["A", "B"]),
        (("x/run", "y/run"), ["x/run", "y/run"]),
        (("a/checkpoint-000100.pt", "b.pt"), ["a/checkpoint-000100.pt", "b.pt"]),
        (("run", "run"), ["run 111111", "run 222222"]),
    ],
)
def test_a_generator_is_called_by_as_much_of_its_name_as_tells_it_apart(tmp_path, names, labels):
    rows = [row(key, generator=name) for key, name in zip("AB", names, strict=True)]
    assert [each.label for each in subjects(tmp_path, *rows)] == labels


def test_real_images_in_the_place_of_a_generator_have_a_column(tmp_path):
    none = {"generator": "", "generator_digest": "", "description": ""}
    [real] = subjects(tmp_path, row(metric="fid50k_floor", **none))
    assert (real.label, real.paths) == ("real images", ())


def test_a_training_and_the_results_of_its_checkpoint_are_one(tmp_path):
    run = write_run(tmp_path / "runs" / "F-0", digest=DIGESTS["F"])
    rows = measured(tmp_path / "results.csv", row("F", "kid50k"))
    [one] = subjects_of(rows, [run])
    assert one.run is run
    assert one.label == "F-0"
    assert sorted(each.metric for each in one.results) == ["fd_x", "kid50k"]
    assert one.description == "config F, 32x32, 50.0 kimg"


def test_a_training_without_measurements_is_known_by_its_place(tmp_path):
    run = write_run(tmp_path / "F-0")
    (run.folder / "metrics.jsonl").unlink()
    run = read_run(run.folder)
    rows = measured(tmp_path / "results.csv", row("F", generator=str(run.folder)))
    [one] = subjects_of(rows, [run])
    assert (one.run, one.digest) == (run, DIGESTS["F"])
    [alone] = subjects_of([], [run])
    assert (alone.run, alone.label, alone.results) == (run, "F-0", ())


def test_a_named_checkpoint_joins_the_results_of_its_digest(tmp_path):
    rows = measured(tmp_path / "results.csv", row("A"))
    here = Named(path=tmp_path / "moved.pt", digest=DIGESTS["A"], description="x")
    new = Named(path=tmp_path / "new.pt", digest=DIGESTS["B"], description="config B, 8x8")
    a, b = subjects_of(rows, [], [here, new])
    assert a.paths[0] == here.path
    assert (b.label, b.config, b.results) == ("new.pt", "B", ())


def test_what_was_measured_in_unlike_ways_stands_in_lines_of_its_own(tmp_path):
    rows = [row("A"), row("B"), row("C", num=5), row("A", "kid50k"), row("D", precision="bf16")]
    found = lines_of(subjects(tmp_path, *rows))
    assert [(each.metric, list(each.cells)) for each in found] == [
        ("fid50k", ["A", "B"]), ("fid50k", ["C"]), ("fid50k", ["D"]), ("kid50k", ["A"]),
    ]  # fmt: skip
    assert unlike(found) == {("num", "precision"): ["fid50k"]}
    assert sum(len(each.pairs) for each in found) == 1


def test_differences_are_tested_against_the_noise_of_both(tmp_path):
    """Three generators, two metrics: six pairs, one family for Holm's rule."""
    values = {"A": 10.0, "B": 13.9, "C": 30.0}
    rows = [row(name, metric, x) for metric in ("fid50k", "kid50k") for name, x in values.items()]
    fid, kid = lines_of(subjects(tmp_path, *rows))
    near = fid.pairs[0]
    p = 2 * stats.norm.sf(3.9 / math.sqrt(2))
    assert (near.a, near.b) == ("A", "B")
    assert near.p == pytest.approx(p)
    assert near.corrected == pytest.approx(2 * p)  # the two smallest differences come last
    assert near.real
    assert order(fid) == order(kid) == "A < B < C"


@pytest.mark.parametrize(
    ("freedoms", "expected"),
    [(("9", "9"), 18), (("9", "19"), 25 / (9 / 9 + 4 / 19)), (("9", None), 25 / (9 / 9))],
)
def test_errors_from_few_groups_are_tested_by_students_t(tmp_path, freedoms, expected):
    errors = (3**0.5, 2**0.5 if freedoms != ("9", "9") else 3**0.5)
    rows = [
        row(name, value=x, stderr=error, details={"stderr-freedom": free} if free else {})
        for name, x, error, free in zip("AB", (10.0, 15.0), errors, freedoms, strict=True)
    ]
    (pair,) = line(tmp_path, *rows).pairs
    p = 2 * stats.t.sf(5 / math.hypot(*errors), expected)
    assert pair.p == pytest.approx(p)


def test_the_order_says_what_is_beyond_noise(tmp_path):
    rows = [row("A", value=10.0), row("B", value=11.0), row("C", value=99.0)]
    found = line(tmp_path, *rows)
    assert order(found) == "A ≈ B < C"
    assert found.best == ["A", "B"]


def test_more_is_better_where_it_is(tmp_path):
    rows = [row(name, "pr50k3_recall", x, 0.001) for name, x in (("A", 0.2), ("B", 0.7))]
    found = line(tmp_path, *rows)
    assert order(found) == "B > A"
    assert found.best == ["B"]


@pytest.mark.parametrize("odd", [math.inf, -math.inf, math.nan, 1e300])
def test_what_is_no_measurement_is_none(tmp_path, odd):
    """A broken run or file leaves such numbers."""
    found = line(tmp_path, row("A", value=odd), row("B", stderr=odd), row("C", stderr=-1.0))
    assert value(found.cells["A"]) == "none"
    assert order(found) == "B ? C"


def test_without_a_standard_error_nothing_is_claimed(tmp_path):
    found = line(tmp_path, row("A", value=1.0, stderr=None), row("B", value=99.0))
    assert order(found) == "A ? B"
    assert found.best == []


def test_a_value_that_is_none_takes_no_part(tmp_path):
    found = line(tmp_path, row("A", value=math.nan, stderr=None), row("B", value=2.0))
    assert found.ranked == ["B"]
    assert (order(found), found.pairs) == ("", ())
    assert value(found.cells["A"]) == "none"


@given(st.integers(1, 60))
def test_every_protocol_has_its_letter(tmp_path_factory, count):
    folder = tmp_path_factory.mktemp("letters")
    rows = [row("A", num=at) for at in range(1, count + 1)]
    found = subjects(folder, *rows)
    known = list(letters(found, lines_of(found)).values())
    assert len(set(known)) == count
    assert known[:26] == list("abcdefghijklmnopqrstuvwxyz")[:count]
    assert known[26:28] == ["aa", "ab"][: max(count - 26, 0)]


def test_a_protocol_is_said_in_words(tmp_path):
    [one] = subjects(tmp_path, row("A"))
    assert protocol(one.results[0]) == (
        "2,000 generated images, resize tf1, mirror no, seen by efficientnet-lite0 cdcdcdcd in"
        " fp32, 2,000 real images efefefef"
    )


@pytest.mark.parametrize(
    ("metric", "quantity"),
    [
        ("fid50k", ("fid", "")),
        ("fd_efficientnet-lite0", ("fid", "")),
        ("ppl_zend[st-lpips-alex,nocrop]", ("ppl_end", "z")),
        ("ls_w", ("separability", "w")),
        ("fid50k_inf", None),
        ("fid50k_floor", None),
        ("fid50k[mixing:2]", None),
        ("fid50k[psi:0.7]", None),
        ("ppl_wfull[exact]", None),
        ("ls_w/eyeglasses", None),
        ("kid50k", None),
        ("fidelity", None),
    ],
)
def test_the_paper_measured_three_things(metric, quantity):
    assert quantity_of(metric) == quantity


def test_published_numbers_are_equals_of_their_own_metric_alone(tmp_path):
    rows = [row("F"), row("F", "ppl_wend"), row("F", "ppl_zend[nocrop]"), row("E", "fd_x")]
    found = [
        (each.subject, each.result.metric, each.published.printed, each.same)
        for each in beside(subjects(tmp_path, *rows))
    ]
    assert found == [
        ("F", "fid50k", "5.17", True),  # CelebA-HQ
        ("F", "fid50k", "4.40", True),
        ("F", "ppl_wend", "195.9", True),
        ("F", "ppl_zend[nocrop]", "666.1057", False),
        ("E", "fd_x", "4.42", False),
    ]
    assert "not comparable: fd_x is another unit" in beside(subjects(tmp_path, *rows))[-1].remark
    edited = [row("E", "fd_y", num="²"), row("E", "fd_x", num="9" * 5000), row("E", "fd_z", num=3)]
    assert [each.result.metric for each in beside(subjects(tmp_path / "edited", *edited))] == [
        "fd_z"
    ]


def test_fewer_pairs_and_images_than_the_papers_are_told(tmp_path):
    few, all_ = row("F", "ppl_wfull", num=100), row("F", "ppl_wfull", num=100_000)
    images = row("F", "ls_w", num=8, detector="classifiers-official")
    first, second, third = (
        beside(subjects(tmp_path / str(k), one))[0].remark
        for k, one in enumerate([few, all_, images])
    )
    assert all(each.startswith("same protocol, other images") for each in (first, second, third))
    assert first.endswith(", 100 pairs in place of 100000")
    assert "in place of" not in second
    assert third.endswith(", 8 images in place of 200000")


def test_separability_is_the_papers_only_by_its_classifiers(tmp_path):
    own, official = (row("F", "ls_w", detector=f"classifiers-{k}") for k in ("small", "official"))
    [one] = beside(subjects(tmp_path / "own", own))
    [other] = beside(subjects(tmp_path / "official", official))
    assert (one.same, other.same) == (False, True)
    assert one.published.printed == other.published.printed == "3.79"


def test_a_generator_of_no_configuration_has_no_published_numbers(tmp_path):
    assert beside(subjects(tmp_path, row("F", description="linear"))) == []


def test_attributes_are_ordered_by_what_is_left_in_w(tmp_path):
    given = {"z": {"hat": 0.9, "smile": 0.8}, "w": {"hat": 0.1, "smile": 0.5}}
    rows = [
        row("A", f"ls_{space}/{name}", entropy, None, details={"accuracy": "0.9000"})
        for space, values in given.items()
        for name, entropy in values.items()
    ]
    bald = {"error": "all-9-images-lack-it", "share": "0.0000"}
    rows.append(row("A", "ls_w/bald", math.nan, None, details=bald))
    [group] = attributes_of(subjects(tmp_path, row("A", "ls_w"), *rows))
    assert group.names == ("smile", "hat", "bald")
    assert group.spaces == ["z", "w"]
    assert group.entropy("A", "z", "hat") == 0.9
    assert math.isnan(group.entropy("A", "z", "bald"))
    assert group.troubles == ["bald in w of A: all 9 images lack it"]


def test_attributes_of_unlike_classifiers_are_apart(tmp_path):
    rows = [row("A", "ls_w/hat"), row("B", "ls_w/hat", weights_sha256="99" * 32)]
    assert [group.labels for group in attributes_of(subjects(tmp_path, *rows))] == [["A"], ["B"]]


def test_the_best_of_a_training_is_said(tmp_path):
    run = write_run(tmp_path / "F-0", kimg=(25, 50, 100))
    assert best_of(subjects_of([], [run])) == [
        "F-0: best fd_x 9.0 ± 2.0 at 100 kimg, measured 3 times up to 100 kimg."
    ]


def test_a_value_of_another_protocol_is_not_the_best(tmp_path):
    run = write_run(tmp_path / "F-0", kimg=(25, 50))
    fewer = [{**run.metrics[0], "num": 7, "value": 1.0}]
    assert best_of(subjects_of([], [replace(run, metrics=run.metrics + fewer)])) == [
        "F-0: best fd_x 18.0 ± 2.0 at 50 kimg, measured 2 times up to 50 kimg.",
        "F-0: best fd_x 1.0 ± 2.0 at 25 kimg, measured once up to 25 kimg.",
    ]


def test_settings_that_differ_are_told_from_those_that_do_not(tmp_path):
    a = write_run(tmp_path / "a", resolution=32).settings
    b = write_run(tmp_path / "b", resolution=64, name="E").settings
    settings = {"a": a, "b": b, "c": {"resolution": "32", "mirror": "true"}}
    different, equal = compare_settings(settings)
    assert different == {"resolution": {"a": "32", "b": "64", "c": "32"}}
    assert equal["mirror"] == {"c": "yes"}
    assert equal["loss.r1_gamma"] == {"a": "10.0", "b": "10.0"}


def test_provenance_names_each_network_once(tmp_path):
    found = subjects(tmp_path, row("A"), row("A", "kid50k"), row("B", seed=4))
    assert files_of(found) == [("data.zip", "ef" * 32), ("efficientnet-lite0", "cd" * 32)]
    [batch] = batches_of(found[0])
    assert [(each.metric, each["seed"]) for each in batch] == [("fid50k", "3"), ("kid50k", "3")]


def test_tables_trainings_and_lengths_are_found_in_folders(tmp_path):
    append_csv(tmp_path / "deep" / "results.csv", [row("A")])
    (tmp_path / "other.csv").write_text("x,y\n1,2\n")
    stats = FeatureStats.of(np.eye(4), detector="d")
    write_stats(tmp_path / "deep" / "reals.npz", stats, {"content": "c"})
    np.savez(tmp_path / "deep" / "other.npz", about=np.zeros(3))
    (tmp_path / "deep" / "damaged.npz").write_bytes(b"PK\x03\x04")
    write_run(tmp_path / "deep" / "F-0")
    found = find([tmp_path])
    assert [each.metric for each in found.measured] == ["fid50k"]
    assert [run.folder.name for run in found.runs] == ["F-0"]
    twice = find([tmp_path, tmp_path / "deep" / "results.csv"])
    assert len(twice.measured) == 1
    assert len(find([tmp_path / "deep" / "results.csv"]).distances) == 0


def test_what_cannot_be_reported_is_told_in_one_line(tmp_path):
    broken = tmp_path / "broken.csv"
    append_csv(broken, [row("A")])
    broken.write_text(broken.read_text().replace("10.0", "ten"))
    (tmp_path / "foreign.csv").write_text("x,y\n1,2\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("[1]")
    for name, message in [
        ("none.csv", "no such table or folder"),
        ("broken.csv", "result 1 cannot be read"),
        ("foreign.csv", "columns are x,y"),
        ("empty", "nothing to report in it: expected tables of stylegan-eval --csv"),
        ("run", "cannot be read as the settings of a run"),
    ]:
        with pytest.raises(UserError, match=message) as caught:
            find([tmp_path / name])
        assert "\n" not in str(caught.value)

"""Parts of documents that commands write."""

import pytest

from benchmarks.demo.network import between, write_between
from stylegan_eval.errors import UserError

BEGIN, END = "<!-- sums: written by a command -->", "<!-- end of sums -->"


def test_what_is_between_the_marks_is_replaced_and_nothing_else():
    once = between(f"a\n{BEGIN}\nold\n{END}\nb\n", "sums", ["1", "2"])
    assert once == f"a\n{BEGIN}\n\n1\n2\n\n{END}\nb\n"
    assert between(once, "sums", ["1", "2"]) == once


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}{BEGIN}"])
def test_a_file_without_marks_stays_as_it_is(text, tmp_path):
    path = tmp_path / "page.md"
    path.write_text(text)
    with pytest.raises(UserError, match="there is no place for sums"):
        write_between(path, "sums", ["1"])
    assert path.read_text() == text

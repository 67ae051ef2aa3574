"""An insurer's file that a spreadsheet has spoilt is refused with what to do about it."""

from __future__ import annotations

import pytest

from device.contract.errors import UbiError
from features.contract.files import read_table

HEAD = b"policy_id,driver_id\n"
WRONG = [
    (b"", "cannot be read: empty CSV"),
    (HEAD.replace(b",", b";"), "its columns are separated by ';'; write them with ','"),
    (HEAD.replace(b",", b"\t"), "its columns are separated by tabs; write them with ','"),
    (b"a,b,a\n1,2,3\n", "two of its columns are called 'a'"),
    (b"a,Rate,b,rate\n1,2,3,4\n", "its columns 'Rate' and 'rate' differ only in case; take one out, or rename it"),
    (HEAD + "p1,J\xfcrgen\n".encode("latin-1"), "is not UTF-8 text; save it as 'CSV UTF-8'"),
    (HEAD.decode().encode("utf-16"), "is not UTF-8 text"),
    (HEAD + b"p1,d1\np2,1,234\n", "row 2 has more values than there are columns; put values with ',' in quotes"),
    (HEAD + b"p1,d1\np2,\np3", "row 3 stops before its last value and has no end of line: was it cut off?"),
    (b"x" * 200_000, "cannot be read: field larger than field limit"),
]


def read(path):
    return read_table(path, lambda file, reason: UbiError(f"{file}: {reason}"))


@pytest.mark.parametrize(("content", "told"), WRONG)
def test_a_spoilt_csv_says_what_to_do(tmp_path, content, told):
    file = tmp_path / "policies.csv"
    file.write_bytes(content)
    with pytest.raises(UbiError) as error:
        read(file)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("end", [b"p2,", b"p2,\n", b"p2\n", b"p2\r\n", b"p2,d2"])
def test_a_last_row_that_is_whole_is_read_with_or_without_an_end_of_line(tmp_path, end):
    file = tmp_path / "policies.csv"
    file.write_bytes(HEAD + b"p1,d1\n" + end)
    assert read(file).rows() == [("p1", "d1"), ("p2", "d2" if end.endswith(b"d2") else None)]


def test_a_csv_of_a_spreadsheet_is_read(tmp_path):
    file = tmp_path / "policies.csv"
    file.write_bytes(b"\xef\xbb\xbf" + b'policy_id,driver_id\r\np1,"Smith, Jo"\r\np2,\r\n,\r\n\r\n')
    assert read(file).rows() == [("p1", "Smith, Jo"), ("p2", None)]

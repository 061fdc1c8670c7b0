"""Data of one's own as CSV."""

from __future__ import annotations

import codecs
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workloads.datasets.user_data.conftest import Files
from workloads.datasets.user_data import tables

KEYS = 'file = "iris.csv"\nlabel = "species"'
SPLIT = f"{KEYS}\ntest = 0.25"
GOOD = "width,species,length\n1.5,setosa,2\n0.1,virginica,-3e2\n2,setosa,4\n3,virginica,5\n"


def write(files: Files, text: str | bytes, name: str = "iris.csv") -> Path:
    path = files.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_features_are_the_other_columns_and_classes_their_texts(files: Files) -> None:
    write(files, GOOD)
    workload = files.load(SPLIT)
    assert workload.dataset.classes == ("setosa", "virginica") and workload.input_shape == (2,)
    got = files.arrays(SPLIT)
    both = np.concatenate([got["train_inputs"], got["test_inputs"]])
    labels = np.concatenate([got["train_labels"], got["test_labels"]])
    rows = {tuple(map(float, row)): int(label) for row, label in zip(both, labels, strict=True)}
    tenth = float(np.float32(0.1))
    assert rows == {(1.5, 2.0): 0, (tenth, -300.0): 1, (2.0, 4.0): 0, (3.0, 5.0): 1}
    assert both.dtype == np.float32


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "9", "10", "-1"], ("-1", "9", "10")),
        (["b", "10", "9", "b"], ("10", "9", "b")),
        ([" b", "b ", "a", "a"], ("a", "b")),
        (["1.0", "0.0", "1.0", "0.0"], ("0.0", "1.0")),
        (["NA", "nan", "NA", "nan"], ("NA", "nan")),
        (["True", "False", "True", "False"], ("False", "True")),
        (['"a, b"', "狗", "狗", '"a, b"'], ("a, b", "狗")),
    ],
)
def test_classes_are_in_the_order_of_their_names(
    files: Files, labels: list[str], classes: tuple[str, ...]
) -> None:
    rows = "".join(f"{i},{label}\n" for i, label in enumerate(labels * 4))
    write(files, f"x,species\n{rows}")
    assert files.load(SPLIT, units=len(classes)).dataset.classes == classes


def test_train_and_test_may_be_files(files: Files) -> None:
    write(files, "x,species\n1,b\n2,a\n", "mine/train.csv")
    write(files, codecs.BOM_UTF8 + b"x,species\r\n3,a\r\n", "mine/test.csv")
    got = files.arrays('file = "mine"\nlabel = "species"')
    assert got["train_labels"].tolist() == [1, 0] and got["test_labels"].tolist() == [0]
    assert got["test_inputs"].tolist() == [[3.0]]
    write(files, "x,species\n3,c\n", "mine/test.csv")
    text = files.refusal('file = "mine"\nlabel = "species"')
    assert "mine: test.csv: species is 'c', which train.csv has not" in text
    write(files, "y,species\n3,a\n", "mine/test.csv")
    assert "they differ in x, y" in files.refusal('file = "mine"\nlabel = "species"')
    (files.folder / "mine" / "test.csv").unlink()
    assert "mine: lacks test.csv" in files.refusal('file = "mine"\nlabel = "species"')


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.lists(st.floats(width=64, min_value=-1e30, max_value=1e30), min_size=4, max_size=9))
def test_a_number_is_the_float32_nearest_to_what_python_reads(
    files: Files, numbers: list[float]
) -> None:
    rows = "".join(f"{value!r},{i % 2}\n" for i, value in enumerate(numbers))
    path = write(files, f"x,species\n{rows}")
    got = tables.inputs(path, tables.Options("iris.csv", label="species"), "all", None)
    np.testing.assert_array_equal(got[:, 0], np.array(numbers).astype(np.float32))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            GOOD.replace("species", "Species"),
            'no column "species" (did you mean "Species"?); it has',
        ),
        (GOOD.replace(",", ";"), "are its fields parted by commas?"),
        ("species\na\nb\n", "iris.csv: has the column species alone, and no features"),
        ("", "iris.csv: is empty"),
        ("\n\n", "iris.csv: is empty"),
        ("x,species\n", "iris.csv: has names of columns and no lines below them"),
        (GOOD.replace("-3e2", "tall"), "iris.csv: row 2: length is 'tall', no number"),
        (GOOD.replace("-3e2", ""), "iris.csv: row 2: length is empty"),
        (GOOD.replace("-3e2", "NA"), "iris.csv: row 2: length is 'NA', no number"),
        (GOOD.replace("-3e2", "?"), "iris.csv: row 2: length is '?', no number"),
        (GOOD.replace("-3e2", "1,5"), "iris.csv: "),
        (
            GOOD.replace("-3e2", "nan"),
            "iris.csv: row 2: length is nan: every number has to be finite",
        ),
        (
            GOOD.replace("-3e2", "inf"),
            "iris.csv: row 2: length is inf: every number has to be finite",
        ),
        (GOOD.replace("-3e2", "1_0"), "iris.csv: row 2: length is '1_0', no number"),
        (GOOD.replace("-3e2", "1e300"), "iris.csv: row 2: length is 1e+300: every number"),
        (GOOD.replace("setosa", ""), "iris.csv: row 1: species is empty: give every row its class"),
        (GOOD.replace("virginica", "setosa"), "iris.csv: one class only (setosa)"),
        (GOOD.replace("setosa", "5.1"), "species holds numbers like 5.1: a label names a class"),
        (",x,species\n0,1,a\n1,2,b\n", "iris.csv: column 1 has no name: remove it (an index"),
        ("x,species\n1,a,7\n2,b,8\n", "iris.csv: some row has more fields than there are names"),
        ("x,species\n1,a\n2,b,8\n", "iris.csv: no CSV that pandas reads: Error tokenizing data"),
        ("x,species\n1\n2,b\n", "iris.csv: row 1: species is empty"),
        ('x,species\n1,"a\n2,b\n', "iris.csv: "),
        (GOOD.encode("utf-16"), "iris.csv: "),
        (b"x,species\n1,\xfcber\n2,b\n", "iris.csv: is not in UTF-8: save it as UTF-8"),
        (b"x,\xfcber\n1,a\n2,b\n", "iris.csv: is not in UTF-8: save it as UTF-8"),
        (b"x,species\n1,a\x1b[31m\n2,b\n1,a\x1b[31m\n2,b\n", "has to be printable"),
        (bytes(range(256)), "iris.csv: "),
        (b"PK\x03\x04" + bytes(100), "iris.csv: "),
        (
            "id,species\n" + "".join(f"{i},name {i}\n" for i in range(9)),
            "has 1 examples, and the split",
        ),
    ],
)
def test_a_table_that_will_not_do_is_refused(files: Files, text: str | bytes, says: str) -> None:
    write(files, text)
    assert says in files.refusal(SPLIT, batch=1)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (
            'file = "iris.csv"\ntest = 0.25',
            'iris.csv: say which column is the label, as label = "spec',
        ),
        (KEYS, "iris.csv: say which part of it is the test's"),
        (f'{SPLIT}\nclasses = ["a", "b"]', "iris.csv: takes no classes, but label"),
        (f'{SPLIT}\nlayout = "nchw"', "iris.csv: takes no layout, but label"),
    ],
)
def test_keys_that_will_not_do_are_refused(files: Files, keys: str, says: str) -> None:
    write(files, GOOD)
    assert says in files.refusal(keys)


def test_a_large_file_is_not_read(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    write(files, GOOD)
    monkeypatch.setattr(tables, "MOST_FILE_BYTES", 20)
    assert f"iris.csv: {len(GOOD)} bytes; at most 20 are read" in files.refusal(SPLIT)


def test_pandas_is_asked_for_where_it_is_lacking(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(files, GOOD)
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert "run `pip install pandas`" in files.refusal(SPLIT)

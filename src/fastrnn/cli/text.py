"""``fastrnn text``: train a text generator, generate with it, measure it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from fastrnn.cli.corpora import CORPORA, ngram_bits_per_char, read_corpus, read_texts
from fastrnn.cli.models import load_model
from fastrnn.cli.options import MODEL, TABLE, common, training_options
from fastrnn.cli.output import AS_JSON
from fastrnn.cli.settings import SectionedCommand, setting
from fastrnn.cli.training import prepare, train as fit_and_save

__all__ = ["text"]

_GENERATOR = "fastrnn.tasks.text_generation:TextGenerator"
_WEIGHTS = click.option(
    "--weights",
    type=click.Choice(["float32", "bfloat16", "int8"]),
    default="float32",
    show_default=True,
    help="Compute with rounded weights: faster, a little less exact.",
)


def _rounded(generator: Any, weights: str) -> Any:
    return generator if weights == "float32" else generator.quantize(weights)


@click.group()
def text() -> None:
    """Generate text character by character.

    \b
    fastrnn text train book.txt -o book.model
    fastrnn text generate book.model --prompt "Once upon"
    fastrnn text evaluate book.model other.txt
    """  # noqa: D301 (click's mark for lines that are not to be joined)


@text.command(cls=SectionedCommand)
@click.argument("files", nargs=-1, type=TABLE, metavar="[FILE]...")
@training_options
@click.option(
    "--dataset",
    type=click.Choice(sorted(CORPORA)),
    help="Train on the training part of a known text instead of FILEs.",
)
@common(
    _GENERATOR,
    "Network",
    "cell num_layers hidden_size embedding_size dropout recurrent_dropout",
    embedding_size="Numbers that stand for one character.",
)
@setting(_GENERATOR, "min_count", int, "Learn rarer characters as the unknown one.", section="Network")
@setting(_GENERATOR, "seq_len", int, "Characters that gradients reach back.", section="Training")
@common(
    _GENERATOR,
    "Training",
    "epochs max_seconds batch_size learning_rate schedule optimizer weight_decay clip_norm "
    "validation_fraction patience random_state n_threads checkpoint_every",
    epochs="Passes over the text. | 10, or as time allows",
    batch_size="Places of the text read at once.",
    validation_fraction="Part at the end of the text that is held out.",
)
@click.pass_context
def train(ctx: click.Context, /, files: tuple[str, ...], dataset: str | None, **_: Any) -> None:
    """Train a text generator on FILEs.

    Each FILE is one document in UTF-8; - is standard input.

    Ctrl-C saves everything to MODEL.checkpoint and exits with 130. With --resume training goes on from there,
    to the very weights of an uninterrupted training; settings need not be repeated.
    """
    if bool(files) == bool(dataset):
        raise click.UsageError("give the text to train on: either FILEs or --dataset NAME")
    from fastrnn.tasks import TextGenerator

    generator = prepare(ctx, TextGenerator)
    texts = read_corpus(dataset, "train") if dataset else read_texts(files)
    fit_and_save(ctx, generator, texts)


@text.command()
@click.argument("model", type=MODEL)
@click.option(
    "-n",
    "--length",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Number of characters.",
)
@click.option("-p", "--prompt", default="", help="Text to continue; not repeated in the output.")
@click.option(
    "-t",
    "--temperature",
    type=click.FloatRange(min=0),
    default=0.8,
    show_default=True,
    help="Below 1 more predictable, above 1 wilder; 0 always takes the likeliest character.",
)
@click.option("--top-k", type=click.IntRange(min=1), help="Choose among the k likeliest characters only.")
@click.option(
    "--top-p",
    type=click.FloatRange(min=0, max=1, min_open=True),
    help="Choose among the likeliest characters that together have this probability.",
)
@click.option("--seed", type=click.IntRange(min=0), help="The same seed gives the same text.")
@_WEIGHTS
def generate(
    model: Path,
    length: int,
    prompt: str,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int | None,
    weights: str,
) -> None:
    """Write text in the manner of what MODEL has read.

    The text appears on standard output as it is made.
    """
    generator = _rounded(load_model(model, "text")[0], weights)
    characters = generator.stream(
        length, prompt=prompt, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
    )
    out = sys.stdout
    for character in characters:
        out.write(character)
        if character in " \n":
            out.flush()
    click.echo()


@text.command()
@click.argument("model", type=MODEL)
@click.argument("files", nargs=-1, type=TABLE, metavar="[FILE]...")
@click.option(
    "--dataset",
    type=click.Choice(sorted(CORPORA)),
    help="Evaluate on the test part of a known text instead of FILEs.",
)
@click.option(
    "--baseline",
    "baseline_files",
    multiple=True,
    type=TABLE,
    metavar="FILE",
    help="Compare with an n-gram model of this text, normally the model's training text "
    "(may be repeated). With --dataset the training part is used.",
)
@_WEIGHTS
@AS_JSON
def evaluate(
    model: Path,
    files: tuple[str, ...],
    dataset: str | None,
    baseline_files: tuple[str, ...],
    weights: str,
    as_json: bool,
) -> None:
    """Measure how well MODEL predicts FILEs.

    The measure is bits per character: the length of the shortest code that the model's predictions allow.
    Lower is better.
    """
    if bool(files) == bool(dataset):
        raise click.UsageError("give the text to evaluate on: either FILEs or --dataset NAME")
    generator = load_model(model, "text")[0]
    texts = read_corpus(dataset, "test") if dataset else read_texts(files)
    facts: dict[str, Any] = {
        "characters": sum(map(len, texts)),
        "bits_per_char": generator.bits_per_char(texts),
    }
    if weights != "float32":
        facts["weights"] = weights
        facts["bits_per_char_float32"] = facts["bits_per_char"]
        facts["bits_per_char"] = _rounded(generator, weights).bits_per_char(texts)
    known = read_texts(baseline_files) if baseline_files else read_corpus(dataset, "train") if dataset else []
    if known:
        facts["ngram_bits_per_char"], facts["ngram_context"] = ngram_bits_per_char(known, texts)
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"{facts['characters']:,} characters")
    if weights == "float32":
        click.echo(f"{facts['bits_per_char']:7.4f} bits per character, {model}")
    else:
        click.echo(f"{facts['bits_per_char_float32']:7.4f} bits per character, {model}")
        click.echo(f"{facts['bits_per_char']:7.4f} bits per character, its weights rounded to {weights}")
    if known:
        click.echo(f"{facts['ngram_bits_per_char']:7.4f} bits per character, n-gram model (Witten-Bell)")

"""What each word of a text contributed to the decision of a classifier: text, HTML, picture."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import logsumexp, softmax

from fastrnn._types import Array
from fastrnn.layers.base import Layer, layer_config
from fastrnn.layers.dropout import Dropout
from fastrnn.layers.sequential import Sequential
from fastrnn.plot import new_axes, save_figure
from fastrnn.tasks._text_network import NgramLinear, TokenEmbedding, WideAndDeep
from fastrnn.tasks._tokens import TextFeatures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Explanation", "WordContribution", "explain_text", "integrated_gradients", "log_odds"]

_STEPS = 128
_STEPS_AT_ONCE = 32
_PLOTTED = 30  # words: more do not fit under each other
_SIGN = {True: "+", False: "-"}
_FOR, _AGAINST = (37, 128, 217), (226, 96, 38)  # blue and orange: told apart by the colour-blind too


class WordContribution(NamedTuple):
    """A word of the text, ``text[start:end]``, and how far it moved the decision."""

    word: str
    start: int
    end: int
    contribution: float
    """In nats of log-odds: above 0 it speaks for the label, below against it."""


@dataclass(frozen=True)
class Explanation:
    """Contribution of each word to the log-odds of a label. ``str()`` is for a terminal."""

    text: str
    label: Any
    """The class that is explained."""
    probability: float
    """Of that class, as `predict_proba` gives it."""
    words: list[WordContribution]
    baseline: float
    """Log-odds of the label for a text of which nothing is known."""
    log_odds: float
    """Log-odds of the label for this text, before calibration: `baseline` and all contributions, up to the
    error of summation."""

    def __str__(self) -> str:
        lines = [f"{self.label!s}: probability {self.probability:.3f}"]
        width = max((len(entry.word) for entry in self.words), default=0)
        most = max((abs(entry.contribution) for entry in self.words), default=0.0) or 1.0
        for entry in self.words:
            bar = _SIGN[entry.contribution >= 0] * round(20 * abs(entry.contribution) / most)
            lines.append(f"  {entry.word:<{min(width, 30)}} {entry.contribution:+7.3f}  {bar}".rstrip())
        return "\n".join(lines)

    def html(self) -> str:
        """The text with its words coloured: a fragment without scripts or style sheets, for any page.

        Blue speaks for the label and orange against it, stronger colours for more; colours are
        translucent, so that the text is read on light and on dark pages alike. The text is escaped.
        """
        most = max((abs(entry.contribution) for entry in self.words), default=0.0) or 1.0
        parts, last = [], 0
        for entry in self.words:
            parts.append(html.escape(self.text[last : entry.start]))
            red, green, blue = _FOR if entry.contribution >= 0 else _AGAINST
            share = 0.6 * abs(entry.contribution) / most
            parts.append(
                f'<span title="{entry.contribution:+.3f}" style="background:rgba({red},{green},{blue},'
                f'{share:.2f});border-radius:3px;padding:0 1px">{html.escape(entry.word)}</span>'
            )
            last = entry.end
        rest = html.escape(self.text[last : last + 2000])
        body = "".join(parts) + (f'<span style="opacity:.6">{rest}</span>' if rest else "")
        label = html.escape(str(self.label))
        return (
            '<div style="font-family:system-ui,sans-serif;line-height:1.7;overflow-wrap:anywhere">'
            f'<div><strong>{label}</strong> <span style="opacity:.75">probability {self.probability:.3f}'
            f'</span></div><div style="white-space:pre-wrap">{body}</div></div>'
        )

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw a bar for each word, in their order; of more than 30 those that contribute most.

        Parameters
        ----------
        path : path-like, optional
            Image file to write; the suffix decides the format.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        """
        strongest = sorted(self.words, key=lambda entry: -abs(entry.contribution))[:_PLOTTED]
        shown = [entry for entry in self.words if entry in strongest][:_PLOTTED]
        axes = new_axes(6.5, 1.2 + 0.24 * max(len(shown), 2))
        colours = ["#%02x%02x%02x" % (_FOR if entry.contribution >= 0 else _AGAINST) for entry in shown]
        axes.barh(range(len(shown)), [entry.contribution for entry in shown], color=colours)
        # A dollar sign would begin a formula.
        names = [entry.word[:30].replace("$", r"\$") for entry in shown]
        axes.set_yticks(range(len(shown)), names, fontsize=9)
        axes.invert_yaxis()
        axes.axvline(0, color="0.4", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        label = str(self.label).replace("$", r"\$")
        axes.set_xlabel(f"contribution to the log-odds of {label}")
        axes.set_title(f"{label}: probability {self.probability:.3f}", fontsize=10)
        if path is not None:
            save_figure(axes, path)
        return axes.figure  # type: ignore[return-value]  # of new axes, not a subfigure


def explain_text(
    text: str, model: Sequential, features: TextFeatures, target: int, label: Any, probability: float
) -> Explanation:
    """Explain what a fitted model says of a text about the class with the number `target`."""
    ids = features.encode([text])[0]
    whole = model[0]
    network, linear = (whole.deep, whole.wide) if isinstance(whole, WideAndDeep) else (model, None)
    contributions, baseline = integrated_gradients(ids, network, linear, features.sequence_features, target)
    logits, _ = model(ids[:, None])
    tokens = features.tokenizer.tokens(text)
    return Explanation(
        text=text,
        label=label,
        probability=float(probability),
        words=[
            WordContribution(*token, float(value))
            for token, value in zip(tokens, contributions[: len(tokens)], strict=True)
        ],
        baseline=baseline,
        log_odds=float(log_odds(logits, target)[0]),
    )


def log_odds(logits: Array, label: int) -> Array:
    """Log-odds of a class against all others, ``[n]``, from logits ``[n, C]``."""
    exact = logits.astype(np.float64)
    return np.asarray(exact[:, label] - logsumexp(np.delete(exact, label, axis=1), axis=1))


def integrated_gradients(
    ids: Array, network: Sequential, linear: NgramLinear | None, pairs: dict[int, int], label: int
) -> tuple[Array, float]:
    """Contribution of each token to the log-odds of a class, and the log-odds of no token at all.

    Integrated gradients [1]_ on the straight path from nothing (vectors of tokens that are zero, no n-gram)
    to the text: contributions add up to the difference of the log-odds, up to the error of summing 128
    points of the path. What a sequence of tokens contributes to the linear model is shared
    equally among them.

    Parameters
    ----------
    ids : int array, [T, F]
    network : Sequential
        Begins with a `TokenEmbedding`; logits ``[N, C]``.
    linear : NgramLinear or None
        Whose logits are added.
    pairs : dict of int to int
        Which feature is a sequence of how many tokens.
    label : int
        The class.

    References
    ----------
    .. [1] M. Sundararajan, A. Taly, Q. Yan: Axiomatic attribution for deep networks. ICML 2017.
    """
    embedding = network[0]
    assert isinstance(embedding, TokenEmbedding)
    rest = _differentiable(network[1:])
    x = embedding(ids[:, None])  # [T, 1, E]
    parts = None if linear is None else linear.contributions(ids)  # [T, F, C]
    wide = 0.0 if parts is None else parts.sum(axis=(0, 1))[None]
    T = len(ids)
    gradient, direction = np.zeros_like(x[:, 0], np.float64), 0.0
    points = (np.arange(_STEPS, dtype=np.float32) + 0.5) / _STEPS
    for start in range(0, _STEPS, _STEPS_AT_ONCE):
        alpha = points[start : start + _STEPS_AT_ONCE]
        deep, _ = rest(x * alpha[None, :, None])
        slope = -softmax(_without(deep + alpha[:, None] * wide, label), axis=1)
        slope[:, label] = 1.0
        dx, _ = rest.backward(slope.astype(np.float32))
        gradient += np.asarray(dx, np.float64).sum(axis=1) / _STEPS
        direction = direction + slope.sum(axis=0) / _STEPS
    contributions = (gradient * x[:, 0]).sum(axis=1)
    if parts is not None:
        each = parts @ direction  # [T, F]
        for feature in range(each.shape[1]):
            tokens = pairs.get(feature, 1)
            for back in range(tokens):
                contributions[: T - back] += each[back:, feature] / tokens
    nothing, _ = rest(np.zeros_like(x))
    rest.clear()
    return contributions, float(log_odds(nothing, label)[0])


def _without(logits: Array, label: int) -> Array:
    others = logits.astype(np.float64)
    others[:, label] = -np.inf
    return others


def _differentiable(network: Any) -> Sequential:
    """A copy in train mode, which keeps what backward needs, without anything random or rounded."""
    layers: list[tuple[str, Layer]] = []
    for name, layer in network.named_children():
        if isinstance(layer, Dropout):
            continue
        config = {**layer_config(layer), "quantized": None}
        config |= {key: 0.0 for key in ("dropout", "recurrent_dropout") if key in config}
        twin = Layer.from_config(config)
        twin.load_state_dict(layer.state_dict())
        layers.append((name, twin))
    return Sequential(*layers).train()

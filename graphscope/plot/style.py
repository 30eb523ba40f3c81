"""The panels' look for matplotlib: colours of the design tokens, hairlines, and texts that are only texts."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

INK, QUIET, HAIRLINE, GROUND = "#171a1f", "#636c77", "#dfe3e8", "#ffffff"
ROLE_COLORS = {
    "activation": "#0b7a75",
    "gradient": "#a3268f",
    "parameter": "#56606d",
    "parameter_gradient": "#a3268f",
    "update": "#7a6200",
    "buffer": "#56606d",
}
SEVERITY_COLORS = {"error": "#c4262e", "warning": "#f2c230", "info": "#56606d"}
SEVERITY_MARKERS = {"error": "8", "warning": "^", "info": "o"}
"""Octagon, triangle, circle: never by colour alone."""
DIVERGING = ("#5d9bd6", "#93bfe6", "#cbe0f2", "#edf0f3", "#fbdfbd", "#f4b672", "#e48a2c")
"""Low, healthy, high."""
LONGEST = 60


class Panel(Figure):
    """A Figure that a notebook shows without pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def panel(title: str, sentence: str = "", *, height: float = 2.6) -> tuple[Panel, Axes]:
    """A Figure of one panel with its title, a sentence beside it, and empty axes."""
    figure = Panel(figsize=(6.4, height), layout="constrained", facecolor=GROUND)
    axes = figure.add_subplot()
    axes.set_title(shown(title), loc="left", fontsize=10, fontweight="bold", color=INK).set_parse_math(False)
    if sentence:
        axes.set_title(shown(sentence, 90), loc="right", fontsize=8, color=QUIET).set_parse_math(False)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(HAIRLINE)
    axes.tick_params(length=0, labelsize=8, labelcolor=QUIET)
    axes.grid(axis="y", color=HAIRLINE, linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def steps_below(axes: Axes) -> None:
    """The horizontal axis counts steps: whole numbers, with commas."""
    axes.set_xlabel("step", fontsize=8, color=QUIET)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def label(axes: Axes, x: float, y: float, text: str, **facts: Any) -> Text:
    """A text at a place of the data; a dollar sign in a name is no formula."""
    given: dict[str, Any] = {"fontsize": 8, "color": INK, **facts}
    made = axes.annotate(shown(text), (x, y), xytext=(4, 2), textcoords="offset points", **given)
    made.set_parse_math(False)
    return made


def empty(axes: Axes, text: str) -> None:
    """One sentence in place of a plot."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, shown(text, 120), ha="center", va="center", color=QUIET, transform=axes.transAxes)


def shown(text: str, longest: int = LONGEST) -> str:
    """A name from outside, printable and not too long."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return text if len(text) <= longest else f"{text[: longest - 20]}…{text[-19:]}"


def number(value: float) -> str:
    """``2480.0`` -> ``2,480``, ``-1.2e-9`` -> ``−1.2e−9``: as the panels write numbers."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Inf" if value > 0 else "−Inf"
    size = abs(value)
    if value == int(value) and size < 1e7:
        text = f"{int(value):,}"
    elif 1e-3 <= size < 1e6:
        text = f"{value:,.3g}" if size < 1000 else f"{value:,.0f}"
    else:
        mantissa, exponent = f"{value:.1e}".split("e")
        text = f"{mantissa}e{int(exponent)}"
    return text.replace("-", "−")

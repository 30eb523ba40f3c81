"""dropout2d-on-2d-input: a Dropout2d behind a flatten or a Linear, where there are no channels to drop.

Why it matters: Dropout2d drops whole channels of images (N, C, H, W). A 2-D input has none: PyTorch falls back to
dropping single values, warns, and has announced that it will become an error.
When it is fine: the numbers are those of nn.Dropout today, so nothing is wrong with a model trained this way.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphscope.rules.flow import at, named, type_of
from graphscope.rules.news import News
from graphscope.schema import Finding


def dropout2d_on_2d_input(news: News) -> Iterator[Finding]:
    """Every dropout2d of a new graph whose input has one or two dimensions."""
    for graph in news.graphs:
        for node in news.flow(graph).ops("dropout2d"):
            shape = node.inputs[0].shape if node.inputs else ()
            if not 0 < len(shape) < 3:
                continue
            p = node.attrs.get("p", 0.5)
            name = node.fqn.rpartition(".")[2]
            is_module = type_of(graph, node.fqn) == "Dropout2d" and not name.isdigit()
            yield news.finding(
                graph,
                node,
                rule="dropout2d-on-2d-input",
                severity="warning",
                title="Dropout2d on a 2-D input",
                message=f"{named(node)}{at(node)} gets {' × '.join(map(str, shape))}, a tensor of {len(shape)} "
                "dimensions; it drops channels and wants at least 3. On this input it drops single values, as Dropout "
                "does, and PyTorch has announced that it will become an error.",
                advice="Use nn.Dropout here: it does what happens now, without the warning.",
                why="Dropout2d is for images (N, C, H, W), where neighbouring values of a channel are alike and are "
                "dropped together. Behind a flatten or a Linear there are no channels. Today it equals Dropout.",
                value=float(len(shape)),
                limit=3.0,
                fix=f"- self.{name} = nn.Dropout2d({p})\n+ self.{name} = nn.Dropout({p})"
                if is_module
                else f"- F.dropout2d(x, {p})\n+ F.dropout(x, {p})"
                if not type_of(graph, node.fqn).startswith("Dropout")
                else f"- nn.Dropout2d({p})\n+ nn.Dropout({p})",
            )

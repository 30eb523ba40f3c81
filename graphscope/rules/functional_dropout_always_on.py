"""functional-dropout-always-on: F.dropout without training=self.training drops in evaluation too.

Why it matters: the default of F.dropout is training=True, and model.eval() does not reach a function. So the model
drops units at random when it is evaluated or used: results are too bad and differ from call to call.
When it is fine: Monte Carlo dropout. Say training=True then, and it is not accused.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphscope.rules.flow import at, type_of, where
from graphscope.rules.news import News
from graphscope.schema import Finding

STRUCTURAL = True

DROPOUTS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")


def functional_dropout_always_on(news: News) -> Iterator[Finding]:
    """Dropout as a function whose arguments say nothing about training, in every new graph."""
    for graph in news.graphs:
        for node in news.flow(graph).ops(*DROPOUTS):
            p = node.attrs.get("p", 0.5)
            of_module = "ropout" in type_of(graph, node.fqn)
            # Behind the model's output ops are read from autograd, which does not keep arguments.
            unknown = node.grad_fn is None and not node.attrs
            if "training" in node.attrs or of_module or unknown or p == 0:
                continue
            file, line = where(node)
            yield Finding(
                rule="functional-dropout-always-on",
                severity="error",
                title="Dropout stays on in evaluation",
                message=f"F.{node.op}(p={p}){at(node)} in {node.fqn or 'the model'} is called without training=...: "
                "its default is True, so it drops in model.eval() as well.",
                advice="Pass training=self.training, or use nn.Dropout, which follows model.eval() by itself.",
                why="model.eval() reaches modules, not functions. Dropout that stays on makes evaluation worse and "
                "different each time. To sample with dropout on purpose, say training=True.",
                fqn=node.fqn,
                call=node.call,
                node=node.id,
                graph_id=graph.graph_id,
                step=news.first_step(graph),
                value=float(p) if isinstance(p, int | float) else None,
                limit=0.0,
                file=file,
                line=line,
                fix=f"- F.{node.op}(x, {p})\n+ F.{node.op}(x, {p}, training=self.training)",
            )

"""nll-without-log-softmax: nll_loss gets outputs that are no logarithms of probabilities.

Why it matters: nll_loss only picks the output of the right class and takes its negative. Without log_softmax in front,
making all outputs larger lowers the loss without end: it falls below 0 and the model learns nothing about classes.
When it is fine: outputs that are log-probabilities in another way (logsigmoid, a log of probabilities, x - logsumexp).
Only layers and activations that cannot make them are accused.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphscope.rules.flow import at, named
from graphscope.rules.news import News
from graphscope.schema import Finding

NO_LOG_PROBABILITIES = frozenset(
    {
        "linear", "matmul", "addmm", "bilinear", "conv1d", "conv2d", "conv3d", "relu", "relu6", "leaky_relu", "gelu",
        "silu", "elu", "selu", "sigmoid", "tanh", "softmax", "batch_norm", "layer_norm", "dropout", "max_pool1d",
        "max_pool2d", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool2d", "embedding",
    }
)  # fmt: skip
"""Ops whose outputs are not normalised logarithms."""


def nll_without_log_softmax(news: News) -> Iterator[Finding]:
    """Such an op -> (views) -> nll_loss, in every new graph."""
    for graph in news.graphs:
        flow = news.flow(graph)
        for loss in flow.ops("nll_loss", "nll_loss2d", "nll_loss_nd"):
            node, _ = flow.source_of_data(loss)
            if node is None or node.op not in NO_LOG_PROBABILITIES:
                continue
            is_softmax = node.op == "softmax"
            what = "probabilities, not their logarithms" if is_softmax else "raw outputs"
            yield news.finding(
                graph,
                loss,
                rule="nll-without-log-softmax",
                severity="error",
                title="NLL loss without log_softmax",
                message=f"nll_loss{at(loss)} gets {what} from {named(node)}{at(node)}; it wants log-probabilities. "
                + (
                    "Its loss lies between -1 and 0." if is_softmax else "Larger outputs lower it without end, below 0."
                ),
                advice="Use cross_entropy on the raw outputs: it is log_softmax and nll_loss in one."
                + (" Leave the softmax out." if is_softmax else ""),
                why="nll_loss only picks the output of the right class and takes its negative. It measures a "
                "likelihood only where the outputs are log-probabilities, as log_softmax makes them.",
                fqn=node.fqn,
                call=node.call,
                fix="- loss = F.nll_loss(output, target)\n+ loss = F.cross_entropy(output, target)",
            )

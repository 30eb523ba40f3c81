"""The panels as matplotlib figures, for papers and places without JavaScript. No pyplot state is touched."""

from graphscope.plot.batchnorm import batchnorm
from graphscope.plot.dropout import dropout
from graphscope.plot.histogram import histogram
from graphscope.plot.loss import loss
from graphscope.plot.series import series

__all__ = ["batchnorm", "dropout", "histogram", "loss", "series"]

"""Ops that make NaN or Inf out of finite numbers: when they do, what to do, and the change of code where one exists."""

from __future__ import annotations

from typing import NamedTuple


class Risk(NamedTuple):
    """What to say about an op."""

    advice: str
    fix: str = ""


_LOG = Risk(
    "log of 0 is -inf and of a negative number NaN: keep its input away from 0.",
    "- torch.log(x)\n+ torch.log(x.clamp_min(1e-8))",
)
_ROOT = Risk(
    "A square root is NaN below 0 and has an infinite slope at 0, so its gradient is Inf or NaN: add a small number.",
    "- torch.sqrt(x)\n+ torch.sqrt(x + 1e-8)",
)
_DIVIDE = Risk("A division by 0 is Inf, and 0 / 0 NaN: keep the divisor away from 0.", "- x / y\n+ x / (y + 1e-8)")
_EXP = Risk(
    "exp overflows above 88 in float32 and above 11 in float16: subtract the maximum first, or use logsumexp, softmax "
    "or log_softmax, which do.",
    "- torch.exp(x)\n+ torch.exp(x - x.amax(dim=-1, keepdim=True))",
)
_NORM = Risk("The slope of a norm at 0 is not defined: normalise with an eps, or add one under the root.")
_SOFTMAX = Risk("Softmax of a row that is -inf everywhere, as a mask that hides all positions makes it, is NaN.")
_SPREAD = Risk("The standard deviation of a single value is NaN, and its slope at 0 is infinite: add an eps.")
_DOMAIN = Risk("Its input must lie strictly inside its domain: clamp it before.")
_SOLVE = Risk("A matrix that is nearly singular has no finite inverse: add a small multiple of the identity.")

RISKY: dict[str, Risk] = {
    "log": _LOG,
    "log2": _LOG,
    "log10": _LOG,
    "log1p": _LOG,
    "xlogy": _LOG,
    "sqrt": _ROOT,
    "rsqrt": _ROOT,
    "div": _DIVIDE,
    "reciprocal": _DIVIDE,
    "remainder": _DIVIDE,
    "exp": _EXP,
    "expm1": _EXP,
    "cosh": _EXP,
    "sinh": _EXP,
    "pow": Risk("A negative base with a fractional exponent is NaN, 0 to a negative power Inf: clamp the base."),
    "norm": _NORM,
    "linalg_norm": _NORM,
    "linalg_vector_norm": _NORM,
    "cdist": _NORM,
    "pairwise_distance": _NORM,
    "std": _SPREAD,
    "var": Risk("The variance of a single value is NaN: take more values, or unbiased=False."),
    "acos": _DOMAIN,
    "asin": _DOMAIN,
    "atanh": _DOMAIN,
    "acosh": _DOMAIN,
    "logit": _DOMAIN,
    "lgamma": _DOMAIN,
    "digamma": _DOMAIN,
    "linalg_inv": _SOLVE,
    "inverse": _SOLVE,
    "linalg_solve": _SOLVE,
    "cholesky": _SOLVE,
    "linalg_cholesky": _SOLVE,
    "softmax": _SOFTMAX,
    "log_softmax": _SOFTMAX,
    "scaled_dot_product_attention": _SOFTMAX,
    "mean": Risk("The mean of an empty tensor is NaN: check that the selection is not empty."),
}
MASKS = frozenset({"masked_fill", "masked_scatter", "where", "triu", "tril", "full", "full_like", "fill", "setitem"})
"""Ops that put -inf into a tensor on purpose, in front of a softmax."""

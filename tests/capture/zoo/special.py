"""Code that PyTorch shows only in part; each docstring is the graph read off the code below it."""

from __future__ import annotations

import threading

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class StraightThrough(torch.autograd.Function):
    """Sign forward, identity backward."""

    @staticmethod
    def forward(ctx, x, limit):
        ctx.save_for_backward(x)
        ctx.limit = limit
        return (x > 0).float() * 2 - 1

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= ctx.limit), None


class Clamp(torch.autograd.Function):
    """Writes into its input."""

    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.clamp_(min=0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Numpy(torch.autograd.Function):
    """Its forward leaves torch altogether."""

    @staticmethod
    def forward(ctx, x):
        return torch.from_numpy(x.detach().numpy() * 3)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 3


class Functions(nn.Module):
    """
    h = x -> a:linear -> StraightThrough? -> b:linear -> Clamp!? -> Numpy?
    h -> add(x) -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = StraightThrough.apply(self.a(x), 1.0)
        return Numpy.apply(Clamp.apply(self.b(h))) + x


@torch.library.custom_op("gszoo::scale", mutates_args=())
def scale(x: Tensor, factor: float) -> Tensor:
    return x * factor


scale.register_autograd(
    lambda ctx, gradient: (gradient * ctx.factor, None),
    setup_context=lambda ctx, inputs, output: setattr(ctx, "factor", inputs[1]),
)


@torch.library.custom_op("gszoo::fill", mutates_args={"x"})
def fill(x: Tensor, value: float) -> None:
    x.fill_(value)


class Library(nn.Module):
    """
    h = x -> lin:linear -> gszoo.scale? -> gszoo.scale?
    z = h -> zeros_like -> gszoo.fill!?
    h -> mul(z) -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.ops.gszoo.scale(scale(self.lin(x), 2.0), 0.5)
        z = torch.zeros_like(h)
        fill(z, 3.0)
        return h * z


class Checkpointed(nn.Module):
    """
    h = x -> a:linear -> relu -> drop:dropout
    h -> b:linear -> sigmoid -> c:linear -> out
    """

    def __init__(self, reentrant: bool = False) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.a, self.b, self.c, self.drop = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2), nn.Dropout(0.5)

    def first(self, x: Tensor) -> Tensor:
        return self.drop(self.a(x).relu())

    def forward(self, x: Tensor) -> Tensor:
        h = checkpoint(self.first, x, use_reentrant=self.reentrant)
        h = checkpoint(lambda t: torch.sigmoid(self.b(t)), h, use_reentrant=self.reentrant)
        return self.c(h)


class Transformed(nn.Module):
    """
    h = x -> lin:linear
    v = h -> vmap?
    g = h -> grad?
    m = v -> mul -> add(g)
    m -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.lin(x)
        v = torch.vmap(lambda row: row.sin() * row.sum())(h)
        g = torch.func.grad(lambda t: t.pow(3).sum())(h)
        return v * 2 + g


class Scripted(nn.Module):
    """
    h = x -> first:linear -> inner:Sequential?
    s = h -> relu
    t = s -> traced:Linear?
    t -> last:linear -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)
        self.inner = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
        self.traced = torch.jit.trace(nn.Linear(4, 4), torch.zeros(1, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.traced(self.inner(self.first(x)).relu()))


class Parallel(nn.Module):
    """
    a = x -> left:Sequential?
    b = x -> right:Linear?
    a -> add(b) -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Sequential(nn.Linear(4, 3), nn.ReLU()), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        results: dict[str, Tensor] = {}

        def work(name: str) -> None:
            results[name] = getattr(self, name)(x)

        threads = [threading.Thread(target=work, args=(name,)) for name in ("right", "left")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results["left"] + results["right"]

"""Listing what lives in a kernel: hostile and half-built things neither break it nor get to run code."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from graphscope.jupyter.namespace import is_module, mode_of, models_in, parameter_count, session_of


class Liar:
    """Pretends to be a module; tells when anything of it is run."""

    @property
    def __class__(self) -> type:  # type: ignore[override]
        raise AssertionError("__class__ was asked")

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked")

    def __repr__(self) -> str:
        raise AssertionError("repr was asked")


class BrokenModule(nn.Module):
    """Every public door of it raises."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def parameters(self, recurse: bool = True) -> Any:
        raise AssertionError("parameters() was called")

    def named_modules(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("named_modules() was called")

    def __repr__(self) -> str:
        raise AssertionError("repr was asked")


class NoInit(nn.Module):
    def __init__(self) -> None:
        pass


def test_models_are_found_by_their_type_alone() -> None:
    model, broken = nn.Linear(2, 2), BrokenModule()
    namespace = {"a": 1, "model": model, "liar": Liar(), "broken": broken, "again": model, "_": model, "cls": nn.Linear}
    assert [(found.name, found.model) for found in models_in(namespace)] == [("model", model), ("broken", broken)]
    assert not is_module(Liar()) and not is_module(nn.Linear) and not is_module(None)


def test_a_loss_is_no_model() -> None:
    class Mine(nn.CrossEntropyLoss):
        pass

    losses = {"loss_fn": nn.CrossEntropyLoss(), "mse": nn.MSELoss(), "mine": Mine()}
    names = {"net": nn.Linear(2, 2), **losses, "act": nn.ReLU()}
    assert [found.name for found in models_in(names)] == ["net", "act"]


def test_parameters_are_counted_once_and_without_the_users_code() -> None:
    assert parameter_count(BrokenModule()) == 3 * 2 + 2
    tied = nn.ModuleDict({"a": nn.Embedding(10, 4), "b": nn.Linear(4, 10, bias=False)})
    tied["b"].weight = tied["a"].weight
    assert parameter_count(tied) == sum(p.numel() for p in tied.parameters()) == 40
    shared = nn.Linear(2, 2)
    assert parameter_count(nn.Sequential(shared, shared)) == 6


def test_lazy_and_half_built_models_are_listed_with_unknown_numbers() -> None:
    assert parameter_count(nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 3))) is None
    assert parameter_count(NoInit()) == 0 and mode_of(NoInit()) is None
    assert mode_of(nn.Linear(1, 1).eval()) is False and mode_of(nn.Linear(1, 1)) is True


def test_a_tensor_subclass_gets_no_call() -> None:
    class Loud(torch.Tensor):
        @classmethod
        def __torch_function__(cls, *args: Any, **kwargs: Any) -> Any:
            raise AssertionError("__torch_function__ was called")

    model = nn.Module()
    with torch._C.DisableTorchFunctionSubclass():
        model._parameters["w"] = torch.zeros(5).as_subclass(Loud)  # type: ignore[assignment]
    assert parameter_count(model) == 5


def test_a_module_that_contains_itself_ends() -> None:
    model = nn.Linear(2, 1)
    model._modules["self"] = model
    assert parameter_count(model) == 3


def test_a_namespace_that_changes_meanwhile_is_listed() -> None:
    class Restless(dict):  # type: ignore[type-arg]
        tries = 0

        def items(self) -> Any:
            Restless.tries += 1
            if Restless.tries < 3:
                raise RuntimeError("dictionary changed size during iteration")
            return super().items()

    model = nn.Linear(1, 1)
    assert [found.name for found in models_in(Restless(m=model))] == ["m"]


def test_the_live_session_of_a_model_comes_before_a_finished_one(sessions: list[Any]) -> None:
    model = nn.Linear(1, 1)

    def session(state: str, of: nn.Module) -> Any:
        return SimpleNamespace(state=state, model=of)

    finished, live = session("closed", model), session("live", model)
    assert session_of(model) is None
    sessions += [session("live", nn.Linear(1, 1)), finished]
    assert session_of(model) is finished
    sessions.append(live)
    assert session_of(model) is live


def test_without_torch_there_are_no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "torch")
    assert models_in({"model": object()}) == []

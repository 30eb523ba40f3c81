"""Settings: what is accepted, what is refused and in which words."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from graphscope.errors import GraphscopeError, TrainerError, UnknownName
from graphscope.trainer.settings import (
    DATASETS,
    LOSSES,
    MODEL_OPTIMIZER,
    MODEL_SCHEDULE,
    MODELS,
    OPTIMIZER_LR,
    OPTIMIZERS,
    PANEL_FIELDS,
    SCHEDULES,
    TrainerSettings,
)


def test_defaults_are_usable_and_survive_json():
    settings = TrainerSettings().checked()
    assert TrainerSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_settings_need_no_torch():
    code = "import sys, graphscope.trainer.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"data": "mnits"}, 'Did you mean "mnist"'),
        ({"model": "cnnbn"}, 'Did you mean "cnn-bn"'),
        ({"model": "os"}, "package.module:factory"),
        ({"model": 3}, "model=3"),
        ({"optimizer": "sdg"}, 'Did you mean "sgd"'),
        ({"schedule": "cosin"}, 'Did you mean "cosine"'),
        ({"loss": "ce"}, "cross-entropy"),
    ],
)
def test_an_unknown_name_lists_the_choices(wrong, words):
    with pytest.raises(UnknownName) as error:
        TrainerSettings(**wrong).checked()
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lr", -0.1), ("lr", float("nan")), ("lr", float("inf")), ("lr", "0.1"), ("lr", True),
        ("momentum", 1.0), ("momentum", -0.1), ("weight_decay", -1), ("label_smoothing", 1.5), ("clip", 0.0),
        ("epochs", 0), ("epochs", 2.0), ("epochs", True), ("steps", 0), ("batch_size", 0), ("seed", -1),
        ("accumulate", 0), ("workers", -1), ("patience", 0), ("device", "gpu"), ("device", "cuda:"),
        ("data_dir", ""), ("data_dir", "a\0b"), ("augment", 1), ("amp", "yes"), ("compile", None),
    ],
)  # fmt: skip
def test_a_wrong_number_names_field_value_and_what_is_wanted(field, value):
    with pytest.raises(TrainerError) as error:
        TrainerSettings(**{field: value}).checked()
    assert f"TrainerSettings({field}={value!r})" in str(error.value)
    assert "wanted" in str(error.value)


@pytest.mark.parametrize(
    "good",
    [
        {"lr": 0}, {"lr": None}, {"momentum": 0}, {"steps": 1}, {"device": "cuda:1"}, {"model": "my.nets:Net.small"},
        {"clip": 1e-9}, {"label_smoothing": 1}, {"seed": 2**63 - 1},
    ],
)  # fmt: skip
def test_edges_are_accepted(good):
    assert TrainerSettings(**good).checked() == TrainerSettings(**good)


def test_a_long_value_is_shortened_in_the_message():
    with pytest.raises(GraphscopeError) as error:
        TrainerSettings(data="x" * 10_000).checked()
    assert len(str(error.value)) < 400


def test_what_is_left_open_is_filled_in_from_network_and_optimizer():
    assert (TrainerSettings(model="mlp").resolved().optimizer, TrainerSettings(model="mlp").resolved().lr) == (
        "adam",
        0.001,
    )
    assert TrainerSettings(model="mlp", optimizer="sgd").resolved().lr == OPTIMIZER_LR["sgd"]
    assert TrainerSettings(model="mlp", lr=0.5).resolved().lr == 0.5
    assert TrainerSettings(model="a.b:c").resolved().optimizer == "momentum"


def test_a_schedule_that_is_left_open_suits_the_network():
    assert TrainerSettings(model="cnn-bn").resolved().schedule == "onecycle"
    assert TrainerSettings(model="mlp").resolved().schedule == "cosine"
    assert TrainerSettings(model="lstm").resolved().schedule == "constant"
    assert TrainerSettings(model="cnn-bn", schedule="step").resolved().schedule == "step"
    assert set(MODEL_SCHEDULE) <= set(MODEL_OPTIMIZER)
    assert set(MODEL_SCHEDULE.values()) < {name for name, _ in SCHEDULES} - {"auto"}


def test_lenet_is_trained_as_its_introduction_does_it():
    assert TrainerSettings(model="lenet", batch_size=4).resolved().lr == pytest.approx(0.001)


def test_a_page_can_name_neither_a_path_nor_code():
    for field in ("data_dir", "device", "workers", "compile"):
        assert field not in PANEL_FIELDS
        with pytest.raises(UnknownName):
            TrainerSettings.from_dict({field: "x"}, allowed=PANEL_FIELDS)
    with pytest.raises(UnknownName):
        TrainerSettings.from_dict({"model": "os:system"}, allowed=PANEL_FIELDS)
    assert TrainerSettings.from_dict({"model": "mlp", "lr": 0.1}, allowed=PANEL_FIELDS).model == "mlp"


def test_an_unknown_setting_is_named():
    with pytest.raises(UnknownName, match='Did you mean "epochs"'):
        TrainerSettings.from_dict({"epoch": 3})


def test_menus_are_names_with_a_description_each_once():
    for menu in (DATASETS, MODELS, OPTIMIZERS, SCHEDULES, LOSSES):
        names = [name for name, _ in menu]
        assert len(set(names)) == len(names)
        assert all(description for _, description in menu)
    assert set(MODEL_OPTIMIZER) == {name for name, _ in MODELS}
    assert set(OPTIMIZER_LR) | {"auto"} == {name for name, _ in OPTIMIZERS}


def test_settings_do_not_change():
    settings = TrainerSettings()
    with pytest.raises(AttributeError):
        settings.lr = 1.0  # type: ignore[misc]
    assert replace(settings, lr=1.0).lr == 1.0

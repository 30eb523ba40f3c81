"""Every named network on every kind of data: shapes, gradients everywhere, words where it does not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graphscope.errors import TrainerError, UnknownName
from graphscope.trainer.models.gan import NOISE
from graphscope.trainer.models.named import NETWORKS, DataShape, from_factory, network
from graphscope.trainer.settings import MODELS

DIGITS, CIFAR100 = DataShape(1, 28, 28, 10), DataShape(3, 32, 32, 100)


def test_the_menu_and_the_networks_are_the_same_names_in_the_same_order():
    assert [name for name, _ in MODELS] == list(NETWORKS)


CLASSIFIERS = [name for name in NETWORKS if name not in ("autoencoder", "multitask", "gan")]


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("shape", [DIGITS, CIFAR100], ids=["digits", "cifar100"])
def test_a_network_fits_the_data_and_every_parameter_gets_a_gradient(name, shape):
    torch.manual_seed(0)
    model = network(name, shape)
    out = model(torch.randn(2, shape.channels, shape.height, shape.width))
    assert out.shape == (2, shape.n_classes)
    nn.functional.cross_entropy(out, torch.tensor([1, 2])).backward()
    assert [key for key, p in model.named_parameters() if p.grad is None] == []


# Counted by hand from the layers' sizes (weights + biases).
@pytest.mark.parametrize(
    ("name", "shape", "parameters"),
    [
        ("mlp", DIGITS, 784 * 128 + 128 + 128 * 10 + 10),
        ("cnn", DIGITS, 320 + 18_496 + 9216 * 128 + 128 + 1290),
        ("cnn-bn", DIGITS, 1_199_978),
        ("lenet", DataShape(3, 32, 32, 10), 62_006),  # as PyTorch's tutorial network
        ("resnet18", DataShape(3, 32, 32, 10), 11_173_962),  # as the usual CIFAR variant
        ("lstm", DIGITS, 4 * 128 * (28 + 128 + 2) + 1290),
        ("gru", DIGITS, 3 * 128 * (28 + 128 + 2) + 1290),
    ],
)
def test_number_of_parameters(name, shape, parameters):
    assert sum(p.numel() for p in network(name, shape).parameters()) == parameters


@pytest.mark.parametrize("shape", [DIGITS, CIFAR100], ids=["digits", "cifar100"])
def test_the_networks_that_do_more_than_classify_fit_the_data_too(shape):
    torch.manual_seed(0)
    x = torch.rand(3, shape.channels, shape.height, shape.width)
    rebuilt = network("autoencoder", shape)(x)
    assert rebuilt.shape == x.shape and rebuilt.min() >= 0 and rebuilt.max() <= 1
    scores, brightness = network("multitask", shape)(x)
    assert scores.shape == (3, shape.n_classes) and brightness.shape == (3, 4)
    gan = network("gan", shape)
    noise = torch.randn(3, NOISE)
    assert gan.generator(noise).shape == x.shape and gan.generator(noise).abs().max() <= 1
    assert [part if part is None else tuple(part.shape) for part in gan(noise)] == [None, (3, 1)]
    assert [tuple(part.shape) for part in gan(noise, x)] == [(3, 1), (3, 1)]


def test_in_the_discriminators_turn_no_gradient_reaches_the_generator():
    gan = network("gan", DIGITS)
    real, made = gan(torch.randn(3, NOISE), torch.randn(3, 1, 28, 28))
    (real.sum() + made.sum()).backward()
    assert all(p.grad is None for p in gan.generator.parameters())
    assert all(p.grad is not None for p in gan.discriminator.parameters())
    gan(torch.randn(3, NOISE))[1].sum().backward()
    assert all(p.grad is not None for p in gan.generator.parameters())


def test_the_teaching_cases_end_as_they_say():
    x = torch.randn(3, 1, 28, 28)
    torch.testing.assert_close(network("mlp-softmax", DIGITS)(x).sum(dim=1), torch.ones(3))
    torch.testing.assert_close(network("mlp-logsoftmax", DIGITS)(x).exp().sum(dim=1), torch.ones(3))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_smallest_image_a_network_says_it_takes_it_takes(name):
    side = max(NETWORKS[name].smallest, NETWORKS[name].multiple_of)
    model = network(name, DataShape(1, side, side, 3)).eval()
    assert model(torch.randn(2, 1, side, side)).shape == (2, 3)


def test_images_that_do_not_fit_are_refused_with_shapes():
    with pytest.raises(TrainerError, match="1x8x8"):
        network("lenet", DataShape(1, 8, 8, 10))
    with pytest.raises(TrainerError, match="multiples of 4"):
        network("vit", DataShape(1, 30, 30, 10))
    with pytest.raises(UnknownName, match="cnn-bn"):
        network("cnnbn", DIGITS)


def test_a_users_factory_is_imported():
    assert isinstance(from_factory("torch.nn:Identity"), nn.Identity)
    with pytest.raises(TrainerError, match="no_such_module"):
        from_factory("no_such_module:Net")
    with pytest.raises(TrainerError, match="NoSuchNet"):
        from_factory("torch.nn:NoSuchNet")
    with pytest.raises(TrainerError, match=r"wanted an nn\.Module"):
        from_factory("collections:OrderedDict")


def test_a_factory_that_wants_arguments_is_not_called(tmp_path, monkeypatch):
    with pytest.raises(TrainerError, match=r"os:system.*called without arguments, but missing .*'command'"):
        from_factory("os:system")

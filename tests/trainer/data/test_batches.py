"""Batches: every image once an epoch, the same order for the same seed, users' own loaders as they are."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from graphscope.errors import DataError
from graphscope.trainer.data.batches import ImageBatches, LoaderBatches, derived_seed, loader_for
from graphscope.trainer.data.images import ImageSet

CPU = torch.device("cpu")


def numbered(count: int = 100, *, augmented: bool = False) -> ImageSet:
    """Images whose single label is their own index."""
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous()
    return ImageSet(
        name="numbered",
        train_images=images,
        train_labels=torch.arange(count),
        test_images=images[:7],
        test_labels=torch.arange(7),
        classes=tuple(map(str, range(count))),
        mean=(0.0,),
        std=(1 / 255,),
        augmented=augmented,
    )


def order(batches: ImageBatches, epoch: int, start: int = 0) -> list[int]:
    return torch.cat([y for _, y in batches.train(epoch, start)]).tolist()


def test_an_epoch_holds_every_image_once_with_its_own_label():
    batches = ImageBatches(numbered(), batch_size=32, seed=0, device=CPU)
    sizes = []
    for x, y in batches.train(0):
        assert x.shape == (len(y), 1, 8, 8)
        assert torch.equal(x[:, 0, 0, 0].long(), y)  # mean 0 and std 1/255 leave the byte as it was
        sizes.append(len(y))
    assert sizes == [32, 32, 32, 4] and batches.per_epoch == 4
    assert sorted(order(batches, 0)) == list(range(100))


def test_order_depends_on_seed_and_epoch_and_can_be_entered_midway():
    a, b = (ImageBatches(numbered(), batch_size=32, seed=7, device=CPU) for _ in range(2))
    torch.randn(3)
    assert order(a, 2) == order(b, 2)
    assert order(a, 2, start=2) == order(b, 2)[64:]
    assert order(a, 0) != order(a, 1)
    assert order(a, 0) != order(ImageBatches(numbered(), batch_size=32, seed=8, device=CPU), 0)


def test_augmentation_is_the_same_when_entered_midway_and_can_be_switched_off():
    data = numbered(augmented=True)
    batches = ImageBatches(data, batch_size=32, seed=7, device=CPU)
    whole, late = list(batches.train(1)), list(batches.train(1, 2))
    assert all(torch.equal(x, z) for (x, _), (z, _) in zip(whole[2:], late, strict=True))
    plain = ImageBatches(data, batch_size=32, seed=7, device=CPU, augment=False)
    assert not torch.equal(next(plain.train(1))[0], whole[0][0])


def test_test_images_come_in_their_own_order():
    batches = ImageBatches(numbered(), batch_size=2, seed=0, device=CPU)
    assert torch.cat([y for _, y in batches.test()]).tolist() == list(range(7))


def test_near_seeds_give_unrelated_numbers():
    seeds = {derived_seed(seed, epoch) for seed in range(100) for epoch in range(100)}
    assert len(seeds) == 10_000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derived_seed(1, 0) != derived_seed(0, 1)


def test_a_users_loader_is_iterated_as_it_is():
    data = TensorDataset(torch.arange(10.0).view(10, 1), torch.arange(10))
    batches = LoaderBatches(DataLoader(data, batch_size=4), None, CPU)
    assert [y.tolist() for _, y in batches.train(0)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [y.tolist() for _, y in batches.train(0, start=2)] == [[8, 9]]
    assert (batches.train_images, batches.test_images, batches.per_epoch) == (10, None, 3)
    assert list(batches.test()) == []


def test_a_users_dataset_is_shuffled_by_its_own_generator():
    data = TensorDataset(torch.arange(50.0), torch.arange(50))
    orders = []
    for _ in range(2):
        torch.randn(3)
        loader = loader_for(data, batch_size=50, seed=1, workers=0, shuffle=True)
        ((_, y),) = LoaderBatches(loader, None, CPU).train(0)
        orders.append(y.tolist())
    assert orders[0] == orders[1] != sorted(orders[0]) == list(range(50))


def test_a_batch_that_is_no_pair_is_refused_with_words():
    loader = DataLoader(TensorDataset(torch.zeros(4, 1)), batch_size=2)
    with pytest.raises(DataError, match="pair of tensors"):
        next(iter(LoaderBatches(loader, None, CPU).train(0)))


@pytest.mark.seconds
def test_worker_processes_give_the_same_batches():
    data = TensorDataset(torch.arange(50.0), torch.arange(50))
    orders = []
    for workers in (0, 2):
        loader = loader_for(data, batch_size=8, seed=1, workers=workers, shuffle=True)
        assert loader.num_workers == workers
        orders.append([y.tolist() for _, y in LoaderBatches(loader, None, CPU).train(0)])
    assert orders[0] == orders[1]

"""The loop, against a loop written by hand, and what it does when things go wrong."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from graphscope.errors import DataError, TrainerError
from graphscope.trainer.data.images import ImageSet
from graphscope.trainer.data.shapes import shapes
from graphscope.trainer.loop import INTERRUPTED, BatchResult, EvaluationResult, Trainer
from graphscope.trainer.settings import TrainerSettings


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def small() -> ImageSet:
    return shapes(0, 200, 60)


def run(trainer: Trainer) -> tuple[list[BatchResult], list[EvaluationResult]]:
    results = list(trainer.batches())
    return (
        [r for r in results if isinstance(r, BatchResult)],
        [r for r in results if isinstance(r, EvaluationResult)],
    )


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in trainer.model.state_dict().items()}


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [key for key in a if not torch.equal(a[key], b[key])] == []


def test_it_trains_as_a_loop_written_by_hand(small):
    settings = TrainerSettings(model="mlp", optimizer="momentum", lr=0.01, schedule="cosine", epochs=2, batch_size=64)
    trainer = Trainer(settings, data=small)
    order = [y for epoch in range(2) for _, y in trainer.data.train(epoch)]
    batches = [x for epoch in range(2) for x, _ in trainer.data.train(epoch)]
    model = Trainer(settings, data=small).model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(batches))
    losses = []
    for x, y in zip(batches, order, strict=True):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())

    steps, evaluations = run(trainer)
    assert [r.loss for r in steps] == pytest.approx(losses, rel=1e-5)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(trainer.model.state_dict()[key], value)
    with torch.no_grad():
        test_x, test_y = (torch.cat(part) for part in zip(*trainer.data.test(), strict=True))
        guess = model(test_x).argmax(dim=1)
    assert evaluations[-1].accuracy == pytest.approx((guess == test_y).double().mean().item())
    for label, recall in enumerate(evaluations[-1].recall):
        assert recall == pytest.approx((guess[test_y == label] == label).double().mean().item())


def test_results_say_where_they_are(small):
    trainer = Trainer(TrainerSettings(model="mlp", epochs=2), data=small)
    assert (trainer.total_steps, trainer.steps_per_epoch, trainer.train_images, trainer.test_images) == (8, 4, 200, 60)
    assert (trainer.n_classes, trainer.step) == (10, 0)
    results = list(trainer.batches())
    assert [(type(r).__name__[0], r.step, r.epoch) for r in results] == [
        *(("B", step, 0) for step in range(4)), ("E", 3, 0), *(("B", step, 1) for step in range(4, 8)), ("E", 7, 1),
    ]  # fmt: skip
    assert [r.images for r in results] == [64, 64, 64, 8, 60] * 2
    assert all(r.seconds > 0 and r.accuracy is not None and 0 <= r.accuracy <= 1 for r in results)
    assert trainer.stopped is None
    assert list(trainer.batches()) == []


@pytest.mark.parametrize("model", ["cnn-bn", "vit"])
def test_the_same_seed_gives_the_same_bits_whatever_else_draws_numbers(small, model):
    settings = TrainerSettings(model=model, steps=3, batch_size=16, seed=5)
    plain, disturbed = Trainer(settings, data=small), Trainer(settings, data=small)
    run(plain)
    torch.manual_seed(99)
    for _ in disturbed.batches():
        torch.randn(10)
    assert_same(weights(plain), weights(disturbed))
    other = Trainer(TrainerSettings(model=model, steps=3, batch_size=16, seed=6), data=small)
    assert not torch.equal(next(iter(weights(other).values())), next(iter(weights(plain).values())))


def test_a_generator_that_was_closed_goes_on_where_it_stopped_to_the_bit(small):
    settings = TrainerSettings(model="cnn-bn", steps=5, batch_size=64)
    whole, parts = Trainer(settings, data=small), Trainer(settings, data=small)
    run(whole)
    steps = []
    for stop_after in (1, 3, 100):
        generator = parts.batches()
        for result in generator:
            steps.append(result.step)
            stop_after -= 1
            if not stop_after:
                generator.close()
                break
    assert_same(weights(whole), weights(parts))
    assert steps == [0, 1, 2, 3, 3, 4, 4]  # 3 and 4 twice: the evaluations after them


def test_steps_decide_over_epochs(small):
    steps, evaluations = run(Trainer(TrainerSettings(model="mlp", steps=6, epochs=1), data=small))
    assert [r.step for r in steps] == list(range(6))
    assert [r.step for r in evaluations] == [3, 5]


def test_evaluation_runs_in_eval_mode_without_gradients_and_restores_the_mode(small):
    trainer = Trainer(TrainerSettings(model="cnn-bn", steps=1, batch_size=16), data=small)
    modes = []
    trainer.model.drop2.register_forward_hook(lambda layer, x, y: modes.append((layer.training, y.requires_grad)))
    for result in trainer.batches():
        assert trainer.model.training
        before = weights(trainer)
        if isinstance(result, BatchResult):
            trainer.evaluate()
            assert_same(before, weights(trainer))
    assert modes == [(True, True), (False, False), (False, False)]
    trainer.model.eval()
    trainer.evaluate()
    assert not trainer.model.training


def test_accumulated_batches_make_the_step_of_one_large_batch(small):
    def trained(**how: int) -> Trainer:
        trainer = Trainer(TrainerSettings(model="mlp", optimizer="sgd", lr=0.1, epochs=1, **how), data=small)
        steps, _ = run(trainer)
        assert [r.images for r in steps] == [96, 96, 8]
        return trainer

    large, small_batches = trained(batch_size=96), trained(batch_size=32, accumulate=3)
    assert large.total_steps == small_batches.total_steps == 3
    for key, value in weights(large).items():
        torch.testing.assert_close(small_batches.model.state_dict()[key], value, rtol=1e-4, atol=1e-6)


def test_gradients_are_clipped_together(small):
    trainer = Trainer(TrainerSettings(model="mlp", optimizer="sgd", lr=1.0, clip=0.01, steps=1), data=small)
    before = weights(trainer)
    run(trainer)
    moved = math.sqrt(sum((v - before[k]).double().square().sum().item() for k, v in weights(trainer).items()))
    assert moved == pytest.approx(0.01, rel=1e-3)


def test_a_new_learning_rate_is_taken_at_the_next_batch_and_the_schedule_goes_on(small):
    trainer = Trainer(TrainerSettings(model="mlp", optimizer="sgd", lr=0.1, schedule="step", steps=4), data=small)
    lrs = []
    for result in trainer.batches():
        if isinstance(result, BatchResult):
            lrs.append(result.lr)
            if result.step == 0:
                trainer.set_lr(0.5)
    assert lrs == pytest.approx([0.1, 0.5, 0.05, 0.005])
    for wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(TrainerError):
            trainer.set_lr(wrong)


def test_momentum_and_dropout_change_while_it_runs(small):
    trainer = Trainer(TrainerSettings(model="cnn-bn", optimizer="adam", steps=1), data=small)
    trainer.set_momentum(0.5)
    assert trainer.optimizer.param_groups[0]["betas"] == (0.5, 0.999)
    trainer.set_dropout("drop2", 0.125)
    assert trainer.model.drop2.p == 0.125
    with pytest.raises(TrainerError, match="drop1, drop2"):
        trainer.set_dropout("fc1", 0.5)
    with pytest.raises(TrainerError, match="probability"):
        trainer.set_dropout("drop1", 1.5)
    with pytest.raises(TrainerError, match="below 1"):
        trainer.set_momentum(1.0)


def test_a_loss_that_is_nan_ends_the_training_and_says_so(small):
    class NaNAtThirdCall(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3 * 32 * 32, 10)
            self.calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            out = self.fc(x.flatten(1))
            return out * math.nan if self.calls == 3 else out

    trainer = Trainer(TrainerSettings(epochs=5), data=small, model=NaNAtThirdCall())
    results = list(trainer.batches())
    assert [r.step for r in results] == [0, 1, 2]
    assert math.isnan(results[-1].loss)
    assert trainer.stopped == "loss is nan at step 2"


def test_a_gan_trains_two_networks_in_turns(small):
    trainer = Trainer(TrainerSettings(model="gan", steps=2, batch_size=32, clip=1e6), data=small)
    assert len(trainer.optimizers) == 2 and trainer.optimizer is trainer.optimizers[-1]
    before = weights(trainer)
    steps, evaluations = run(trainer)
    changed = {key.split(".")[0] for key, value in weights(trainer).items() if not torch.equal(value, before[key])}
    assert changed == {"generator", "discriminator"}
    for result in (*steps, *evaluations):
        assert result.loss == pytest.approx(result.parts["discriminator"] + result.parts["generator"])
        assert result.accuracy is None
    assert evaluations[0].recall == ()
    state = torch.get_rng_state()
    assert trainer.evaluate().loss == trainer.evaluate().loss
    assert torch.equal(state, torch.get_rng_state())
    trainer.set_lr(0.5)
    for optimizer in trainer.optimizers:
        (group,) = optimizer.param_groups
        assert group["betas"][0] == 0.5
    assert trainer.model(*trainer.example())[0].shape == (32, 1)


@pytest.mark.parametrize(("model", "low", "high"), [("autoencoder", 0, 1), ("gan", -1, 1)])
def test_pixels_are_scaled_as_the_network_wants_them(small, model, low, high):
    x, _ = next(iter(Trainer(TrainerSettings(model=model), data=small).data.train(0)))
    assert x.min().item() == pytest.approx(low, abs=0.05) and x.max().item() == pytest.approx(high, abs=0.05)


@pytest.mark.parametrize("model", ["autoencoder", "multitask"])
def test_the_other_networks_learn(small, model):
    steps, evaluations = run(Trainer(TrainerSettings(model=model, epochs=6, lr=0.003), data=small))
    assert sum(r.loss for r in steps[-4:]) < 0.9 * sum(r.loss for r in steps[:4])
    assert len(evaluations) == 6


def test_a_users_dataset_module_and_loss_take_the_place_of_names():
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    y = x.sum(dim=1, keepdim=True)
    trainer = Trainer(
        TrainerSettings(lr=0.02, epochs=20, batch_size=10),
        data=TensorDataset(x, y),
        test_data=TensorDataset(x, y),
        model=nn.Linear(4, 1),
        loss_fn=nn.MSELoss(),
    )
    steps, evaluations = run(trainer)
    assert steps[-1].loss < 1e-3 * steps[0].loss
    assert (evaluations[-1].accuracy, evaluations[-1].recall, trainer.n_classes) == (None, (), None)
    assert evaluations[-1].images == 50


def test_a_named_network_is_built_to_fit_a_users_dataset(small):
    data = TensorDataset(small.train_images.float(), small.train_labels)
    trainer = Trainer(TrainerSettings(model="lenet", steps=1), data=data)
    assert trainer.n_classes == 10
    steps, evaluations = run(trainer)
    assert len(steps) == 1 and evaluations == []  # no test data, so nothing to say about it


def test_a_users_stream_without_length_is_iterated():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter((torch.full((4,), float(i)), torch.tensor(i % 2)) for i in range(10))

    trainer = Trainer(TrainerSettings(epochs=2, batch_size=4), data=Stream(), model=nn.Linear(4, 2))
    assert (trainer.train_images, trainer.total_steps) == (None, None)
    steps, _ = run(trainer)
    assert [r.images for r in steps] == [4, 4, 2] * 2
    with pytest.raises(TrainerError, match="steps="):
        Trainer(TrainerSettings(schedule="cosine"), data=Stream(), model=nn.Linear(4, 2))


def test_a_schedule_of_ours_needs_an_end_and_an_optimizer_of_ours(small):
    def schedule(**how) -> str:
        return Trainer(TrainerSettings(batch_size=64), **how).settings.schedule

    model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    assert schedule(data=small) == "onecycle"
    assert schedule(data=small, model=model) == "constant", "what suits cnn-bn need not suit another network"
    own = Trainer(TrainerSettings(batch_size=64), data=small)
    optimizer = torch.optim.SGD(own.model.parameters(), lr=0.1)
    assert schedule(data=small, optimizer=optimizer) == "constant"


def test_an_interrupted_training_ends_after_its_step_and_goes_on_to_the_bit(small, tmp_path):
    settings = TrainerSettings(model="cnn-bn", epochs=2)
    whole, first = Trainer(settings, data=small), Trainer(settings, data=small)
    run(whole)
    for result in first.batches():
        if result.step == 2:
            first.interrupt()
    assert (first.stopped, first.step) == (INTERRUPTED, 3)
    second = Trainer(settings, data=small)
    second.load(first.save(tmp_path))
    assert second.stopped is None
    run(second)
    assert_same(weights(whole), weights(second))


def test_data_that_gives_no_batch_is_an_error():
    class Empty(IterableDataset):
        def __iter__(self):
            return iter(())

    trainer = Trainer(TrainerSettings(steps=3), data=Empty(), model=nn.Linear(4, 2))
    with pytest.raises(DataError, match="no batch"):
        run(trainer)


def test_a_network_that_does_not_fit_says_shapes(small):
    trainer = Trainer(TrainerSettings(), data=small, model=nn.Linear(5, 10))
    with pytest.raises(TrainerError, match=r"Linear with CrossEntropyLoss .* inputs \[64, 3, 32, 32\]") as error:
        run(trainer)
    assert isinstance(error.value.__cause__, RuntimeError)
    too_few = Trainer(TrainerSettings(), data=small, model=nn.Sequential(nn.Flatten(), nn.Linear(3072, 2)))
    with pytest.raises(TrainerError, match="targets"):
        run(too_few)


def test_wrong_objects_are_refused(small):
    with pytest.raises(TrainerError, match=r"wanted an nn\.Module"):
        Trainer(model="mlp", data=small)
    with pytest.raises(DataError, match="wanted a Dataset"):
        Trainer(data=[1, 2, 3], model=nn.Identity())
    with pytest.raises(TrainerError, match="device"):
        Trainer(TrainerSettings(device="cuda:99"), data=small)
    with pytest.raises(TrainerError, match="Give model="):
        Trainer(data=DataLoader(TensorDataset(torch.zeros(4, 2), torch.zeros(4))))


def test_an_example_input_is_the_first_batch(small):
    trainer = Trainer(TrainerSettings(model="mlp"), data=small)
    (x,) = trainer.example()
    assert torch.equal(x, next(iter(trainer.data.train(0)))[0])


def test_real_digits_are_learnt():
    """Two epochs of the default network on the bundled scans; 97 % after five."""
    _, evaluations = run(Trainer(TrainerSettings(epochs=2)))
    assert evaluations[-1].images == 355
    assert evaluations[-1].accuracy > 0.94
    assert len(evaluations[-1].recall) == 10


@pytest.mark.slow
def test_real_digits_are_learnt_well():
    _, evaluations = run(Trainer(TrainerSettings(epochs=5)))
    assert evaluations[-1].accuracy >= 0.97


def test_patience_ends_the_training_and_says_so(small):
    trainer = Trainer(TrainerSettings(model="mlp", optimizer="sgd", lr=0.0, epochs=9, patience=2), data=small)
    _, evaluations = run(trainer)
    assert len(evaluations) == 3  # the first is the best there is, two without a lower loss follow
    assert trainer.stopped is not None and "in 2 epoch(s)" in trainer.stopped
    assert list(trainer.batches()) == []


def test_a_users_factory_is_trained(small, tmp_path, monkeypatch):
    (tmp_path / "my_nets_for_this_test.py").write_text(
        "from torch import nn\ndef small():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    trainer = Trainer(TrainerSettings(model="my_nets_for_this_test:small", steps=2), data=small)
    assert isinstance(trainer.model, nn.Sequential)
    assert len(run(trainer)[0]) == 2


def test_mixed_precision_trains_nearly_the_same(small):
    losses = []
    for amp in (False, True):
        seen = []
        trainer = Trainer(TrainerSettings(model="mlp", steps=4, amp=amp), data=small)
        trainer.model.fc2.register_forward_hook(lambda layer, x, y, seen=seen: seen.append(y.dtype))
        losses.append([r.loss for r in run(trainer)[0]])
        assert set(seen) == {torch.bfloat16 if amp else torch.float32}
        assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
    assert losses[1] == pytest.approx(losses[0], rel=0.05) and losses[1] != losses[0]


@pytest.mark.slow
def test_a_compiled_network_trains_the_same(small):
    losses = []
    for compiled in (False, True):
        trainer = Trainer(TrainerSettings(model="mlp", steps=4, compile=compiled), data=small)
        steps, evaluations = run(trainer)
        losses.append([r.loss for r in (*steps, *evaluations)])
        assert "fc1.weight" in trainer.model.state_dict()
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)

"""The batched transforms, against numpy and plain loops."""

from __future__ import annotations

import numpy as np
import torch

from graphscope.trainer.data.images import channel_statistics, cropped_and_flipped, normalised


def some_images(count: int = 6, channels: int = 3, size: int = 12) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, channels, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def test_channel_statistics_equal_numpy():
    images = some_images()
    mean, std = channel_statistics(images)
    pixels = images.numpy().astype(np.float64) / 255
    np.testing.assert_allclose(mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std(axis=(0, 2, 3)), rtol=1e-12)


def test_normalised_images_have_mean_0_and_std_1_and_equal_numpy():
    images = some_images(50)
    mean, std = channel_statistics(images)
    out = normalised(images, torch.tensor(mean), torch.tensor(std))
    want = (images.double().numpy() / 255 - np.array(mean).reshape(1, 3, 1, 1)) / np.array(std).reshape(1, 3, 1, 1)
    assert out.dtype == torch.float32
    np.testing.assert_allclose(out.numpy(), want, atol=1e-5)
    assert abs(out.mean().item()) < 1e-4 and abs(out.std(correction=0).item() - 1) < 1e-4


def test_each_crop_is_a_window_of_the_padded_image_or_of_its_mirror_image():
    images = some_images(40)
    out = cropped_and_flipped(images, torch.Generator().manual_seed(3))
    seen = set()
    for image, got in zip(images.numpy(), out.numpy(), strict=True):
        found = [
            (dy, dx, flip)
            for flip in (False, True)
            for dy in range(9)
            for dx in range(9)
            if np.array_equal(_window(image, dy, dx, flip), got)
        ]
        assert len(found) == 1
        seen.update(found)
    assert len(seen) > 30  # 162 possible
    assert {flip for _, _, flip in seen} == {False, True}


def _window(image: np.ndarray, dy: int, dx: int, flip: bool) -> np.ndarray:
    size = image.shape[1]
    window = np.pad(image, ((0, 0), (4, 4), (4, 4)))[:, dy : dy + size, dx : dx + size]
    return window[:, :, ::-1] if flip else window


def test_augmentation_depends_on_its_generator_alone():
    images = some_images()
    before = torch.get_rng_state()
    a = cropped_and_flipped(images, torch.Generator().manual_seed(5))
    b = cropped_and_flipped(images, torch.Generator().manual_seed(5))
    assert torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), before)

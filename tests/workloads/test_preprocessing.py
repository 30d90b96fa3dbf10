"""Preprocessing: against torch's own filter and by impulses, and texts by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from energybench.errors import UsageError
from energybench.workloads.preprocessing import (
    crop_image,
    drop_stop_words,
    filter_taps,
    image_work,
    lower_case,
    normalise_image,
    resize_image,
    resized_size,
    token_numbers,
    tokenise,
    vocabulary_of,
)

Image = pytest.importorskip("PIL.Image")


def picture(width: int, height: int) -> Any:
    values = np.random.default_rng(21).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values, "RGB")


def test_the_pipeline_is_torchs_own() -> None:
    image = picture(50, 37)
    size = resized_size(50, 37, 26)
    assert size == (35, 26)
    ours = normalise_image(crop_image(resize_image(image, 26), 24))
    x = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())[None].float()
    resized = torch.nn.functional.interpolate(x, size[::-1], mode="bilinear", antialias=True)[0]
    theirs = resized[:, 1:25, 5:29] / 255
    mean, stdev = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    # Pillow rounds to whole bytes after each direction: at most one step of 1/255 over a deviation of 0.224
    torch.testing.assert_close(ours, (theirs - mean[:, None, None]) / stdev[:, None, None], rtol=0, atol=1.01 / 57)


@pytest.mark.parametrize(("size", "resized"), [(37, 26), (50, 35), (500, 341), (8, 8), (10, 20), (64, 16), (9, 1)])
def test_taps_are_the_pixels_that_an_impulse_reaches(size: int, resized: int) -> None:
    """Each input pixel alone: how many outputs see it, summed, is the number of weights that are not zero."""
    seen = 0
    for j in range(size):
        row = np.zeros((1, size), dtype=np.float32)
        row[0, j] = 1.0
        out = np.asarray(Image.fromarray(row).resize((resized, 1), Image.Resampling.BILINEAR))
        seen += int(np.count_nonzero(np.abs(out) > 1e-7))
    assert filter_taps(size, resized) == seen


def test_work_of_an_image_by_hand() -> None:
    work = image_work(8, 4, 2, 2)  # halved: interior outputs see 4 inputs with weights, edge ones 3
    assert work["resize"].macs == 3 * (4 * filter_taps(8, 4) + 4 * filter_taps(4, 2))
    assert filter_taps(4, 2) == 6
    assert work["resize"].moved_bytes == 3 * 8 * 4 + 2 * 3 * 4 * 4 + 3 * 4 * 2
    assert (work["normalise"].other_ops, work["normalise"].moved_bytes) == (24, 60)


def test_a_text_by_hand() -> None:
    tokens = tokenise(lower_case("The Licensor's 2 rights, AND the other."))
    assert tokens == ["the", "licensor", "'", "s", "2", "rights", ",", "and", "the", "other", "."]
    kept = drop_stop_words(tokens)
    assert kept == ["licensor", "'", "s", "2", "rights", ",", "."]
    assert token_numbers(["rights", "new", "licensor"], vocabulary_of(kept)).tolist() == [5, 0, 1]


def test_what_cannot_work_is_named() -> None:
    with pytest.raises(UsageError, match="no square of 24"):
        crop_image(picture(20, 30), 24)
    with pytest.raises(UsageError, match="positive sizes"):
        resized_size(0, 10, 4)

"""Preprocessing of images and texts [D21]: the steps of the usual pipelines one by one, and what they work by count.

Images go through Pillow, an optional part of the installation (``pip install 'energybench[preprocessing]'``): the
shorter side resized with an antialiased bilinear filter, the middle cropped, channels normalised by ImageNet's mean and
standard deviation (He et al. 2015). Texts go through plain Python: lower case, words and signs, stop words left out,
numbers of a vocabulary.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from energybench.errors import UsageError
from energybench.units import Byte

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

#: Of ImageNet's pixels, red, green, blue, as every published network of the zoo was trained with.
MEAN: Final = (0.485, 0.456, 0.406)
STDEV: Final = (0.229, 0.224, 0.225)

#: English words that carry grammar and little else: articles, pronouns, prepositions, auxiliaries.
STOP_WORDS: Final = frozenset(
    "a an and any are as at be been but by can do for from had has have he her his if in into is it its may no nor not "
    "of on or other our shall she so such than that the their them then there these they this those to under was we "
    "were which will with would you your".split()
)
_TOKEN: Final = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")


@dataclass(frozen=True, slots=True)
class StepWork:
    """Counted work of one step on one image: `macs`, `other_ops`, and `moved_bytes` read and written once each."""

    macs: int
    other_ops: int
    moved_bytes: Byte


def resized_size(width: int, height: int, shorter: int) -> tuple[int, int]:
    """(width, height) once the shorter side is `shorter` and the shape kept. Raises UsageError."""
    if min(width, height, shorter) < 1:
        raise UsageError(f"an image of {width} × {height} cannot be resized to {shorter}; give positive sizes")
    scale = shorter / min(width, height)
    return max(shorter, int(width * scale)), max(shorter, int(height * scale))


def resize_image(image: Image, shorter: int) -> Image:
    """The image with its shorter side at `shorter`, bilinear, antialiased."""
    from PIL.Image import Resampling

    return image.resize(resized_size(image.width, image.height, shorter), Resampling.BILINEAR)


def crop_image(image: Image, side: int) -> Image:
    """The square of `side` pixels in the middle. Raises UsageError where the image is smaller."""
    if min(image.size) < side:
        raise UsageError(f"an image of {image.width} × {image.height} has no square of {side}; resize it first")
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def normalise_image(image: Image) -> torch.Tensor:
    """x[3, H, W], float32: each channel of 0 … 255 over 255, less its mean, over its standard deviation."""
    import numpy as np
    import torch

    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    mean, stdev = (255 * np.array(v, dtype=np.float32) for v in (MEAN, STDEV))
    return torch.from_numpy(np.ascontiguousarray(((pixels - mean) / stdev).transpose(2, 0, 1)))


def filter_taps(size: int, resized: int) -> int:
    """Weights that are not zero of the antialiased bilinear filter along one side, summed over the resized pixels.

    An output pixel sees the input pixels whose centres lie less than max(1, size/resized) from its own.
    """
    scale = size / resized
    support = max(1.0, scale)
    taps = 0
    for i in range(resized):
        centre = (i + 0.5) * scale
        first = max(0, math.floor(centre - support - 0.5) + 1)
        last = min(size - 1, math.ceil(centre + support - 0.5) - 1)
        taps += last - first + 1
    return taps


def image_work(width: int, height: int, shorter: int, side: int) -> dict[str, StepWork]:
    """Work of ``resize``, ``crop`` and ``normalise`` of one image with three channels of one byte.

    The filter is separable: along the rows first, then along the columns of what that gave. A crop copies its square; a
    normalisation converts, subtracts and divides.
    """
    new_width, new_height = resized_size(width, height, shorter)
    macs = 3 * (height * filter_taps(width, new_width) + new_width * filter_taps(height, new_height))
    between = 3 * height * new_width
    pixels = 3 * side * side
    return {
        "resize": StepWork(macs, 0, 3 * width * height + 2 * between + 3 * new_width * new_height),
        "crop": StepWork(0, 0, 2 * pixels),
        "normalise": StepWork(0, 2 * pixels, pixels + 4 * pixels),
    }


def lower_case(text: str) -> str:
    """The text without capitals."""
    return text.lower()


def tokenise(text: str) -> list[str]:
    """Words and single signs of a lower-case text."""
    return _TOKEN.findall(text)


def drop_stop_words(tokens: Iterable[str]) -> list[str]:
    """The tokens that are no stop words."""
    return [token for token in tokens if token not in STOP_WORDS]


def vocabulary_of(tokens: Sequence[str]) -> dict[str, int]:
    """A number for every token, from 1 on in the order of appearance; 0 is for unknown ones."""
    return {token: number for number, token in enumerate(dict.fromkeys(tokens), start=1)}


def token_numbers(tokens: Sequence[str], vocabulary: Mapping[str, int]) -> torch.Tensor:
    """x[S], int64: the tokens' numbers, 0 for one that the vocabulary lacks."""
    import torch

    return torch.tensor([vocabulary.get(token, 0) for token in tokens], dtype=torch.int64)

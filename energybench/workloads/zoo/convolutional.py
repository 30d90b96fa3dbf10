"""Published convolutional networks, written out from their papers: nothing is downloaded, weights are random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


def _conv_norm(
    c_in: int,
    c_out: int,
    kernel: int | tuple[int, int],
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(c_in, c_out, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(c_out),
    ]
    if activation is not None:
        layers.append(activation())
    return nn.Sequential(*layers)


class Vgg16(nn.Module):
    """VGG-16 for x[N, 3, 224, 224] (Simonyan and Zisserman 2014, configuration D)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        c_in = 3
        for repeats, c_out in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
            for _ in range(repeats):
                layers += [nn.Conv2d(c_in, c_out, 3, padding=1), nn.ReLU()]
                c_in = c_out
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """x[N, 3, 224, 224] → logits[N, classes]."""
        logits: Tensor = self.classifier(self.features(x).flatten(1))
        return logits


class _Bottleneck(nn.Module):
    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__()
        c_out = 4 * width
        self.body = nn.Sequential(
            _conv_norm(c_in, width, 1),
            _conv_norm(width, width, 3, stride=stride, padding=1),
            _conv_norm(width, c_out, 1, activation=None),
        )
        same = stride == 1 and c_in == c_out
        self.shortcut = nn.Identity() if same else _conv_norm(c_in, c_out, 1, stride=stride, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class ResNet50(nn.Module):
    """ResNet-50 for x[N, 3, 224, 224], stride in the 3×3 convolution (He et al. 2015)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv_norm(3, 64, 7, stride=2, padding=3), nn.MaxPool2d(3, 2, 1)]
        c_in = 64
        for width, repeats, first_stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for i in range(repeats):
                layers.append(_Bottleneck(c_in, width, first_stride if i == 0 else 1))
                c_in = 4 * width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(c_in, classes)

    def forward(self, x: Tensor) -> Tensor:
        """x[N, 3, 224, 224] → logits[N, classes]."""
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


class _InvertedResidual(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = c_in * expansion
        layers = [] if expansion == 1 else [_conv_norm(c_in, hidden, 1, activation=nn.ReLU6)]
        layers += [
            _conv_norm(hidden, hidden, 3, stride=stride, padding=1, groups=hidden, activation=nn.ReLU6),
            _conv_norm(hidden, c_out, 1, activation=None),
        ]
        self.body = nn.Sequential(*layers)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """MobileNetV2 for x[N, 3, 224, 224] (Sandler et al. 2018, table 2)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv_norm(3, 32, 3, stride=2, padding=1, activation=nn.ReLU6)]
        c_in = 32
        for t, c, n, s in (
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
        ):  # fmt: skip
            for i in range(n):
                layers.append(_InvertedResidual(c_in, c, s if i == 0 else 1, t))
                c_in = c
        layers.append(_conv_norm(c_in, 1280, 1, activation=nn.ReLU6))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:
        """x[N, 3, 224, 224] → logits[N, classes]."""
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


class _LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of x[N, C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _ConvNextBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width, eps=1e-6), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.scale = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.scale * self.mlp(self.depthwise(x).permute(0, 2, 3, 1))
        return x + y.permute(0, 3, 1, 2)


class ConvNextTiny(nn.Module):
    """ConvNeXt-T for x[N, 3, 224, 224] (Liu et al. 2022)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 96, 4, 4), _LayerNorm2d(96, eps=1e-6)]
        c_in = 96
        for width, repeats in ((96, 3), (192, 3), (384, 9), (768, 3)):
            if width != c_in:
                layers += [_LayerNorm2d(c_in, eps=1e-6), nn.Conv2d(c_in, width, 2, 2)]
            layers += [_ConvNextBlock(width) for _ in range(repeats)]
            c_in = width
        self.features = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(c_in, eps=1e-6)
        self.classifier = nn.Linear(c_in, classes)

    def forward(self, x: Tensor) -> Tensor:
        """x[N, 3, 224, 224] → logits[N, classes]."""
        logits: Tensor = self.classifier(self.norm(self.features(x).mean((2, 3))))
        return logits


class _Branches(nn.Module):
    """Branches side by side, their channels joined."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


def _pooled(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(nn.AvgPool2d(3, 1, 1), _conv_norm(c_in, c_out, 1))


def _inception_a(c_in: int, pool: int) -> nn.Module:
    return _Branches(
        _conv_norm(c_in, 64, 1),
        nn.Sequential(_conv_norm(c_in, 48, 1), _conv_norm(48, 64, 5, padding=2)),
        nn.Sequential(_conv_norm(c_in, 64, 1), _conv_norm(64, 96, 3, padding=1), _conv_norm(96, 96, 3, padding=1)),
        _pooled(c_in, pool),
    )


def _chain(*sizes: int, kernels: Sequence[tuple[int, int]]) -> nn.Sequential:
    return nn.Sequential(
        *(
            _conv_norm(a, b, k, padding=(k[0] // 2, k[1] // 2))
            for a, b, k in zip(sizes[:-1], sizes[1:], kernels, strict=True)
        )
    )


def _inception_c(c: int) -> nn.Module:
    return _Branches(
        _conv_norm(768, 192, 1),
        _chain(768, c, c, 192, kernels=((1, 1), (1, 7), (7, 1))),
        _chain(768, c, c, c, c, 192, kernels=((1, 1), (7, 1), (1, 7), (7, 1), (1, 7))),
        _pooled(768, 192),
    )


def _inception_e(c_in: int) -> nn.Module:
    def split() -> nn.Module:
        return _Branches(_conv_norm(384, 384, (1, 3), padding=(0, 1)), _conv_norm(384, 384, (3, 1), padding=(1, 0)))

    return _Branches(
        _conv_norm(c_in, 320, 1),
        nn.Sequential(_conv_norm(c_in, 384, 1), split()),
        nn.Sequential(_conv_norm(c_in, 448, 1), _conv_norm(448, 384, 3, padding=1), split()),
        _pooled(c_in, 192),
    )


class InceptionV3(nn.Module):
    """Inception v3 for x[N, 3, 299, 299], without the auxiliary classifier (Szegedy et al. 2015)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _conv_norm(3, 32, 3, stride=2),
            _conv_norm(32, 32, 3),
            _conv_norm(32, 64, 3, padding=1),
            nn.MaxPool2d(3, 2),
            _conv_norm(64, 80, 1),
            _conv_norm(80, 192, 3),
            nn.MaxPool2d(3, 2),
            _inception_a(192, 32),
            _inception_a(256, 64),
            _inception_a(288, 64),
            _Branches(
                _conv_norm(288, 384, 3, stride=2),
                nn.Sequential(
                    _conv_norm(288, 64, 1), _conv_norm(64, 96, 3, padding=1), _conv_norm(96, 96, 3, stride=2)
                ),
                nn.MaxPool2d(3, 2),
            ),
            *(_inception_c(c) for c in (128, 160, 160, 192)),
            _Branches(
                nn.Sequential(_conv_norm(768, 192, 1), _conv_norm(192, 320, 3, stride=2)),
                nn.Sequential(
                    _chain(768, 192, 192, 192, kernels=((1, 1), (1, 7), (7, 1))), _conv_norm(192, 192, 3, stride=2)
                ),
                nn.MaxPool2d(3, 2),
            ),
            _inception_e(1280),
            _inception_e(2048),
        )
        self.classifier = nn.Linear(2048, classes)

    def forward(self, x: Tensor) -> Tensor:
        """x[N, 3, 299, 299] → logits[N, classes]."""
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


class _DenseLayer(nn.Module):
    def __init__(self, c_in: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(c_in),
            nn.ReLU(),
            nn.Conv2d(c_in, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth),
            nn.ReLU(),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.body(x)], 1)


class DenseNet121(nn.Module):
    """DenseNet-121 for x[N, 3, 224, 224] (Huang et al. 2016)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv_norm(3, 64, 7, stride=2, padding=3), nn.MaxPool2d(3, 2, 1)]
        c = 64
        for i, repeats in enumerate((6, 12, 24, 16)):
            if i:
                layers += [
                    nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, c // 2, 1, bias=False), nn.AvgPool2d(2)
                ]  # fmt: skip
                c //= 2
            for _ in range(repeats):
                layers.append(_DenseLayer(c, 32))
                c += 32
        self.features = nn.Sequential(*layers, nn.BatchNorm2d(c), nn.ReLU())
        self.classifier = nn.Linear(c, classes)

    def forward(self, x: Tensor) -> Tensor:
        """x[N, 3, 224, 224] → logits[N, classes]."""
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


def _double_conv(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(_conv_norm(c_in, c_out, 3, padding=1), _conv_norm(c_out, c_out, 3, padding=1))


class UNet(nn.Module):
    """U-Net for x[N, 3, H, H] with H a multiple of 16 (Ronneberger et al. 2015, with padding and batch norm)."""

    def __init__(self, classes: int = 1) -> None:
        super().__init__()
        widths = (64, 128, 256, 512, 1024)
        self.down = nn.ModuleList(_double_conv(a, b) for a, b in zip((3, *widths[:-1]), widths, strict=True))
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in pairs)
        self.join = nn.ModuleList(_double_conv(a, b) for a, b in pairs)
        self.output = nn.Conv2d(64, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x[N, 3, H, H] → y[N, classes, H, H]."""
        skipped: list[Tensor] = []
        for i, down in enumerate(self.down):
            x = down(nn.functional.max_pool2d(x, 2) if i else x)
            skipped.append(x)
        skipped.pop()
        for up, join in zip(self.up, self.join, strict=True):
            x = join(torch.cat([skipped.pop(), up(x)], 1))
        y: Tensor = self.output(x)
        return y

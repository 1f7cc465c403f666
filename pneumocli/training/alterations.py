"""How a training film may look otherwise: resolution, sharpness, tone, noise, JPEG.

What tells the classes of a set apart without a lung, its encoder and its sharpness (docs/data.md), is varied here, so
that a network cannot lean on it. All of it happens to the square that the network will see, in whole grey levels and on
the CPU, wherever crops are resized otherwise: so a film has the same pixels whatever the device.
"""

import io
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from PIL import Image, ImageFilter

from pneumocli.core.config import TrainConfig
from pneumocli.data.film import Pixels

_SHARPENED_RADIUS = 1.0  # pixels


@dataclass(frozen=True, slots=True)
class Alterations:
    """How far squares may be altered; every 0 is off. See :class:`pneumocli.core.config.TrainConfig`.

    Attributes:
        resample: Largest share of the side that is lost on the way down and up.
        sharpness: Largest blur (radius in pixels) and largest sharpening (share of the edges that is added).
        tone: Largest change of gamma (as a power of 2), contrast (share) and brightness (share of half the range).
        noise: Largest standard deviation, in grey levels.
        jpeg_quality: Lowest quality of the re-encoding.
    """

    resample: float = 0.0
    sharpness: float = 0.0
    tone: float = 0.0
    noise: float = 0.0
    jpeg_quality: int = 0

    @classmethod
    def of(cls, config: TrainConfig) -> Self:
        """What a run's settings ask for."""
        return cls(config.resample, config.sharpness, config.tone, config.noise, config.jpeg_quality)

    def __bool__(self) -> bool:
        return any((self.resample, self.sharpness, self.tone, self.noise, self.jpeg_quality))

    def draw(self) -> "Alteration":
        """One alteration, by torch's global generator: evenly between none and the largest, in each respect."""
        lost, sharpness, gamma, contrast, brightness, noise, coarse = torch.rand(7).tolist()
        return Alteration(
            resolution=1 - self.resample * lost,
            sharpness=self.sharpness * (2 * sharpness - 1),
            gamma=2 ** (self.tone * (2 * gamma - 1)),
            contrast=1 + self.tone * (2 * contrast - 1),
            brightness=self.tone * (brightness - 0.5),
            noise=self.noise * noise,
            noise_seed=int(torch.randint(2**62, ())),
            quality=round(self.jpeg_quality + (100 - self.jpeg_quality) * coarse) if self.jpeg_quality else None,
        )


@dataclass(frozen=True, slots=True)
class Alteration:
    """An alteration as it was drawn.

    Attributes:
        resolution: Share of the side that is kept on the way down, above 0, at most 1.
        sharpness: Below 0 the radius of a blur in pixels, above 0 the share of the edges that is added.
        gamma: Exponent of the grey levels, above 0.
        contrast: Factor around middle grey.
        brightness: Added, on a scale where the range is 1.
        noise: Standard deviation in grey levels.
        noise_seed: Of the noise.
        quality: JPEG quality of the re-encoding; ``None`` for none.
    """

    resolution: float
    sharpness: float
    gamma: float
    contrast: float
    brightness: float
    noise: float
    noise_seed: int
    quality: int | None

    def applied_to(self, square: Pixels) -> Pixels:
        """The altered square, uint8 (S,S): as a camera and a file do it, optics first, the encoder last."""
        image = Image.fromarray(square)
        image = self._sharpened(self._resampled(image)).point(self._tones())
        return self._encoded(self._with_noise(np.array(image)))

    def _resampled(self, image: Image.Image) -> Image.Image:
        side = max(1, round(image.width * self.resolution))
        if side == image.width:
            return image
        small = image.resize((side, side), Image.Resampling.BILINEAR)
        return small.resize(image.size, Image.Resampling.BICUBIC)

    def _sharpened(self, image: Image.Image) -> Image.Image:
        if self.sharpness < 0:
            return image.filter(ImageFilter.GaussianBlur(-self.sharpness))
        percent = round(100 * self.sharpness)
        return image.filter(ImageFilter.UnsharpMask(_SHARPENED_RADIUS, percent, threshold=0)) if percent else image

    def _tones(self) -> list[int]:
        """The new grey level of each of the 256."""
        levels = (np.arange(256) / 255) ** self.gamma
        levels = (levels - 0.5) * self.contrast + 0.5 + self.brightness
        tones: list[int] = (levels.clip(0, 1) * 255).round().astype(int).tolist()
        return tones

    def _with_noise(self, pixels: Pixels) -> Pixels:
        if not self.noise:
            return pixels
        noise = np.random.default_rng(self.noise_seed).standard_normal(pixels.shape, np.float32)
        return (pixels + self.noise * noise).round().clip(0, 255).astype(np.uint8)

    def _encoded(self, pixels: Pixels) -> Pixels:
        if self.quality is None:
            return pixels
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "JPEG", quality=self.quality)
        return np.array(Image.open(content))

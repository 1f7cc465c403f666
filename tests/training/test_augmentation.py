"""data/augmentation.py: crops are the same wherever they are resized."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2

from pneumocli.training import augmentation
from pneumocli.training.augmentation import Augmentation, Crop, Crops, draw, resized, resized_at_once, together
from tests.helpers.meta_memory import MemoryInUse

# torch resizes 8-bit pictures in whole numbers where the CPU has AVX2, elsewhere in floats that it rounds at the end.
OFF_BY = 0 if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512") else 1


def film(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def off(one: torch.Tensor, other: torch.Tensor) -> int:
    assert one.shape == other.shape
    assert one.dtype == other.dtype == torch.uint8
    return int((one.int() - other.int()).abs().max())


def test_it_is_the_assignments_augmentation():
    theirs = v2.Compose([v2.RandomResizedCrop(48, antialias=True), v2.RandomHorizontalFlip()])
    flipped = 0
    for seed in range(40):
        pixels = film(90, 70 + seed, seed)
        torch.manual_seed(seed)
        expected = theirs(torch.from_numpy(pixels).unsqueeze(0))
        torch.manual_seed(seed)
        crop = draw(pixels)
        assert torch.equal(resized(crop, 48), expected)
        flipped += crop.flipped
    assert 10 < flipped < 30


def test_crops_are_never_smaller_than_the_smallest_scale_and_unmirrored_ones_are_the_same_crops():
    pixels = film(100, 100)
    drawn = []
    for mirror in (True, False):
        torch.manual_seed(0)
        drawn.append([draw(pixels, Augmentation(crop_scale=0.5, mirror=mirror)) for _ in range(40)])
    assert min(crop.pixels.size for crop in drawn[0]) >= 0.48 * pixels.size  # a crop's sides are whole pixels
    assert all(np.array_equal(ours.pixels, theirs.pixels) for ours, theirs in zip(*drawn, strict=True))
    assert any(crop.flipped for crop in drawn[0])
    assert not any(crop.flipped for crop in drawn[1])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 420), st.integers(1, 420), st.booleans()), min_size=1, max_size=5),
    st.sampled_from([8, 48, 64, 100, 224]),
)
def test_a_batch_resized_at_once_equals_its_crops_one_by_one(shapes: list[tuple[int, int, bool]], size: int):
    # finer weights than float32 adds up exactly: a level at the most
    allowed = 1 if max(max(shape[:2]) for shape in shapes) > 4 * size else OFF_BY
    crops = [Crop(film(height, width, height), flipped) for height, width, flipped in shapes]
    one_by_one = torch.stack([resized(crop, size) for crop in crops])
    assert off(resized_at_once(together(crops), size), one_by_one) <= allowed


def test_the_company_a_crop_keeps_changes_nothing():
    crops = [Crop(film(*shape), False) for shape in ((300, 200), (37, 411), (224, 224))]
    at_once = resized_at_once(together(crops), 64)
    for number, crop in enumerate(crops):
        assert torch.equal(resized_at_once(together([crop]), 64)[0], at_once[number])


def test_a_large_batch_is_resized_in_slices_with_the_same_pixels(monkeypatch: pytest.MonkeyPatch):
    crops = [Crop(film(40 + 3 * number, 90 - 5 * number, number), number % 3 == 0) for number in range(10)]
    whole = resized_at_once(together(crops), 48)
    monkeypatch.setattr(augmentation, "_AT_ONCE", 4)
    assert torch.equal(resized_at_once(together(crops), 48), whole)


@pytest.mark.parametrize("count", [2**31 - 150, 2**31])
def test_places_are_counted_in_64_bits_where_32_would_not_do(count: int):
    """16,000 films and more on a GPU; in 64 bits the pixels are the same."""
    starts, widths, sizes = np.array([0, 500]), np.array([20, 20]), np.array([[9, 10], [7, 8]])
    crops = Crops.of(torch.empty(count, dtype=torch.uint8, device="meta"), starts, widths, sizes, [False, True])
    assert crops.starts.dtype == crops.strides.dtype == torch.int64
    few = Crops.of(torch.from_numpy(film(1, 1000).ravel()), starts, widths, sizes, [False, True])
    assert few.starts.dtype == torch.int32
    many = few._replace(starts=crops.starts, strides=crops.strides)
    assert torch.equal(resized_at_once(many, 48), resized_at_once(few, 48))


def peak_of(count: int, places: torch.dtype = torch.int32) -> int:
    """Bytes that it takes to resize so many crops of 384 x 500 pixels, which are given beforehand, to 224."""
    height, width = 384, 500
    crops = Crops(
        torch.empty(count * height * width, dtype=torch.uint8, device="meta"),
        torch.empty(count, dtype=places, device="meta"),
        torch.empty(count, dtype=places, device="meta"),
        torch.empty((count, 2), dtype=torch.int64, device="meta"),
        torch.empty(count, dtype=torch.bool, device="meta"),
        (height, width),
    )
    with MemoryInUse() as memory:
        resized_at_once(crops, 224)
    return memory.peak


def test_the_memory_that_resizing_takes_does_not_grow_with_the_batch(monkeypatch: pytest.MonkeyPatch):
    one_slice, eight = peak_of(128), peak_of(1024)
    assert one_slice < 0.21e9
    assert eight < one_slice + 1024 * 224 * 224, "the squares themselves, uint8"
    assert peak_of(128, torch.int64) < 0.29e9, "of films of more than 2 GB"
    monkeypatch.setattr(augmentation, "_AT_ONCE", 1024)
    assert peak_of(1024) > 7 * one_slice, "what slices are for"


@pytest.fixture(params=["tf32", "tf32 by the setting of its own"])
def coarse_products(request: pytest.FixtureRequest) -> Iterator[None]:
    """What TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1, in some containers, sets for every program; and what a notebook sets.

    After the latter torch raises where it is asked for the former: ``torch.get_float32_matmul_precision()``.
    """
    own = torch.backends.cuda.matmul
    before = own.fp32_precision
    if request.param == "tf32":
        torch.set_float32_matmul_precision("medium")
        yield
        torch.set_float32_matmul_precision("highest")
    else:
        own.fp32_precision = "tf32"
        yield
        own.fp32_precision = before


def test_a_setting_for_coarser_products_changes_nothing(coarse_products: None, monkeypatch: pytest.MonkeyPatch):
    crops = [Crop(film(384, 500), False), Crop(film(120, 90), True)]
    used, weighted = [], augmentation._weighted

    def noting(sums: torch.Tensor, one: torch.Tensor) -> torch.Tensor:
        used.append((torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision))
        return weighted(sums, one)

    monkeypatch.setattr(augmentation, "_weighted", noting)
    one_by_one = torch.stack([resized(crop, 224) for crop in crops])
    assert off(resized_at_once(together(crops), 224), one_by_one) <= OFF_BY
    assert used == [("ieee", "ieee")] * 2  # not every CPU has coarser products that would change a pixel
    assert torch.backends.cuda.matmul.fp32_precision == "tf32"


@pytest.mark.parametrize("level", [0, 1, 254, 255])
def test_an_even_film_stays_even(level: int):
    crops = together([Crop(np.full((317, 203), level, np.uint8), False)])
    assert (resized_at_once(crops, 224) == level).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_resizes_as_the_cpu_does(coarse_products: None):
    crops = together([Crop(film(384 - 9 * number, 120 + 11 * number, number), number % 2 == 0) for number in range(32)])
    on_gpu = resized_at_once(crops.to(torch.device("cuda")), 224)
    assert torch.equal(on_gpu.cpu(), resized_at_once(crops, 224))

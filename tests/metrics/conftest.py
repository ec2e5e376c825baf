import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume
from hypothesis import strategies as st


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def definition():
    """The literal, slow definition of AUPIMO."""
    return _load("definition")


@pytest.fixture
def test_set():
    """Make maps and masks in which the defects range from missed to found."""

    def make(num_normal=8, num_anomalous=8, size=128, seed=0, dtype=torch.float32):
        generator = torch.Generator().manual_seed(seed)
        number = num_normal + num_anomalous
        maps = torch.randn(number, size, size, generator=generator, dtype=torch.float64)
        masks = torch.zeros(number, size, size, dtype=torch.bool)
        for position, index in enumerate(range(num_normal, number)):
            left, width = size // 8 + position, size // 6
            masks[index, left : left + width, left : left + 2 * width] = True
            maps[index][masks[index]] += 8 * position / max(1, num_anomalous - 1)
        return maps.to(dtype), masks

    return make


@pytest.fixture
def ragged_set():
    """Make images of different sizes with many ties."""

    def make(seed=0, levels=40):
        random = np.random.default_rng(seed)
        sizes = [(20, 30), (7, 9), (33, 12), (20, 30), (16, 16), (7, 9), (25, 40)]
        maps = [random.integers(0, levels, size).astype(np.float32) for size in sizes]
        masks = [np.zeros(size, dtype=bool) for size in sizes]
        for index in (1, 4, 6):
            masks[index][2:6, 3:7] = True
            maps[index][masks[index]] += levels // 3
        return maps, masks

    return make


@st.composite
def _tied_sets(draw, same_size=False):
    """Small images with few distinct scores, the first normal, the last anomalous, and FPR bounds."""
    size = st.tuples(st.integers(1, 5), st.integers(1, 6))
    one_size = draw(size)
    number = draw(st.integers(2, 6))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.integers(2, 12))
    maps, masks = [], []
    for index in range(number):
        shape = one_size if same_size else draw(size)
        maps.append(random.integers(0, levels, shape).astype(draw(st.sampled_from([np.float32, np.float64]))))
        anomalous = index == number - 1 or (index and random.random() < 0.5)
        mask = random.random(shape) < 0.4 if anomalous else np.zeros(shape, dtype=bool)
        if index == number - 1:
            mask.flat[random.integers(mask.size)] = True
        masks.append(mask)
    lower = draw(st.floats(0.001, 0.9))
    upper = draw(st.floats(min(1.0, lower * 1.05), 1.0))
    assume(lower * 1.01 < upper)
    distinct = {v for a, m in zip(maps, masks, strict=True) if not m.any() for v in a.flat}
    assume(len(distinct) > 1)
    return maps, masks, (lower, upper)


@pytest.fixture(scope="session")
def tied_sets():
    """A strategy for hypothesis."""
    return _tied_sets

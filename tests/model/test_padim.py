import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from aupimo_helpers import data
from aupimo_helpers.errors import InputError, MissingError
from aupimo_helpers.model import (
    PadimSettings,
    Predictions,
    fitted_padim,
    keep,
    make_engine,
    make_padim,
    predict,
)
from aupimo_helpers.model import padim as module

pytestmark = pytest.mark.slow

SETTINGS = PadimSettings(image_size=(64, 64))


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    """An own data set of a few small images, one of them in another size."""
    root = tmp_path_factory.mktemp("datasets")
    folder = root / "own" / "tiles"
    random = np.random.default_rng(0)

    def save(name, pixels):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)

    def tile(size=64):
        return random.normal(128, 20, (size, size, 3)).clip(0, 255)

    for i in range(6):
        save(f"train/good/{i}.png", tile())
    for i in range(3):
        save(f"test/good/{i}.png", tile(80 if i == 2 else 64))
    for defect in ("dent", "spot"):
        for i in range(2):
            pixels, mask = tile(), np.zeros((64, 64))
            mask[20:36, 10 + 10 * i : 30 + 10 * i] = 255
            pixels[mask > 0] = pixels[mask > 0] / 2
            save(f"test/{defect}/{i}.png", pixels)
            save(f"ground_truth/{defect}/{i}_mask.png", mask)
    return root


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def predictions(data_root, results):
    return predict("own/tiles", data_root, results, SETTINGS)


def test_predictions_are_maps_masks_and_relative_paths(predictions):
    assert predictions.anomaly_maps.shape == predictions.masks.shape == (7, 64, 64)
    assert predictions.anomaly_maps.dtype == torch.float32
    assert predictions.masks.dtype == torch.bool
    assert predictions.image_paths[0] == "own/tiles/test/dent/0.png"
    assert predictions.defects == ["dent", "dent", "good", "good", "good", "spot", "spot"]
    assert predictions.is_anomalous.tolist() == [True, True, False, False, False, True, True]
    assert predictions.masks.sum(dim=(1, 2)).tolist() == [320, 320, 0, 0, 0, 320, 320]


def test_the_maps_are_raw_and_find_the_defects(predictions):
    maps, masks = predictions.anomaly_maps, predictions.masks
    assert maps.max() > 1  # not clamped
    assert maps[masks].mean() > 2 * maps[~masks].mean()


def test_two_trainings_give_the_same_maps_bit_by_bit(data_root, tmp_path, predictions):
    again = predict("own/tiles", data_root, tmp_path, SETTINGS)
    assert torch.equal(again.anomaly_maps, predictions.anomaly_maps)
    assert again.image_paths == predictions.image_paths


def test_anomalibs_own_calls_give_the_same_maps(data_root, tmp_path, predictions):
    padim, engine = make_padim(SETTINGS), make_engine(tmp_path)
    datamodule = data.datamodule("own/tiles", data_root, image_size=(64, 64))
    engine.fit(model=padim, datamodule=datamodule)
    batches = engine.predict(model=padim, datamodule=datamodule)
    assert torch.equal(Predictions.from_batches(batches, data_root).anomaly_maps, predictions.anomaly_maps)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_another_seed_gives_other_maps(data_root, results, predictions):
    other = predict("own/tiles", data_root, results, replace(SETTINGS, seed=1))
    assert not torch.equal(other.anomaly_maps, predictions.anomaly_maps)


def test_a_fitted_model_from_the_cache_is_fitted(data_root, results, tmp_path, predictions, monkeypatch):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(module, "_fit", refuse)
    padim = fitted_padim("own/tiles", data_root, results, SETTINGS)
    monkeypatch.setattr(type(padim), "fit", None)  # anomalib would call it on a model that says it is not fitted
    datamodule = data.datamodule("own/tiles", data_root, image_size=(64, 64))
    engine = make_engine(tmp_path)
    engine.test(model=padim, datamodule=datamodule, verbose=False)
    batches = engine.predict(model=padim, datamodule=datamodule)
    assert torch.equal(Predictions.from_batches(batches, data_root).anomaly_maps, predictions.anomaly_maps)


def test_fitted_padim_refuses_what_the_cache_cannot_know(data_root, results):
    with pytest.raises(InputError, match="cannot take pre_processor"):
        fitted_padim("own/tiles", data_root, results, SETTINGS, pre_processor=False)


def test_a_cached_prediction_needs_no_anomalib(run_python, data_root, results, predictions):
    code = f"""
        import sys
        from aupimo_helpers.model import PadimSettings, predict
        predictions = predict("own/tiles", {str(data_root)!r}, {str(results)!r}, PadimSettings(image_size=(64, 64)))
        assert "anomalib" not in sys.modules and "lightning" not in sys.modules
        print(len(predictions))
    """
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(predictions)


def test_changed_data_are_predicted_anew(data_root, tmp_path, predictions, monkeypatch):
    copy = tmp_path / "datasets"
    built = []
    monkeypatch.setattr(module, "fitted_padim", lambda *_: None)
    monkeypatch.setattr(module, "_predict", lambda *_: built.append(1) or predictions)
    subprocess.run(["cp", "-r", data_root, copy], check=True)
    for _ in range(2):
        predict("own/tiles", copy, tmp_path / "results", SETTINGS)
    assert len(built) == 1
    mask = copy / "own" / "tiles" / "ground_truth" / "dent" / "0_mask.png"
    Image.fromarray(255 - np.asarray(Image.open(mask))).save(mask)
    predict("own/tiles", copy, tmp_path / "results", SETTINGS)
    assert len(built) == 2


@pytest.mark.parametrize("package", ["torch", "torchvision", "anomalib", "timm"])
def test_other_versions_predict_anew(data_root, tmp_path, predictions, monkeypatch, package):
    built = []
    monkeypatch.setattr(module, "fitted_padim", lambda *_: None)
    monkeypatch.setattr(module, "_predict", lambda *_: built.append(1) or predictions)
    predict("own/tiles", data_root, tmp_path, SETTINGS)
    real = module.versions
    monkeypatch.setattr(module, "versions", lambda packages: real(packages) | {package: "0.0.1"})
    predict("own/tiles", data_root, tmp_path, SETTINGS)
    assert len(built) == 2


def test_an_unknown_data_set_is_named(tmp_path):
    with pytest.raises(MissingError, match="synthetic/lether"):
        predict("synthetic/lether", tmp_path, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def fitted(data_root, tmp_path_factory):
    """A model and its predictions, made with anomalib's own calls."""
    padim, engine = make_padim(SETTINGS), make_engine(tmp_path_factory.mktemp("engine"))
    datamodule = data.datamodule("own/tiles", data_root, image_size=(64, 64))
    engine.fit(model=padim, datamodule=datamodule)
    return padim, Predictions.from_batches(engine.predict(model=padim, datamodule=datamodule), data_root)


def test_a_model_that_is_kept_is_not_trained_again(data_root, tmp_path, predictions, fitted, monkeypatch):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(module, "_fit", refuse)
    monkeypatch.setattr(module, "_predict", refuse)
    for _ in range(2):
        keep(*fitted, "own/tiles", data_root, tmp_path, SETTINGS)
    kept = fitted_padim("own/tiles", data_root, tmp_path, SETTINGS)
    assert torch.equal(kept.model.gaussian.inv_covariance, fitted[0].model.gaussian.inv_covariance)
    kept = predict("own/tiles", data_root, tmp_path, SETTINGS)
    assert torch.equal(kept.anomaly_maps, predictions.anomaly_maps)
    assert torch.equal(kept.masks, predictions.masks)
    assert kept.image_paths == predictions.image_paths


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"pre_trained": False}, {"image_size": (32, 32)}, {"layers": ("blocks.1",), "n_features": 20}],
)
def test_another_model_is_not_kept(data_root, tmp_path, fitted, change):
    with pytest.raises(InputError, match="not the one that PadimSettings"):
        keep(*fitted, "own/tiles", data_root, tmp_path, replace(SETTINGS, **change))
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_not_fitted_is_not_kept(data_root, tmp_path, fitted):
    with pytest.raises(InputError, match=r"not the one that .* makes, fitted"):
        keep(make_padim(SETTINGS), fitted[1], "own/tiles", data_root, tmp_path, SETTINGS)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: replace(p, anomaly_maps=(p.anomaly_maps / p.anomaly_maps.max()).clamp(0, 1)),
        lambda p: replace(p, image_paths=p.image_paths[::-1]),
        lambda p: Predictions(p.anomaly_maps[:-1], p.masks[:-1], p.image_paths[:-1]),
    ],
)
def test_other_predictions_are_not_kept(data_root, tmp_path, fitted, change):
    with pytest.raises(InputError, match="not the raw maps of own/tiles"):
        keep(fitted[0], change(fitted[1]), "own/tiles", data_root, tmp_path, SETTINGS)
    assert not list(tmp_path.iterdir())


def test_predicted_batches_hold_no_images(data_root, tmp_path, fitted):
    datamodule = data.datamodule("own/tiles", data_root, image_size=(64, 64))
    for batch in make_engine(tmp_path).predict(model=fitted[0], datamodule=datamodule):
        assert batch.image.shape == (len(batch), 3, 64, 64)
        assert batch.image.untyped_storage().nbytes() == 4
        assert batch.anomaly_map.max() > 1


def test_batches_are_what_anomalibs_metrics_take(predictions):
    from anomalib.metrics import AUROC

    metric = AUROC(fields=["anomaly_map", "gt_mask"])
    # Beyond [0, 1] torchmetrics takes scores for logits, and above 17 their sigmoids are all the same.
    predictions = replace(predictions, anomaly_maps=predictions.anomaly_maps / predictions.anomaly_maps.max())
    batches = list(predictions.batches(batch_size=3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    for batch in batches:
        metric.update(batch)
    scores, labels = predictions.anomaly_maps.flatten(), predictions.masks.flatten()
    # The area under the ROC curve is the chance that a defective pixel outscores a normal one.
    order = scores.argsort()
    ranks = torch.empty_like(order).scatter_(0, order, torch.arange(1, len(order) + 1))
    positive = int(labels.sum())
    chance = (ranks[labels].sum() - positive * (positive + 1) / 2) / (positive * (len(labels) - positive))
    assert metric.compute().item() == pytest.approx(chance.item(), abs=1e-4)


def test_the_image_of_a_batch_takes_no_memory(predictions):
    batch = next(predictions.batches())
    assert batch.image.shape == (7, 3, 64, 64)
    assert batch.image.untyped_storage().nbytes() == 4


def test_collecting_batches_gives_the_predictions_back(predictions, tmp_path):
    again = Predictions.from_batches(predictions.batches(batch_size=2), tmp_path)
    assert torch.equal(again.anomaly_maps, predictions.anomaly_maps)
    assert torch.equal(again.masks, predictions.masks)
    assert again.image_paths == predictions.image_paths


def test_images_outside_the_data_root_are_named(predictions, tmp_path):
    batch = next(predictions.batches())
    batch.image_path = [str(tmp_path / "a" / f"{i}.png") for i in range(7)]
    with pytest.raises(InputError, match=r"0\.png is not below the data root"):
        Predictions.from_batches([batch], tmp_path / "b")


@pytest.mark.parametrize(
    ("maps", "masks", "paths", "message"),
    [
        (torch.zeros(2, 3, 3), torch.zeros(2, 3, 4, dtype=torch.bool), ("a", "b"), r"masks are \(2, 3, 4\)"),
        (torch.zeros(2, 3, 3), torch.zeros(2, 3, 3, dtype=torch.bool), ("a",), "there are 1 paths"),
        (torch.zeros(2, 3, 3), torch.zeros(2, 3, 3), ("a", "b"), "must be float32 and masks bool"),
        (torch.zeros(2, 3, 3).double(), torch.zeros(2, 3, 3).bool(), ("a", "b"), "torch.float64"),
    ],
)
def test_predictions_that_do_not_fit_together(maps, masks, paths, message):
    with pytest.raises(InputError, match=message):
        Predictions(maps, masks, paths)


def test_no_batches_are_no_predictions(tmp_path):
    with pytest.raises(InputError, match="test set is empty"):
        Predictions.from_batches([], tmp_path)


def test_a_run_says_nothing_but_what_is_new(run_python, data_root, tmp_path):
    code = f"""
        import logging, warnings
        from aupimo_helpers.model import PadimSettings, make_engine, make_padim
        from aupimo_helpers.session import quiet
        quiet()
        from anomalib.metrics import AUPIMO
        from lightning.pytorch import seed_everything
        from aupimo_helpers import data
        seed_everything(0)
        padim, engine = make_padim(PadimSettings(image_size=(64, 64))), make_engine({str(tmp_path)!r})
        datamodule = data.datamodule("own/tiles", {str(data_root)!r}, image_size=(64, 64))
        engine.fit(model=padim, datamodule=datamodule)
        engine.predict(model=padim, datamodule=datamodule)
        engine.test(model=padim, datamodule=datamodule, verbose=False)
        AUPIMO(num_thresholds=300)
        warnings.warn("a new warning")
        logging.getLogger("anomalib.engine.engine").warning("a new line")
    """
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 2, done.stderr
    assert "UserWarning: a new warning" in lines[0]
    assert lines[1].endswith("a new line")


@pytest.mark.parametrize("settings", [{"layers": ["blocks.2"]}, {"layers": None}, {"layers": "blocks.2"}, {}])
def test_settings_are_the_same_however_they_are_written(settings):
    assert PadimSettings(**settings, n_features=40, image_size=[64, 64]) == SETTINGS


def test_a_backbone_brings_its_layers():
    assert PadimSettings("resnet18") == PadimSettings("resnet18", ("layer1",), 64)
    assert PadimSettings("resnet18", ("layer2",)).n_features == 64
    assert PadimSettings("wide_resnet50_2", "layer1,layer2", 100).layers == ("layer1", "layer2")

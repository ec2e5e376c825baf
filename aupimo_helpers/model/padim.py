"""PaDiM from anomalib, and its predictions, from the cache if they are there.

anomalib takes about 10 s to import, so it is imported where it is needed: predictions that are in the cache come
without it.

PaDiM: Defard et al., "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and Localization",
ICPR workshops 2021, https://arxiv.org/abs/2011.08785.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from aupimo_helpers import data
from aupimo_helpers.data.paths import defect_types, relative_path
from aupimo_helpers.errors import InputError
from aupimo_helpers.model import cache
from aupimo_helpers.model.weights import (
    LITE0,
    load_imagenet_weights,
    make_pre_processor,
    require_layers,
    require_weights,
    spare_work,
)
from aupimo_helpers.session import quiet, versions

if TYPE_CHECKING:
    from anomalib.data import ImageBatch
    from anomalib.engine import Engine
    from anomalib.models import Padim

# Raised when what is kept, or how it is computed here, changes.
CACHE_FORMAT = 6

# The layers and the number of features that the course reads from a backbone, unless it is told others.
CHOSEN = {"tf_efficientnet_lite0": (("blocks.2",), 40), "resnet18": (("layer1",), 64)}


@dataclass(frozen=True)
class PadimSettings:
    """What the course's PaDiM is made from; the defaults are those of every notebook.

    Attributes:
        backbone: A timm model.
        layers: Its layers whose features are used, the one of the highest resolution first. Left out (or None, or
            empty): the course's choice for this backbone, ``blocks.2``, or ``layer1`` of ``resnet18``.
        n_features: How many of the layers' channels are kept, chosen at random. Left out: 40, or 64 of ``resnet18``.
        pre_trained: ImageNet weights instead of random ones. Those of the default backbone come with the course.
        seed: Of the random weights and the choice of channels.
        image_size: Height and width in pixels that images are resized to.

    Raises:
        InputError: If layers or features are left out for a backbone that the course has no choice for.

    Example:
        >>> PadimSettings("resnet18", pre_trained=False, seed=1)
        PadimSettings(backbone='resnet18', layers=('layer1',), n_features=64, pre_trained=False, seed=1, ...)
    """

    backbone: str = LITE0
    layers: tuple[str, ...] = ()
    n_features: int = 0
    pre_trained: bool = True
    seed: int = 0
    image_size: tuple[int, int] = (256, 256)

    def __post_init__(self) -> None:
        layers, n_features = self.layers, self.n_features
        if not layers or not n_features:
            if self.backbone not in CHOSEN:
                raise InputError(
                    f"The course has no layers of its own for the backbone {self.backbone}: set LAYERS and "
                    f"N_FEATURES, or take one of {', '.join(CHOSEN)}."
                )
            layers, n_features = layers or CHOSEN[self.backbone][0], n_features or CHOSEN[self.backbone][1]
        # papermill and JSON turn tuples into lists; a parameter on the command line is one string
        layers = tuple(layers.split(",") if isinstance(layers, str) else layers)
        height, width = self.image_size
        for name, value in (
            ("layers", layers),
            ("n_features", n_features),
            ("image_size", (int(height), int(width))),
        ):
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Predictions:
    """A model's raw anomaly maps of a test set, with the masks: what AUPIMO is computed from.

    Attributes:
        anomaly_maps: Scores, (N, H, W), float32, higher is more anomalous, in no particular unit.
        masks: True where a pixel is anomalous, (N, H, W), bool; all False for normal images.
        image_paths: One per image, relative to the data root: ``synthetic/leather/test/color/000.png``.

    Raises:
        InputError: If shapes, dtypes or the number of paths do not fit together.

    Example:
        >>> masks = torch.stack([torch.zeros(4, 4, dtype=torch.bool), torch.eye(4, dtype=torch.bool)])
        >>> predictions = Predictions(masks.float(), masks, ("own/a/test/good/0.png", "own/a/test/cut/0.png"))
        >>> predictions.defects
        ['good', 'cut']
    """

    anomaly_maps: Tensor
    masks: Tensor
    image_paths: tuple[str, ...]

    def __post_init__(self) -> None:
        maps, masks, paths = self.anomaly_maps, self.masks, self.image_paths
        if maps.ndim != 3 or maps.shape != masks.shape or len(maps) != len(paths):
            raise InputError(
                "Anomaly maps and masks must both be (N, H, W) with N paths, but maps are "
                f"{tuple(maps.shape)}, masks are {tuple(masks.shape)} and there are {len(paths)} paths."
            )
        if maps.dtype != torch.float32 or masks.dtype != torch.bool:
            raise InputError(
                f"Anomaly maps must be float32 and masks bool, but they are {maps.dtype} and {masks.dtype}."
            )

    def __len__(self) -> int:
        return len(self.image_paths)

    @property
    def defects(self) -> list[str]:
        """The defect type of each image: its folder's name, or ``good`` for normal images."""
        return defect_types(self.image_paths, self.is_anomalous.tolist())

    @property
    def is_anomalous(self) -> Tensor:
        """Whether an image has any anomalous pixel, (N,), bool."""
        return self.masks.flatten(1).any(dim=1)

    def batches(self, batch_size: int = 32) -> "Iterator[ImageBatch]":
        """Give the predictions as the batches that anomalib's metrics take; their ``image`` takes no memory."""
        from anomalib.data import ImageBatch

        for start in range(0, len(self), batch_size):
            part = slice(start, start + batch_size)
            maps, masks = self.anomaly_maps[part], self.masks[part]
            number, height, width = maps.shape
            yield ImageBatch(
                image=torch.zeros(1).expand(number, 3, height, width),
                anomaly_map=maps,
                gt_mask=masks,
                gt_label=self.is_anomalous[part],
                pred_score=maps.amax(dim=(1, 2)),  # as PaDiM defines it
                image_path=list(self.image_paths[part]),
            )

    @classmethod
    def from_batches(cls, batches: Iterable[Any], data_root: str | Path) -> "Predictions":
        """Collect what ``Engine.predict`` returned, on the CPU, paths relative to ``data_root``."""
        batches = list(batches)
        if not batches:
            raise InputError("There are no predictions to collect: the test set is empty.")
        paths: list[str] = [path for batch in batches for path in batch.image_path]
        return cls(
            anomaly_maps=torch.cat([batch.anomaly_map.detach().cpu().float() for batch in batches]),
            masks=torch.cat([batch.gt_mask.cpu().bool() for batch in batches]),
            image_paths=tuple(relative_path(path, data_root) for path in paths),
        )


def make_padim(settings: PadimSettings = PadimSettings(), **padim_arguments: Any) -> "Padim":  # noqa: ANN401
    """Set the seeds and make a PaDiM for raw scores, not fitted yet; the same one for the same settings."""
    quiet()
    _check(settings)
    from anomalib.models import Padim
    from lightning.pytorch import seed_everything

    arguments: dict[str, Any] = {
        "pre_processor": make_pre_processor(settings.backbone, settings.image_size),
        "post_processor": False,
        "evaluator": False,
        "visualizer": False,
    }
    seed_everything(settings.seed, verbose=False)
    model = Padim(
        backbone=settings.backbone,
        layers=list(settings.layers),
        n_features=settings.n_features,
        pre_trained=False,
        **(arguments | padim_arguments),
    )
    if settings.pre_trained:
        load_imagenet_weights(model)  # which spares it work, too
    else:
        spare_work(model)
    return model


def _check(settings: PadimSettings) -> None:
    require_layers(settings.backbone, settings.layers, settings.n_features)
    if settings.pre_trained:
        require_weights(settings.backbone)


def make_engine(
    results_dir: str | Path = "../results",
    *,
    accelerator: str = "cpu",
    **trainer_arguments: Any,  # noqa: ANN401
) -> "Engine":
    """Make an anomalib engine that trains and predicts without bars, summaries and checkpoint files.

    PaDiM is not trained by gradient steps, so there is nothing worth a checkpoint. Batches that it has predicted come
    without their images (zeros that take no memory): those of 1,000 images would fill 800 MB.

    Args:
        results_dir: anomalib makes its versioned folders in ``results_dir/anomalib``.
        accelerator: Where to compute, as Lightning names it. The CPU is fast enough for the course's PaDiM and gives
            every reader the same maps; ``"auto"`` takes a GPU where there is one.
        **trainer_arguments: Further arguments of Lightning's ``Trainer``.

    Example:
        >>> make_engine("results")
        <anomalib.engine.engine.Engine object at ...>
    """
    quiet()
    from anomalib.callbacks import ModelCheckpoint
    from anomalib.engine import Engine
    from lightning.pytorch.callbacks import LambdaCallback

    return Engine(
        # Given one that keeps nothing, anomalib does not add its own, which would write every fitted model to disk.
        callbacks=[ModelCheckpoint(save_top_k=0), LambdaCallback(on_predict_batch_end=_drop_images)],
        default_root_dir=Path(results_dir) / "anomalib",
        accelerator=accelerator,
        devices=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        **trainer_arguments,
    )


def _drop_images(_trainer: Any, _model: Any, batch: Any, *_: Any) -> None:  # noqa: ANN401
    batch.image = torch.zeros(1).expand(batch.image.shape)


def _entry_name(results_dir: str | Path, dataset: str, settings: PadimSettings, kind: str) -> Path:
    """Name the cache entry after all that a reader chooses; what else it depends on is in its key."""
    chosen = json.dumps(asdict(settings), sort_keys=True).encode()
    short = hashlib.blake2b(chosen, digest_size=4).hexdigest()
    name = f"{settings.backbone}-{'-'.join(settings.layers)}-seed{settings.seed}-{short}-{kind}"
    return Path(results_dir, "cache", *PurePosixPath(dataset).parts, name)


def _key(dataset: str, folder: Path, settings: PadimSettings) -> dict[str, Any]:
    return {
        "format": CACHE_FORMAT,
        "dataset": dataset,
        "data": cache.fingerprint(folder),
        "settings": asdict(settings),
        "versions": versions(("anomalib", "torch", "torchvision", "timm", "lightning")),
    }


def _load_or_build(
    kind: str,
    build: Callable[[], cache.Entry],
    dataset: str,
    data_root: str | Path,
    results_dir: str | Path,
    settings: PadimSettings,
) -> cache.Entry:
    name = _entry_name(results_dir, dataset, settings, kind)
    if not name.with_name(name.name + ".json").exists():
        _check(settings)  # before data are made or downloaded for it
    folder = data.make(dataset, data_root)
    return cache.load_or_build(name, _key(dataset, folder, settings), build)


def _fitted_entry(model: "Padim") -> cache.Entry:
    return dict(model.model.state_dict()), {"inverse_stride": list(model.model.gaussian.inv_covariance.stride())}


def _predicted_entry(predictions: Predictions) -> cache.Entry:
    tensors = {"anomaly_maps": predictions.anomaly_maps, "masks": predictions.masks}
    return tensors, {"image_paths": list(predictions.image_paths)}


def _fit(dataset: str, data_root: str | Path, settings: PadimSettings) -> "Padim":
    model = make_padim(settings)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        datamodule = data.datamodule(dataset, data_root, image_size=settings.image_size)
        # Validation is a pass over the test set, and tells a model without post-processor nothing.
        make_engine(scratch, limit_val_batches=0).fit(model=model, datamodule=datamodule)
    return model


def _predict(model: "Padim", dataset: str, data_root: str | Path, settings: PadimSettings) -> Predictions:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        datamodule = data.datamodule(dataset, data_root, image_size=settings.image_size)
        batches = make_engine(scratch).predict(model=model, datamodule=datamodule)
    return Predictions.from_batches(batches or [], data_root)


def fitted_padim(
    dataset: str,
    data_root: str | Path = "../datasets",
    results_dir: str | Path = "../results",
    settings: PadimSettings = PadimSettings(),
    **padim_arguments: Any,  # noqa: ANN401
) -> "Padim":
    """Give a PaDiM that is fitted to a data set's training images, from the cache if it has been fitted before.

    Arguments and errors are those of `predict`. ``padim_arguments`` may be ``post_processor``, ``evaluator`` and
    ``visualizer`` of ``anomalib.models.Padim``, all False by default; a post-processor comes without its statistics,
    which ``Engine.validate`` collects. The model is on the CPU; fitted anew or loaded, it gives the same maps.

    Raises:
        InputError: If an argument is given that would need another fit.

    Example:
        >>> model = fitted_padim("synthetic/leather", "datasets", "results")  # doctest: +SKIP
    """
    if unknown := set(padim_arguments) - {"post_processor", "evaluator", "visualizer"}:
        raise InputError(
            f"fitted_padim cannot take {', '.join(sorted(unknown))}: the fitted model depends on it, and the cache "
            "knows PadimSettings only. Use PadimSettings, or make_padim and an engine's fit."
        )
    tensors, extra = _load_or_build(
        "fitted", lambda: _fitted_entry(_fit(dataset, data_root, settings)), dataset, data_root, results_dir, settings
    )
    # All weights are in the cache, so that a model with ImageNet weights needs no hub either.
    model = make_padim(replace(settings, pre_trained=False), **padim_arguments)
    # One that a reader fitted without ImageNet weights has blocks and a kernel that are left out here.
    wanted = (*model.model.state_dict(), *(name for name in tensors if name.startswith("gaussian.")))
    model.model.load_state_dict({name: tensors[name] for name in wanted})
    # The inverse came out of the fit column by column, and is stored row by row. Products with it are rounded
    # differently in the two layouts; in its own, a loaded model gives the very maps of one that was fitted here.
    inverse = tensors["gaussian.inv_covariance"]
    model.model.gaussian.inv_covariance = torch.empty_strided(inverse.shape, extra["inverse_stride"]).copy_(inverse)
    model._is_fitted = torch.tensor([True])  # what anomalib sets after its own fit, so that it does not fit again
    return model


def keep(
    model: "Padim",
    predictions: Predictions,
    dataset: str,
    data_root: str | Path = "../datasets",
    results_dir: str | Path = "../results",
    settings: PadimSettings = PadimSettings(),
) -> None:
    """Keep a PaDiM that you fitted, and its predictions, where `fitted_padim` and `predict` find them.

    They are kept only if they are what these functions would have made: the model's weights, choice of channels and
    pre-processor are compared, and the maps of the first test images. What is in the cache already stays there. The
    predictions are the raw ones of all test images; the other arguments are those of `predict`.

    Raises:
        InputError: If model or predictions are not those of these settings.

    Example:
        >>> keep(model, predictions, "synthetic/leather", "datasets", "results")  # doctest: +SKIP
    """
    made: Any = make_padim(settings)
    given = model.model.state_dict()
    fixed = {name: tensor for name, tensor in made.model.state_dict().items() if not name.startswith("gaussian.")}
    if not (
        repr(model.pre_processor) == repr(made.pre_processor)
        and all(name in given and torch.equal(given[name], tensor) for name, tensor in fixed.items())
        and given["gaussian.mean"].numel()
    ):
        raise InputError(
            f"The model is not the one that {settings} makes, fitted: make it with the same seed, weights and "
            "pre-processor, or give the settings that it was made from."
        )
    datamodule = data.datamodule(dataset, data_root, image_size=settings.image_size)
    datamodule.setup()
    paths = tuple(relative_path(path, data_root) for path in datamodule.test_data.samples["image_path"])
    first = made.pre_processor.transform(next(iter(datamodule.test_dataloader())).image)
    with torch.no_grad():
        maps = model.eval().model(first).anomaly_map.squeeze(1)
    if predictions.image_paths != paths or not maps.allclose(predictions.anomaly_maps[: len(maps)], rtol=1e-3):
        raise InputError(
            f"The predictions are not the raw maps of {dataset} that the model gives, in the order of its test set: "
            "collect what the engine's predict returns, before a post-processor is added."
        )
    place = (dataset, data_root, results_dir, settings)
    _load_or_build("fitted", lambda: _fitted_entry(model), *place)
    _load_or_build("predictions", lambda: _predicted_entry(predictions), *place)


def predict(
    dataset: str,
    data_root: str | Path = "../datasets",
    results_dir: str | Path = "../results",
    settings: PadimSettings = PadimSettings(),
) -> Predictions:
    """Give the fitted PaDiM's raw anomaly maps of a data set's test images, from the cache if they are there.

    The cache is used only if the data's bytes, the settings and the versions of anomalib, PyTorch, torchvision, timm
    and Lightning are those it was made with and its checksum fits.

    Args:
        dataset: ``SOURCE/CATEGORY``; made or downloaded if it is not there.
        data_root: The folder of the data sets.
        results_dir: The cache is ``results_dir/cache``.
        settings: The model's settings.

    Returns:
        Maps, masks and image paths, in the order of anomalib's test set.

    Raises:
        MissingError: If the data set is not there and cannot be made.
        DownloadError: If data or ImageNet weights must be downloaded and cannot be.
        WriteError: If the cache cannot be written.

    Example:
        >>> predictions = predict("synthetic/leather", "datasets", "results")  # doctest: +SKIP
        >>> predictions.anomaly_maps.shape  # doctest: +SKIP
        torch.Size([122, 256, 256])
    """

    def build() -> cache.Entry:
        model = fitted_padim(dataset, data_root, results_dir, settings)
        return _predicted_entry(_predict(model, dataset, data_root, settings))

    tensors, extra = _load_or_build("predictions", build, dataset, data_root, results_dir, settings)
    return _as_predictions(tensors, extra)


def kept_predictions(
    dataset: str, data_root: str | Path, results_dir: str | Path, settings: PadimSettings
) -> Predictions | None:
    """Give what `predict` has kept; None where it would have to be computed."""
    key = _key(dataset, data.folder(dataset, data_root), settings)
    entry = cache.load(_entry_name(results_dir, dataset, settings, "predictions"), key)
    return None if entry is None else _as_predictions(*entry)


def _as_predictions(tensors: dict[str, Tensor], extra: dict[str, Any]) -> Predictions:
    return Predictions(tensors["anomaly_maps"], tensors["masks"], tuple(extra["image_paths"]))

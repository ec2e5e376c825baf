"""The course's model: PaDiM from anomalib, its predictions, and a cache so that it is trained once.

anomalib takes about 10 s to import, so it is imported where it is needed: predictions that are in the cache come
without it.

PaDiM: Defard et al., "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and Localization",
ICPR workshops 2021, https://arxiv.org/abs/2011.08785.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from aupimo_helpers import cache, data
from aupimo_helpers.data.paths import defect_types, relative_path
from aupimo_helpers.errors import InputError
from aupimo_helpers.session import quiet, versions
from aupimo_helpers.weights import no_weights, require_weights

if TYPE_CHECKING:
    from anomalib.data import ImageBatch
    from anomalib.engine import Engine
    from anomalib.models import Padim

# Raised when what is kept, or how it is computed here, changes.
CACHE_FORMAT = 3


@dataclass(frozen=True)
class PadimSettings:
    """What the course's PaDiM is made from; the defaults are those of every notebook.

    Attributes:
        backbone: A timm model.
        layers: Its layers whose features are used, the one of the highest resolution first.
        n_features: How many of the layers' channels are kept, chosen at random.
        pre_trained: ImageNet weights (downloaded) instead of random ones.
        seed: Of the random weights and the choice of channels.
        image_size: Height and width in pixels that images are resized to.

    Example:
        >>> PadimSettings(layers=["layer1", "layer2"], seed=1)
        PadimSettings(backbone='resnet18', layers=('layer1', 'layer2'), n_features=64, pre_trained=False, seed=1, ...)
    """

    backbone: str = "resnet18"
    layers: tuple[str, ...] = ("layer1",)
    n_features: int = 64
    pre_trained: bool = False
    seed: int = 0
    image_size: tuple[int, int] = (256, 256)

    def __post_init__(self) -> None:
        # papermill and JSON turn tuples into lists
        object.__setattr__(self, "layers", tuple(self.layers))
        height, width = self.image_size
        object.__setattr__(self, "image_size", (int(height), int(width)))


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
    """Make an untrained PaDiM for raw scores, the same one for the same settings; sets the seeds first."""
    quiet()
    if settings.pre_trained:
        require_weights(settings.backbone)
    from anomalib.models import Padim
    from lightning.pytorch import seed_everything

    arguments: dict[str, Any] = {
        "pre_processor": Padim.configure_pre_processor(image_size=settings.image_size),
        "post_processor": False,
        "evaluator": False,
        "visualizer": False,
    }
    seed_everything(settings.seed, verbose=False)
    try:
        return Padim(
            backbone=settings.backbone,
            layers=list(settings.layers),
            n_features=settings.n_features,
            pre_trained=settings.pre_trained,
            **(arguments | padim_arguments),
        )
    except OSError as error:  # the hub's errors are OSErrors; without weights to download there is no file involved
        if settings.pre_trained:
            raise no_weights(settings.backbone, error) from error
        raise


def make_engine(
    results_dir: str | Path = "../results",
    *,
    accelerator: str = "cpu",
    **trainer_arguments: Any,  # noqa: ANN401
) -> "Engine":
    """Make an anomalib engine that trains and predicts without bars, summaries and checkpoint files.

    PaDiM is not trained by gradient steps, so there is nothing worth a checkpoint.

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

    return Engine(
        # Given one that keeps nothing, anomalib does not add its own, which would write every fitted model to disk.
        callbacks=[ModelCheckpoint(save_top_k=0)],
        default_root_dir=Path(results_dir) / "anomalib",
        accelerator=accelerator,
        devices=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        **trainer_arguments,
    )


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


def _build_fitted(dataset: str, data_root: str | Path, settings: PadimSettings) -> cache.Entry:
    model = make_padim(settings)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        datamodule = data.datamodule(dataset, data_root, image_size=settings.image_size)
        # Validation is a pass over the test set, and tells a model without post-processor nothing.
        make_engine(scratch, limit_val_batches=0).fit(model=model, datamodule=datamodule)
    return dict(model.model.state_dict()), {"inverse_stride": list(model.model.gaussian.inv_covariance.stride())}


def _build_predictions(
    dataset: str, data_root: str | Path, results_dir: str | Path, settings: PadimSettings
) -> cache.Entry:
    model = fitted_padim(dataset, data_root, results_dir, settings)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        datamodule = data.datamodule(dataset, data_root, image_size=settings.image_size)
        batches = make_engine(scratch).predict(model=model, datamodule=datamodule)
    predictions = Predictions.from_batches(batches or [], data_root)
    return (
        {"anomaly_maps": predictions.anomaly_maps, "masks": predictions.masks},
        {"image_paths": list(predictions.image_paths)},
    )


def fitted_padim(
    dataset: str,
    data_root: str | Path = "../datasets",
    results_dir: str | Path = "../results",
    settings: PadimSettings = PadimSettings(),
    **padim_arguments: Any,  # noqa: ANN401
) -> "Padim":
    """Give a PaDiM that is fitted to a data set's training images, from the cache if it has been fitted before.

    Args:
        dataset: And the next three: as in `predict`.
        data_root: The folder of the data sets.
        results_dir: The cache is ``results_dir/cache``.
        settings: The model's settings.
        **padim_arguments: ``post_processor``, ``evaluator`` or ``visualizer`` of ``anomalib.models.Padim``, all False
            by default. A post-processor comes without its statistics: ``Engine.validate`` collects them.

    Returns:
        The fitted model, on the CPU. Fitted anew or loaded, it gives the same maps.

    Raises:
        InputError: If an argument is given that would need another fit.
        AupimoError: As `predict`.

    Example:
        >>> model = fitted_padim("synthetic/leather", "datasets", "results")  # doctest: +SKIP
    """
    if unknown := set(padim_arguments) - {"post_processor", "evaluator", "visualizer"}:
        raise InputError(
            f"fitted_padim cannot take {', '.join(sorted(unknown))}: the fitted model depends on it, and the cache "
            "knows PadimSettings only. Use PadimSettings, or make_padim and an engine's fit."
        )
    folder = data.make(dataset, data_root)
    tensors, extra = cache.load_or_build(
        _entry_name(results_dir, dataset, settings, "fitted"),
        _key(dataset, folder, settings),
        partial(_build_fitted, dataset, data_root, settings),
    )
    # All weights are in the cache, so that a model with ImageNet weights needs no hub either.
    model = make_padim(replace(settings, pre_trained=False), **padim_arguments)
    model.model.load_state_dict(tensors)
    # The inverse came out of the fit column by column, and is stored row by row. Products with it are rounded
    # differently in the two layouts; in its own, a loaded model gives the very maps of one that was fitted here.
    inverse = tensors["gaussian.inv_covariance"]
    model.model.gaussian.inv_covariance = torch.empty_strided(inverse.shape, extra["inverse_stride"]).copy_(inverse)
    model._is_fitted = torch.tensor([True])  # what anomalib sets after its own fit, so that it does not fit again
    return model


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
    folder = data.make(dataset, data_root)
    tensors, extra = cache.load_or_build(
        _entry_name(results_dir, dataset, settings, "predictions"),
        _key(dataset, folder, settings),
        partial(_build_predictions, dataset, data_root, results_dir, settings),
    )
    return Predictions(tensors["anomaly_maps"], tensors["masks"], tuple(extra["image_paths"]))

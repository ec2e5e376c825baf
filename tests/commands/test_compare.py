"""``aupimo compare``: a table and a figure from saved scores or maps; one sentence for what is wrong with them."""

import math
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from aupimo_helpers import stats
from aupimo_helpers.commands import main
from aupimo_helpers.commands.compare import model_names, with_normal_images
from aupimo_helpers.errors import InputError
from aupimo_helpers.metrics import aupimo_scores, reweighted_scores
from aupimo_helpers.model import Predictions
from aupimo_helpers.scores import save_scores, score_table
from aupimo_helpers.scores.maps import score_files

PATHS = [f"synthetic/leather/test/{'cut' if i < 6 else 'poke'}/{i:03}.png" for i in range(12)]
NORMAL = ["synthetic/leather/test/good/000.png"]
BASE = np.linspace(0.1, 0.7, 12)


def save(path: Path, scores, paths=PATHS, fpr_bounds=(1e-5, 1e-4)) -> str:
    save_scores(path, [*scores, math.nan], [*paths, *NORMAL], fpr_bounds=fpr_bounds, threshold_bounds=(1.0, 2.0))
    return str(path)


@pytest.fixture
def three(tmp_path) -> list[str]:
    rng = np.random.default_rng(0)
    return [
        save(tmp_path / "weak.json", BASE),
        save(tmp_path / "strong.json", BASE + 0.25 + rng.uniform(-0.05, 0.05, 12)),
        save(tmp_path / "same.json", BASE + rng.uniform(-0.05, 0.05, 12)),
    ]


def refused(arguments: list[str], capsys, output: Path) -> str:
    assert main(["compare", *arguments, "-o", str(output)]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("aupimo: ")
    assert captured.err.count("\n") == 1
    assert not list(output.parent.glob("*.png"))
    return captured.err


class TestComparing:
    def test_two_models_give_a_table_and_a_png(self, three, tmp_path, capsys):
        output = tmp_path / "out" / "two.png"
        assert main(["compare", *three[:2], "-o", str(output)]) == 0
        text = capsys.readouterr().out
        assert "12 anomalous images" in text
        assert "40.0 %" in text  # the mean of the weak one: 0.1 to 0.7 evenly
        assert "12/0/0" in text
        assert "0.00049" in text  # Wilcoxon, all twelve on one side: 2 / 2**12
        assert "normal images matter cannot be seen in score files" in " ".join(text.split())
        assert "rounded to 0.1 percentage points" in " ".join(text.split())
        assert "mean rank" not in text
        assert Image.open(output).size[0] > 600
        assert [path.name for path in output.parent.iterdir()] == ["two.png"]

    def test_three_models_are_ranked(self, three, tmp_path, capsys):
        assert main(["compare", *three, "-o", str(tmp_path / "three.png")]) == 0
        text = capsys.readouterr().out
        assert "Friedman test" in text
        assert text.index("strong") < text.index("weak")
        assert text.count("12/0/0") == 2
        assert (tmp_path / "three.png").stat().st_size > 10_000

    def test_formats_and_layouts_of_maps_may_differ(self, three, tmp_path, capsys):
        other = save(tmp_path / "other.json", BASE + 0.1, [f"{path.removesuffix('.png')}.tiff" for path in PATHS])
        content = Path(other).read_text().replace("good/000.png", "good/000.tiff")
        Path(other).write_text(content)
        assert main(["compare", three[0], other, "-o", str(tmp_path / "two.png")]) == 0
        assert "12/0/0" in capsys.readouterr().out

    def test_two_images_of_one_name_keep_their_formats(self, tmp_path, capsys):
        paths = [*PATHS[:11], PATHS[0].replace(".png", ".jpg")]
        files = [
            save(tmp_path / f"{name}.json", [*BASE[:11], value], paths) for name, value in (("a", 0.5), ("b", 0.6))
        ]
        assert main(["compare", *files, "-o", str(tmp_path / "two.png")]) == 0
        assert "1/11/0" in capsys.readouterr().out

    def test_the_same_seed_gives_the_same_table(self, three, tmp_path, capsys):
        def text(seed):
            main(["compare", *three[:2], "-o", str(tmp_path / "a.png"), "--seed", seed])
            return capsys.readouterr().out

        assert text("3") == text("3")

    def test_names_can_be_given(self, three, tmp_path, capsys):
        assert main(["compare", *three[:2], "-o", str(tmp_path / "a.png"), "--names", "before", "after"]) == 0
        text = capsys.readouterr().out
        assert "before" in text
        assert "weak" not in text
        assert "needs 2 different names" in refused(
            [*three[:2], "--names", "x", "x"], capsys, tmp_path / "o" / "a.png"
        )


class TestBadInput:
    @pytest.fixture
    def output(self, tmp_path) -> Path:
        return tmp_path / "none" / "comparison.png"

    def test_other_test_set(self, three, tmp_path, capsys, output):
        other = save(tmp_path / "other.json", BASE, [path.replace("leather", "wood") for path in PATHS])
        message = refused([three[0], other], capsys, output)
        assert "weak and other were not scored on the same test set" in message
        assert "synthetic/leather/test/cut/000 and 11 more" in message

    def test_other_bounds(self, three, tmp_path, capsys, output):
        other = save(tmp_path / "other.json", BASE, fpr_bounds=(1e-4, 1e-3))
        assert "FPR bounds 1e-05 to 0.0001 and other with 0.0001 to 0.001" in refused(
            [three[0], other], capsys, output
        )

    def test_too_few_pairs(self, tmp_path, capsys, output):
        few = [save(tmp_path / f"{name}.json", BASE[:5] + up, PATHS[:5]) for name, up in (("a", 0), ("b", 0.1))]
        assert "at least 6 images scored by every model, here there are 5" in refused(few, capsys, output)

    def test_all_tied(self, three, tmp_path, capsys, output):
        again = save(tmp_path / "again.json", BASE)
        assert "weak and again have the same score everywhere" in refused([three[0], again], capsys, output)

    def test_one_file_or_the_same_twice_or_none(self, three, capsys, output, tmp_path):
        assert "two models or more, got 1" in refused(three[:1], capsys, output)
        assert "is given twice" in refused([three[0], three[0]], capsys, output)
        assert "nowhere.json" in refused([three[0], str(tmp_path / "nowhere.json")], capsys, output)

    def test_not_a_score_file(self, three, tmp_path, capsys, output):
        (tmp_path / "broken.json").write_text('{"aupimos": [0.5')
        assert "broken.json" in refused([three[0], str(tmp_path / "broken.json")], capsys, output)

    def test_a_figure_that_cannot_be_written(self, three, tmp_path, capsys):
        assert "must end in one of" in refused(three[:2], capsys, tmp_path / "figure.xyz")
        (tmp_path / "file").write_text("in the way")
        assert main(["compare", *three[:2], "-o", str(tmp_path / "file" / "a.png")]) == 1
        assert "Cannot write" in capsys.readouterr().err


def test_models_are_named_by_what_differs(tmp_path):
    published = [tmp_path / model / "mvtec/leather/aupimo/aupimos.json" for model in ("padim_r18", "uflow_ext")]
    assert model_names(published) == ["padim_r18", "uflow_ext"]
    assert model_names([Path("a/x/s.json"), Path("b/y/s.json")]) == ["a/x", "b/y"]
    assert model_names([Path("a/one.json"), Path("b/two.json")]) == ["one", "two"]
    for version in ("v1.0", "v1.5"):
        (tmp_path / version).mkdir()
    assert model_names([tmp_path / "v1.0", tmp_path / "v1.5"]) == ["v1.0", "v1.5"]
    with pytest.raises(InputError, match="is given twice"):
        model_names([Path("a.json"), Path("./a.json")])


NAMES = [f"good/{i:03}" for i in range(7)] + [f"cut/{i:03}" for i in range(8)]
NUM_NORMAL, SIDE = 7, 136


@pytest.fixture(scope="module")
def made():
    """Masks, and maps of two models that notice different odd normal images."""
    rng = np.random.default_rng(0)
    masks = np.zeros((len(NAMES), SIDE, SIDE), dtype=bool)
    masks[NUM_NORMAL:, 20:50, 30:70] = True
    maps = {}
    for odd, name in enumerate(("first", "second")):
        scores = rng.normal(size=masks.shape).astype(np.float32)
        scores[odd, :3, :3] += 2 - odd
        scores[NUM_NORMAL:, 20:50, 30:70] += np.linspace(0, 8 + odd, 40, dtype=np.float32)
        scores[NUM_NORMAL:] *= np.linspace(0.6, 1.1 - odd / 4.1, 8, dtype=np.float32)[:, None, None]
        maps[name] = scores
    return maps, masks


def write(folder, maps, masks, names=NAMES, suffix=".npy"):
    for name, scores, mask in zip(names, maps, masks, strict=True):
        for path in (folder / f"{name}{suffix}", folder.parent / "masks" / f"{name}.png"):
            path.parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{name}{suffix}", scores)
        Image.fromarray(mask).save(folder.parent / "masks" / f"{name}.png")


@pytest.fixture
def folders(made, tmp_path):
    maps, masks = made
    for name, scores in maps.items():
        write(tmp_path / name, scores, masks)
    return [str(tmp_path / name) for name in maps]


def anomalous(maps, masks, fpr_bounds=(1e-5, 1e-4)):
    scores = aupimo_scores(maps, masks, fpr_bounds).numpy()
    return scores[~np.isnan(scores)]


def compared(folders, seed=0):
    scored = {Path(path).name: score_files(path, Path(path).parent / "masks", keep_highest=True) for path in folders}
    tables = {
        name: score_table(each.aupimos, [path.removesuffix(".npy") for path in each.paths])
        for name, each in scored.items()
    }
    return with_normal_images(stats.compare_pairs(stats.pair_scores(tables), seed=seed), scored, seed)


class TestFromMaps:
    def test_the_numbers_are_those_of_notebook_09(self, made, folders):
        maps, masks = made
        cells = nbformat.read(
            Path(__file__).parents[2] / "notebooks" / "09_comparing_models.ipynb", as_version=4
        ).cells
        source = {cell.id: cell.source for cell in cells}
        predictions = {
            name: Predictions(torch.from_numpy(scores), torch.from_numpy(masks), tuple(NAMES))
            for name, scores in maps.items()
        }
        row = compared(folders, seed=3).iloc[0]
        names = {"np": np, "stats": stats, "reweighted_scores": reweighted_scores, "FPR_BOUNDS": (1e-5, 1e-4)}
        names |= {"predict": lambda *given: predictions[given[-1]], "predictions": predictions["first"]}
        names |= {"variants": {name: name for name in maps}, "DATASET": "", "DATA_ROOT": "", "RESULTS_DIR": ""}
        names |= {"SEED": 3, "CONFIDENCE": 0.95, "A": row["a"], "B": row["b"]}
        exec(source["09-20"], names)
        exec(source["09-22"].partition("figure")[0], names)
        expected = [names["low"], names["high"], names["without"].min(), names["without"].max()]
        assert list(row[["ci_low", "ci_high", "without_low", "without_high"]]) == pytest.approx(expected, rel=1e-9)
        difference = anomalous(maps[row["a"]], masks).mean() - anomalous(maps[row["b"]], masks).mean()
        assert row["mean_difference"] == pytest.approx(difference)
        one_way = stats.compare_pair(pd.DataFrame({n: anomalous(maps[n], masks) for n in maps}), row["a"], row["b"])
        assert names["high"] - names["low"] > 1.1 * (one_way.ci_high - one_way.ci_low)

    def test_the_range_is_what_scoring_without_each_normal_image_gives(self, made, folders, capsys, tmp_path):
        maps, masks = made
        row = compared(folders).iloc[0]
        without = []
        for left_out in range(NUM_NORMAL):
            others = np.delete(np.arange(len(NAMES)), left_out)
            a, b = (anomalous(maps[row[name]][others], masks[others]).mean() for name in "ab")
            without.append(a - b)
        turned = sum(difference <= 0 for difference in without)
        assert row["without_low"] == pytest.approx(min(without))
        assert row["without_high"] == pytest.approx(max(without))
        assert row["turned"] == turned
        assert 0 < turned < NUM_NORMAL

        assert main(["compare", *folders, "--masks", f"{tmp_path}/masks", "-o", f"{tmp_path}/a.png"]) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert f"{100 * min(without):+.1f} {100 * max(without):+.1f} {turned} of 7" in text
        assert f"({100 * row['ci_low']:+.1f} to {100 * row['ci_high']:+.1f})" in text
        assert "cannot be seen" not in text
        assert Image.open(tmp_path / "a.png").size[0] > 600

    def test_formats_and_layouts_may_differ(self, made, folders, tmp_path, capsys):
        arguments = ["--masks", f"{tmp_path}/masks", "-o", f"{tmp_path}/a.png", "--names", "first", "second"]
        assert main(["compare", *folders, *arguments]) == 0
        expected = capsys.readouterr().out
        for name, scores in zip(NAMES, made[0]["second"], strict=True):
            path = tmp_path / "other" / "test" / f"{name}.tiff"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(scores).save(path)
        assert main(["compare", folders[0], f"{tmp_path}/other", *arguments]) == 0
        assert capsys.readouterr().out == expected

    def test_three_models_and_other_bounds(self, made, folders, tmp_path, capsys):
        maps, masks = made
        write(tmp_path / "third", maps["first"] + maps["second"], masks)
        given = ["--masks", f"{tmp_path}/masks", "-o", f"{tmp_path}/a.png", "--fpr-bounds", "1e-4", "1e-2"]
        assert main(["compare", *folders, f"{tmp_path}/third", *given]) == 0
        text = capsys.readouterr().out.replace("\xa0", " ")
        means = [100 * anomalous(maps[name], masks, (1e-4, 1e-2)).mean() for name in maps]
        assert all(f"{mean:.1f} %" in text for mean in means)
        assert text.count("- first") + text.count("- second") + text.count("- third") == 6  # 3 pairs, 2 tables
        assert "Friedman" in text

    def test_an_interval_beside_the_mean_is_printed_and_drawn(self, made, folders, tmp_path, capsys, monkeypatch):
        maps, masks = made
        write(tmp_path / "third", maps["first"] + maps["second"], masks)
        monkeypatch.setattr(stats, "two_way_interval", lambda *_, **__: (0.9, 0.95))
        arguments = ["--masks", f"{tmp_path}/masks", "-o", f"{tmp_path}/a.png"]
        assert main(["compare", *folders, f"{tmp_path}/third", *arguments]) == 0
        assert capsys.readouterr().out.count("(+90.0 to +95.0)") == 3
        assert (tmp_path / "a.png").is_file()


class TestBadMaps:
    @pytest.fixture
    def output(self, tmp_path) -> Path:
        return tmp_path / "none" / "comparison.png"

    def test_maps_of_other_images(self, folders, tmp_path, capsys, output):
        (tmp_path / "second" / "cut" / "004.npy").rename(tmp_path / "second" / "cut" / "014.npy")
        message = refused([*folders, "--masks", f"{tmp_path}/masks", "--missing-mask", "normal"], capsys, output)
        assert "masks/cut/004.png has no score map" in message

    def test_a_normal_image_is_missing(self, folders, tmp_path, capsys, output):
        for name in NAMES[:NUM_NORMAL]:
            (tmp_path / "masks" / f"{name}.png").unlink()
        (tmp_path / "second" / "good" / "003.npy").rename(tmp_path / "second" / "good" / "013.npy")
        message = refused([*folders, "--masks", f"{tmp_path}/masks", "--missing-mask", "normal"], capsys, output)
        assert (
            "first and second were not scored on the same test set: good/003, scored by first, is missing" in message
        )

    def test_files_and_folders_do_not_mix(self, three, folders, tmp_path, capsys, output):
        assert "first but a folder: give of each model its file" in refused([folders[0], three[0]], capsys, output)
        assert "say where the masks are, with --masks DIR" in refused(folders, capsys, output)
        for option in (["--masks", f"{tmp_path}/masks"], ["--fpr-bounds", "1e-5", "1e-4"]):
            assert "weak.json is none: give folders, or leave these out" in refused(
                [*three[:2], *option], capsys, output
            )

    def test_names_are_one_per_folder(self, folders, tmp_path, capsys, output):
        arguments = [*folders, "--masks", f"{tmp_path}/masks", "--names", "a"]
        assert "--names needs 2 different names, one per folder" in refused(arguments, capsys, output)

    def test_one_normal_image(self, made, tmp_path, capsys, output):
        maps, masks = made
        for name, scores in maps.items():
            write(tmp_path / name, scores[NUM_NORMAL - 1 :], masks[NUM_NORMAL - 1 :], NAMES[NUM_NORMAL - 1 :])
        arguments = [f"{tmp_path}/{name}" for name in maps] + ["--masks", f"{tmp_path}/masks"]
        assert "only one normal image: add others" in refused(
            [*arguments, "--fpr-bounds", "1e-3", "1e-2"], capsys, output
        )

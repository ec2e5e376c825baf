"""``aupimo compare``: a table and a figure from saved scores, one sentence for whatever is wrong with them."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aupimo_helpers.commands import main
from aupimo_helpers.commands.compare import model_names
from aupimo_helpers.errors import InputError
from aupimo_helpers.scores import save_scores

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
        assert "synthetic/leather/test/cut/000.png" in message

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
    with pytest.raises(InputError, match="is given twice"):
        model_names([Path("a.json"), Path("./a.json")])

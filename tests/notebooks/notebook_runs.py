"""Runs of the course's notebooks for the number tests, and second paths to the scores that they should find.

Run a notebook before you ask for a second path: the kernel then trains the model and leaves its predictions in the
cache, and the test process, which only reads them, needs neither anomalib nor the memory of a training.
"""

import atexit
import inspect
import json
import re
from functools import cache, cached_property
from pathlib import Path

import nbformat
import numpy as np
from filelock import FileLock
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient
from PIL import Image
from scipy.ndimage import gaussian_filter

from aupimo_helpers.course.notebook import course, execute, parameter_names, read, read_with_parameters
from aupimo_helpers.data import import_folder
from aupimo_helpers.model import PadimSettings, predict

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
EMBEDDED = ("synthetic/leather", "photos/brick")
NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody answers
_VALUES = "aupimo-values:"
_DETAILS = re.compile(r"<details>.*?</details>", re.DOTALL)
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def solutions(notebook):
    """The code of the exercises' solutions: fences of python inside <details> in Markdown cells."""
    return [
        code
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for folded in _DETAILS.findall(cell.source)
        for code in _PYTHON.findall(folded)
    ]


def encode(values):
    """Variables as JSON: numbers, paths, arrays, tensors, data frames as dictionaries of columns, dataclasses."""
    import json
    from pathlib import Path

    def plain(value):
        if isinstance(value, Path):
            return value.as_posix()
        if hasattr(value, "columns") and hasattr(value, "to_dict"):
            return {str(name): value[name].tolist() for name in value.columns}
        if hasattr(value, "tolist"):  # NumPy, PyTorch, pandas series
            return value.tolist()
        if hasattr(value, "__dataclass_fields__"):
            return {name: getattr(value, name) for name in value.__dataclass_fields__}
        raise TypeError(f"a variable of type {type(value).__name__} cannot be written as JSON")

    return json.dumps(values, default=plain)


def prepare(number, parameters, variables):
    """Read a notebook, with the solutions of its exercises and a last cell that shows the variables."""
    (path,) = course(NOTEBOOKS, [number])
    notebook = read_with_parameters(path, parameters or {})
    items = ", ".join(f"{name!r}: {name}" for name in variables)
    reader = f"{inspect.getsource(encode)}\nprint({_VALUES!r}, encode({{{items}}}))"
    notebook.cells += [nbformat.v4.new_code_cell(code) for code in (*solutions(notebook), reader)]
    return notebook


def shown(notebook):
    """What the last cell of a prepared notebook has shown."""
    text = "".join(output.text for output in notebook.cells[-1].outputs if output.get("name") == "stdout")
    return json.loads(text.split(_VALUES, 1)[1])


def attempt(number, parameters=None, variables=()):
    """Execute a prepared notebook in a kernel of its own."""
    return execute(prepare(number, parameters, variables), NOTEBOOKS)


@cache
def _warm_kernel():
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(NOTEBOOKS))
    client.stop_channels()
    atexit.register(manager.shutdown_kernel, now=True)
    return manager


def run_warm(number, parameters, variables):
    """Run a notebook to its end in a kernel that others have used before it."""
    notebook = prepare(number, parameters, variables)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    NotebookClient(notebook, km=_warm_kernel(), timeout=600).execute()
    return shown(notebook)


def run(number, parameters=None, variables=(), max_gb=None):
    """Execute a notebook to its end; give the variables, or values of expressions, by name.

    On the embedded leather it has a kernel of its own, as a reader's has; on others one where the imports are done.
    """
    if (parameters or {}).get("DATASET", EMBEDDED[0]) != EMBEDDED[0]:
        return run_warm(number, parameters, variables)
    execution = attempt(number, parameters, variables)
    assert execution.failure is None, f"notebook {number}, {execution.failure}"
    assert max_gb is None or execution.peak_memory_gb < max_gb
    return shown(execution.notebook)


def verdicts(*numbers):
    """An expression for ``run``: what ``check`` says of each exercise's solution, then of its mistakes."""
    return f"""[
        [says(code, globals(), value, number) for value in [space["answer"], *dict(space["mistakes"])]]
        for says, solution in [(check.__globals__["verdict"], check.__globals__["solution"])]
        for number in {numbers!r}
        for code, space in [(solution(number), dict(globals()))]
        for _ in [exec(code, space)]
    ]"""


def assert_exercises(found, *numbers):
    """Check that each solution is right, and that each mistake gets its hint."""
    assert len(found) == len(numbers)
    for number, (right, *hints) in zip(numbers, found, strict=True):
        assert right == f"Exercise {number}: right."
        assert hints
        for hint in hints:
            assert hint.startswith(f"Exercise {number}: not yet.")
            assert "Try again" not in hint


class SecondPath:
    """AUPIMO without the package's metric, on the predictions that the notebooks use.

    A mask pixel with r of the N normal pixels above it is found wherever the shared FPR is larger than r / N.
    Averaged over ln FPR from L to U it adds ln(U / max(L, r / N)) / ln(U / L) to its image's score. Where normal
    pixels have the very same score, the curve rises in a straight line: half of it counts with them, half without.
    """

    def __init__(self, dataset, settings):
        predictions = predict(dataset, ROOT / "datasets", ROOT / "results", settings)
        self.maps, self.masks = predictions.anomaly_maps.numpy(), predictions.masks.numpy()
        self.paths = list(predictions.image_paths)
        self.defects = np.array(predictions.defects)
        self.anomalous = self.masks.any(axis=(1, 2))
        self.normal = np.sort(self.maps[~self.anomalous].ravel())

    def scores(self, lower=1e-5, upper=1e-4, normal=None):
        normal = self.normal if normal is None else normal
        scores = np.where(self.anomalous, 0.0, np.nan)
        for i in np.flatnonzero(self.anomalous):
            found = self.maps[i][self.masks[i]]
            for side in ("left", "right"):
                above = normal.size - np.searchsorted(normal, found, side=side)
                reached = np.clip(above / normal.size, lower, upper)
                scores[i] += np.log(upper / reached).mean() / np.log(upper / lower) / 2
        return scores

    def fpr(self, threshold):
        return (self.normal >= threshold).mean()

    def recall(self, image, threshold):
        return (self.maps[image][self.masks[image]] >= threshold).mean()

    def threshold(self, fpr):
        """The highest normal score with a shared FPR of at least ``fpr``."""
        return self.normal[::-1][int(np.ceil(fpr * self.normal.size)) - 1]


SIZES = ((300, 400), (400, 300), (320, 320))


# What happens to a camera: the light was off, the light was too bright, out of focus, something lay in the picture.
MISHAPS = (
    lambda pixels: 0 * pixels,
    lambda pixels: 2.2 * pixels,
    lambda pixels: gaussian_filter(pixels, 6),
    lambda pixels: np.where(np.add.outer(*map(np.arange, pixels.shape)) % 97 < 9, 255, pixels),
)


def take_pictures(folder, rng, number, *, defect=None, masks=None, odd=0):
    """Write grey JPEG of a woven surface, the last ones odd; defects from plain to faint, with their masks as PNG."""
    folder.mkdir(parents=True)
    for i in range(number):
        height, width = SIZES[i % len(SIZES)]
        y, x = np.mgrid[:height, :width]
        pixels = 120 + 25 * np.sin(x / 5 + rng.uniform(0, 6)) * np.sin(y / 5 + rng.uniform(0, 6))
        pixels += gaussian_filter(rng.normal(0, 30, (height, width)), 1)
        if defect is not None:
            row, column = rng.uniform(0.3, 0.7, 2) * (height, width)
            reach = (y - row) ** 2 + ((x - column) / (4 if defect == "scratch" else 1)) ** 2 < 11**2
            pixels[reach] += {"scratch": -100, "spot": 80}[defect] / (1 + 2 * (i % 6))
            masks.mkdir(parents=True, exist_ok=True)
            Image.fromarray((reach * 255).astype(np.uint8)).save(masks / f"IMG_{i:02}.png")
        if i >= number - odd:
            pixels = MISHAPS[i % len(MISHAPS)](pixels)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"IMG_{i:02}.jpg", quality=90)


def aupimo_by_steps(maps, masks, bounds=(1e-5, 1e-4)):
    """AUPIMO as a sum over the highest normal scores, for maps of one size whose scores are all different."""
    lower, upper = bounds
    anomalous = masks.any(axis=(1, 2))
    normal = np.sort(maps[~anomalous].ravel())[::-1]
    ranks = np.arange(1, int(upper * normal.size) + 2)
    left, right = np.maximum((ranks - 1) / normal.size, lower), np.minimum(ranks / normal.size, upper)
    widths = np.where(right > left, np.log(right / left), 0)
    scores = np.full(len(maps), np.nan)
    for i in np.flatnonzero(anomalous):
        recall = (maps[i][masks[i]][:, None] >= normal[ranks - 1]).mean(axis=0)
        scores[i] = (recall * widths).sum() / np.log(upper / lower)
    return scores


class OwnData:
    """Somebody's own pictures, imported, and the score of each from the second path.

    Grey JPEG of mixed sizes, no defects.csv. Workers of one test run share them in ``base``.
    """

    def __init__(self, base, *, train, normal, per_defect, odd=0):
        self.pictures, self.root, self.results = base / "Parts", base / "datasets", base / "results"
        self.train, self.normal, self.anomalous = train, normal, 2 * per_defect
        self.dataset, self.folder = "own/parts", self.root / "own" / "parts"
        base.mkdir(exist_ok=True)
        with FileLock(base / ".lock"):
            if not self.folder.exists():
                rng = np.random.default_rng(0)
                take_pictures(self.pictures / "ok", rng, train)
                take_pictures(self.pictures / "ok_test", rng, normal, odd=odd)
                for defect in ("scratch", "spot"):
                    masks = self.pictures / "masks" / defect
                    take_pictures(self.pictures / "ng" / defect, rng, per_defect, defect=defect, masks=masks)
                import_folder(self.pictures, data_root=self.root)

    @cached_property
    def predictions(self):
        return predict(self.dataset, self.root, self.results)

    @cached_property
    def scores(self):
        return aupimo_by_steps(self.predictions.anomaly_maps.numpy(), self.predictions.masks.numpy())

    @property
    def mean(self):
        return np.nanmean(self.scores)

    @property
    def score_of(self):
        return dict(zip(self.predictions.image_paths, self.scores, strict=True))

    def run(self, number, variables=(), **parameters):
        given = {"DATASET": self.dataset, "DATA_ROOT": str(self.root), "RESULTS_DIR": str(self.results), **parameters}
        known = parameter_names(read(course(NOTEBOOKS, [number])[0]))
        return run(number, {name: value for name, value in given.items() if name in known}, variables)

    def assert_scores(self, table):
        """Check every score in a score table, a dictionary of columns."""
        found = dict(zip(table["image_path"], table["aupimo"], strict=True))
        assert sum(not np.isnan(score) for score in found.values()) == self.anomalous
        expected = self.score_of
        np.testing.assert_allclose(list(found.values()), [expected[path] for path in found], atol=1e-6)


COURSE = PadimSettings()

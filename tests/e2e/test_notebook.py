"""The notebook in examples/ runs from top to bottom, and is stored without outputs."""

import nbformat
import pytest
from nbclient import NotebookClient
from tests.conftest import ROOT

QUICKSTART = ROOT / "examples/quickstart.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> nbformat.NotebookNode:
    folder = tmp_path_factory.mktemp("jupyter")
    notebook = nbformat.read(QUICKSTART, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
            patch.setenv(name, str(folder / name.lower()))
        resources = {"metadata": {"path": str(ROOT)}}
        NotebookClient(notebook, timeout=120, resources=resources).execute()
    return notebook


def outputs(notebook: nbformat.NotebookNode, source: str) -> str:
    """Everything that the cells with ``source`` gave."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and source in cell.source]
    assert cells, f"no cell with {source}"
    return str([cell.outputs for cell in cells])


def test_the_notebook_is_stored_without_outputs():
    notebook = nbformat.read(QUICKSTART, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
    assert "image/" not in QUICKSTART.read_text()


def test_the_notebook_predicts_the_face_that_it_draws(executed):
    assert "'text/plain': '1'" in outputs(executed, "len(result)")
    assert "happy" in outputs(executed, "found.box, found.top")
    assert "image/png" in outputs(executed, "result.plot()")
    assert "p_surprise" in outputs(executed, "result.to_pandas()")
    assert "happy 0." in outputs(executed, "print(found)")
    assert "'unsure'" in outputs(executed, ">= 0.95")
    batch = outputs(executed, "faces=True")
    assert batch.count("drawn as") == 4 and "unsure, perhaps" in batch
    assert "'text/plain': '0'" in outputs(executed, "len(model(Image.new")
    assert "Model(" in outputs(executed, 'Path("models/starter")')


def test_no_cell_of_the_notebook_warns(executed):
    assert "stderr" not in str([cell.get("outputs") for cell in executed.cells])

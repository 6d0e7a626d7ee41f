"""`unveil.train`: the arguments it checks before anything starts."""

import pytest

import unveil


def test_a_folder_that_is_no_checkout_is_one_line(tmp_path):
    with pytest.raises(unveil.UserError, match=r"is no checkout of unveil; give its folder as"):
        unveil.train("faces.zip", project=tmp_path)


def test_the_reason_of_a_refusal_is_the_error(place, capfd):
    (place / "flows").mkdir()
    (place / "flows/__init__.py").touch()
    (place / "flows/__main__.py").write_text(
        "import sys; print('preparing', sys.argv[1:]); sys.exit('train-all: no such recipe')"
    )
    with pytest.raises(unveil.UserError, match="train-all: no such recipe"):
        unveil.train("a.zip", recipe="x", architectures=["cnn3", "cnn4"], force=True)
    sent = ["--source", str(place / "a.zip"), "--recipe", "x"]
    sent += ["--architectures", "cnn3 cnn4", "--force"]
    assert f"preparing {sent}\n" in capfd.readouterr().out
    with pytest.raises(unveil.UserError):
        unveil.train(architectures="cnn3")
    assert "preparing ['--architectures', 'cnn3']\n" in capfd.readouterr().out

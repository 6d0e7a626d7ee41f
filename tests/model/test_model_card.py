"""The champion's model card: its contents, and where MLflow stores it."""

import json

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from tests.support.candidates import quadrants, trained

from unveil import registry
from unveil.common.errors import UserError
from unveil.common.files import write_json
from unveil.common.paths import MANIFEST, MODEL_CARD, MODELS, PACKED, REPORTS, VALIDATION
from unveil.config import params
from unveil.evaluation import evaluate
from unveil.reporting import model_card


def with_champion(loaded: params.Params) -> None:
    trained("cnn3", quadrants(20.0), loaded)
    columns = ("loss", "macro_f1", "val_loss", "val_macro_f1", "seconds", "timestamp")
    rows = [{"epoch": at, "stage": at, **dict.fromkeys(columns, 1)} for at in (1, 2)]
    pd.DataFrame(rows).to_csv(MODELS / "cnn3/history.csv", index=False)
    evaluate.evaluate("cnn3", loaded)
    version = registry.register("cnn3")
    registry.set_champion(
        version, after=registry.champion_record(), act="promoted", reason="no previous champion"
    )


@pytest.fixture
def loaded(packed) -> params.Params:
    content = yaml.safe_load((packed / "params.yaml").read_text())
    content["provenance"] = {"title": "Faces | of <b>mine</b>", "licence": "CC BY 4.0"}
    (packed / "params.yaml").write_text(yaml.safe_dump(content))
    rule = {"sentence": "Labels do not depend on light.", "status": "warned"}
    write_json(VALIDATION, {"passed": True, "rules": [rule]})
    return params.load()


def test_the_card_has_uses_scores_groups_and_data_and_is_added_to_the_version(loaded):
    with_champion(loaded)
    version = model_card.make(loaded)
    text = MODEL_CARD.read_text()
    _, head, body = text.split("---\n", 2)
    metadata = yaml.safe_load(head)
    assert (metadata["license"], metadata["license_name"]) == ("other", "CC BY 4.0")
    assert metadata["pipeline_tag"] == "image-classification"
    result = metadata["model-index"][0]["results"][0]
    score = json.loads((REPORTS / "cnn3/metrics.json").read_text())["test"]["macro_f1"]["value"]
    metric = {"type": "f1", "name": "macro-F1", "value": score, "args": {"average": "macro"}}
    assert result["metrics"][0] == metric
    assert result["dataset"]["name"] == "Faces | of <b>mine</b>"
    for heading in ("Intended uses", "Forbidden uses", "Groups", "Limits", "Data"):
        assert f"\n## {heading}\n" in body
    assert "apparent expression" in body and "feel" not in text.lower()
    assert "- Consent: not stated" in body and "- Licence: CC BY 4.0" in body
    assert "- Data, warned: Labels do not depend on light." in body
    assert "| glasses = no | 16 | insufficient data |" in body
    assert "ynthetic" not in text
    assert "unveil predict face.png\n" in text and "annotators\nlabelled images" in text
    assert "| accuracy | 1.000 [1.000, 1.000] |" in text
    assert "- It answers 24 of 24 test images, 0.0% of them wrong; `unsure` below" in text
    tables = [line.count("|") for line in body.splitlines() if line.startswith("| split")]
    assert tables == [6]
    known = MlflowClient().get_model_version(registry.NAME, version.number)
    assert known.description == body.strip()
    kept = MlflowClient().list_artifacts(known.run_id, "model_card")
    assert [one.path for one in kept] == ["model_card/model_card.md"]
    registry.load(version)  # its files match the registered digests


def test_the_card_states_synthetic_faces_and_missing_groups(loaded):
    for name in ("train", "validation", "test"):
        path = PACKED / f"{name}.parquet"
        pd.read_parquet(path).drop(columns="glasses").to_parquet(path)
    MANIFEST.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"member": ["sample/train/happy/train_happy_0000.png"]}).to_parquet(MANIFEST)
    with_champion(loaded)
    model_card.make(loaded)
    text = MODEL_CARD.read_text()
    assert "cannot be measured" in text
    assert "> **Synthetic.** Trained and tested on drawings" in text
    assert "- Contact: not stated" in text and "license: apache-2.0" in text
    assert "unveil predict face.png --bundle data/07_bundle\n" in text
    assert "annotators\nlabelled" not in text and "as the drawings were" in text


def test_no_card_without_a_champion_or_its_training(loaded):
    with pytest.raises(UserError, match="there is no champion yet"):
        model_card.make(loaded)
    with_champion(loaded)
    trained("cnn3", quadrants(10.0), loaded)
    with pytest.raises(UserError, match="champion version 1, cnn3, was not trained here"):
        model_card.make(loaded)
    assert not MODEL_CARD.exists()

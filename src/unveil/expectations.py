"""The rules that data must keep before anything is trained on it, each declared once.

Takes nothing, makes ``RULES``. `manifest` marks the faces that break a rule of the section
``faces``, `validate` judges all. A new rule is an entry here and one in params.yaml.
"""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from unveil.rules import Expect, Find, Rule, Setting
from unveil.schema import SPLITS, Positive, Share

if TYPE_CHECKING:
    import pandas as pd

Gray = Annotated[float, Field(ge=0, le=255)]


def _values(kind: str, column: str, **bounds: Any) -> Expect:
    return lambda setting, classes: {"kind": f"ExpectColumnValues{kind}", "column": column} | bounds


def _at_most(column: str, bound: str) -> Expect:
    return lambda setting, classes: {
        "kind": "ExpectColumnValuesToBeBetween",
        "column": column,
        "max_value": setting[bound],
    }


def _where(broken: str, said: str) -> Find:
    """Find the rows for which a query holds; ``@x`` in it is the setting's, ``{x}`` a column."""

    def find(faces: "pd.DataFrame", setting: Setting) -> "pd.Series[str]":
        import pandas as pd

        rows = faces.query(broken, local_dict=dict(setting.values))
        told = [said.format(**row) for row in rows.to_dict("records")]
        return pd.Series(told, index=rows.index, dtype=object)

    return find


def _face(name: str, sentence: str, fault: str, **more: Any) -> Rule:
    """Make a rule about each face by itself: none in use is marked with its fault."""
    unmarked = _values("ToNotMatchRegex", "fault", regex=f"(?:^|; ){fault}:")
    policies = more.pop("policies", ("stop", "warn", "quarantine"))
    return Rule("faces", name, sentence, "faces", unmarked, policies=policies, fault=fault, **more)


RULES = (
    Rule(
        "manifest",
        "complete",
        "Every face has its name, split, label, digest, sides, brightness and faults, if any.",
        "archive",
        _values("ToBeInSet", "absent", value_set=[""]),
    ),
    Rule(
        "manifest",
        "member_named_once",
        "No two faces have the same name.",
        "archive",
        _values("ToBeUnique", "member"),
    ),
    Rule(
        "manifest",
        "known_split",
        "Every face is in train, validation or test.",
        "faces",
        _values("ToBeInSet", "split", value_set=list(SPLITS)),
    ),
    Rule(
        "manifest",
        "known_label",
        "Every face has one of the classes.",
        "faces",
        lambda setting, classes: {
            "kind": "ExpectColumnValuesToBeInSet",
            "column": "label",
            "value_set": list(classes),
        },
    ),
    Rule(
        "manifest",
        "digested",
        "Every face has a digest of its pixels.",
        "faces",
        _values("ToMatchRegex", "sha256", regex="^[0-9a-f]{64}$"),
    ),
    Rule(
        "manifest",
        "brightness_range",
        "Brightness is a gray value.",
        "faces",
        _values("ToBeBetween", "brightness", min_value=0, max_value=255),
    ),
    _face(
        "readable",
        "No image is unreadable.",
        "unreadable",
        find=_where("fault != ''", "{fault}"),
        policies=("stop", "quarantine"),
    ),
    _face(
        "large_enough",
        "No face has a side under the smallest.",
        "too_small",
        find=_where("0 < width < @min_side or 0 < height < @min_side", "{width}x{height} pixels"),
        bounds={"min_side": Positive},
    ),
    _face(
        "known_mode",
        "Every image is stored in one of the modes.",
        "unknown_mode",
        find=_where("mode != '' and mode not in @modes", "{mode}"),
        bounds={"modes": tuple[str, ...]},
    ),
    _face(
        "not_constant",
        "No face is one gray all over.",
        "constant",
        find=_where("contrast < @min_contrast", "contrast {contrast:.1f}"),
        bounds={"min_contrast": Gray},
    ),
    _face(
        "not_near_black",
        "No face is almost black.",
        "near_black",
        find=_where("brightness < @min_brightness", "brightness {brightness:.1f}"),
        bounds={"min_brightness": Gray},
    ),
    _face(
        "not_near_white",
        "No face is almost white.",
        "near_white",
        find=_where("brightness > @max_brightness", "brightness {brightness:.1f}"),
        bounds={"max_brightness": Gray},
    ),
    _face("no_twin_across_splits", "No face stands in two splits.", "twin_across_splits"),
    _face("no_twin_with_two_labels", "No face has two labels.", "twin_with_two_labels"),
    Rule(
        "sets",
        "every_class_in_every_split",
        "Every class has at least its minimum of images in every split.",
        "cells",
        _values("ToBeBetween", "spare_images", min_value=0),
        bounds=dict.fromkeys(SPLITS, Positive),
    ),
    Rule(
        "sets",
        "class_balance",
        "In no split is the largest class too many times the smallest.",
        "cells",
        _at_most("times_smaller", "max_imbalance"),
        bounds={"max_imbalance": Annotated[float, Field(ge=1)]},
    ),
    Rule(
        "sets",
        "same_balance_as_train",
        "No class has a very different share in another split than in train.",
        "cells",
        _at_most("share_shift", "max_share_shift"),
        bounds={"max_share_shift": Share},
    ),
    Rule(
        "sets",
        "few_quarantined",
        "Only a small share of the archive is left out.",
        "archive",
        lambda setting, classes: {
            "kind": "ExpectColumnValuesToBeInSet",
            "column": "quarantine",
            "value_set": [""],
            "mostly": 1 - setting["max_share"],
        },
        bounds={"max_share": Share},
    ),
)

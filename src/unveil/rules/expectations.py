"""The data validation rules, each declared once in ``RULES``.

`defects` marks the faces that violate a rule of the section ``faces``; `validate` checks all rules.
A new rule needs an entry here and one in params.yaml.
"""

from typing import Annotated

from pydantic import Field

from unveil.common.types import SPLITS, Positive, Share
from unveil.rules.settings import (
    at_least,
    at_most,
    column_values,
    constant_expectation,
    dataset_rule,
    face_rule,
    manifest_rule,
    query_faces,
)

Gray = Annotated[float, Field(ge=0, le=255)]


RULES = (
    manifest_rule(
        "complete",
        "Every row has a name, split, label, digest, size, brightness, and its faults, if any.",
        "archive",
        constant_expectation("ToBeInSet", "absent", value_set=[""]),
    ),
    manifest_rule(
        "member_named_once",
        "No two faces have the same name.",
        "archive",
        constant_expectation("ToBeUnique", "member"),
    ),
    manifest_rule(
        "known_split",
        "Every face is in train, validation or test.",
        "faces",
        constant_expectation("ToBeInSet", "split", value_set=list(SPLITS)),
    ),
    manifest_rule(
        "known_label",
        "Every face has one of the classes.",
        "faces",
        lambda setting, classes: column_values("ToBeInSet", "label", value_set=list(classes)),
    ),
    manifest_rule(
        "digested",
        "Every face has a digest of its pixels.",
        "faces",
        constant_expectation("ToMatchRegex", "sha256", regex="^[0-9a-f]{64}$"),
    ),
    manifest_rule(
        "brightness_range",
        "Brightness is a gray value.",
        "faces",
        constant_expectation("ToBeBetween", "brightness", min_value=0, max_value=255),
    ),
    face_rule(
        "readable",
        "No image is unreadable.",
        "unreadable",
        query_faces("fault != ''", "{fault}"),
        policies=("stop", "quarantine"),
    ),
    face_rule(
        "large_enough",
        "No face is smaller than the minimum size.",
        "too_small",
        query_faces("0 < width < @min_side or 0 < height < @min_side", "{width}x{height} pixels"),
        min_side=Positive,
    ),
    face_rule(
        "known_mode",
        "Every image has one of the allowed modes.",
        "unknown_mode",
        query_faces("mode != '' and mode not in @modes", "{mode}"),
        modes=tuple[str, ...],
    ),
    face_rule(
        "not_constant",
        "No face has a constant gray value.",
        "constant",
        query_faces("contrast < @min_contrast", "contrast {contrast:.1f}"),
        min_contrast=Gray,
    ),
    face_rule(
        "not_near_black",
        "No face is almost black.",
        "near_black",
        query_faces("brightness < @min_brightness", "brightness {brightness:.1f}"),
        min_brightness=Gray,
    ),
    face_rule(
        "not_near_white",
        "No face is almost white.",
        "near_white",
        query_faces("brightness > @max_brightness", "brightness {brightness:.1f}"),
        max_brightness=Gray,
    ),
    face_rule("no_twin_across_splits", "No face is in two splits.", "twin_across_splits"),
    face_rule("no_twin_with_two_labels", "No face has two labels.", "twin_with_two_labels"),
    face_rule(
        "no_near_twin_across_splits",
        "No near duplicates are in different splits.",
        "near_twin_across_splits",
    ),
    face_rule(
        "no_near_twin_with_two_labels",
        "No near duplicates have different labels.",
        "near_twin_with_two_labels",
    ),
    face_rule(
        "one_split_per_subject",
        "No subject and no source is in two splits.",
        "subject_across_splits",
        columns=tuple[str, ...],
    ),
    dataset_rule(
        "every_class_in_every_split",
        "Every class has at least the minimum number of images in every split.",
        "cells",
        constant_expectation("ToBeBetween", "spare_images", min_value=0),
        **dict.fromkeys(SPLITS, Positive),
    ),
    dataset_rule(
        "class_balance",
        "In no split is the ratio of the largest class to the smallest too high.",
        "cells",
        at_most("times_smaller", "max_imbalance"),
        max_imbalance=Annotated[float, Field(ge=1, le=1_000_000)],
    ),
    dataset_rule(
        "class_share",
        "No class is a very small fraction of a split.",
        "cells",
        at_least("share", "min_share"),
        min_share=Share,
    ),
    dataset_rule(
        "same_labels_as_train",
        "No split has a label distribution very different from train.",
        "splits",
        at_most("from_train", "max_divergence"),
        max_divergence=Share,
        min_images=Positive,
    ),
    dataset_rule(
        "same_labels_as_reference",
        "No split has a label distribution very different from the reference.",
        "splits",
        at_most("from_reference", "max_divergence"),
        max_divergence=Share,
        min_images=Positive,
        reference=dict[str, Share],
    ),
    dataset_rule(
        "few_quarantined",
        "Only a small fraction of the archive is in quarantine.",
        "archive",
        lambda setting, classes: column_values(
            "ToBeInSet", "quarantine", value_set=[""], mostly=1 - setting["max_share"]
        ),
        max_share=Share,
    ),
    dataset_rule(
        "attributes_are_groups",
        "No attribute has too many values to be groups.",
        "attributes",
        at_most("groups", "max_groups"),
        max_groups=Positive,
        leave_out=tuple[str, ...],
    ),
    dataset_rule(
        "group_share",
        "No group is a very small fraction of a split.",
        "groups",
        at_least("share", "min_share"),
        min_share=Share,
        min_images=Positive,
    ),
    dataset_rule(
        "group_in_every_class",
        "Every group has at least the minimum number of images in every class and split.",
        "group_cells",
        at_least("images", "min_images"),
        min_images=Positive,
    ),
    dataset_rule(
        "label_independent_of_group",
        "Labels do not depend on groups, by the lower limit of Cramer's V.",
        "group_dependence",
        at_most("low", "max_v"),
        max_v=Share,
        min_images=Positive,
    ),
    dataset_rule(
        "label_independent_of_quality",
        "Labels do not depend on image quality, by the lower limit of Cramer's V.",
        "quality_dependence",
        at_most("low", "max_v"),
        max_v=Share,
        min_images=Positive,
    ),
)

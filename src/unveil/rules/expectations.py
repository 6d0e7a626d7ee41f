"""The rules that data must keep before anything is trained on it, each declared once.

Takes nothing, makes ``RULES``. `manifest` marks the faces that break a rule of the section
``faces``, `validate` judges all. A new rule is an entry here and one in params.yaml.
"""

from typing import Annotated

from pydantic import Field

from unveil.common.types import SPLITS, Positive, Share
from unveil.rules.settings import (
    about_each_face,
    about_rows,
    about_sets,
    at_least,
    at_most,
    fixed,
    values,
    where,
)

Gray = Annotated[float, Field(ge=0, le=255)]


RULES = (
    about_rows(
        "complete",
        "Every face has its name, split, label, digest, sides, brightness and faults, if any.",
        "archive",
        fixed("ToBeInSet", "absent", value_set=[""]),
    ),
    about_rows(
        "member_named_once",
        "No two faces have the same name.",
        "archive",
        fixed("ToBeUnique", "member"),
    ),
    about_rows(
        "known_split",
        "Every face is in train, validation or test.",
        "faces",
        fixed("ToBeInSet", "split", value_set=list(SPLITS)),
    ),
    about_rows(
        "known_label",
        "Every face has one of the classes.",
        "faces",
        lambda setting, classes: values("ToBeInSet", "label", value_set=list(classes)),
    ),
    about_rows(
        "digested",
        "Every face has a digest of its pixels.",
        "faces",
        fixed("ToMatchRegex", "sha256", regex="^[0-9a-f]{64}$"),
    ),
    about_rows(
        "brightness_range",
        "Brightness is a gray value.",
        "faces",
        fixed("ToBeBetween", "brightness", min_value=0, max_value=255),
    ),
    about_each_face(
        "readable",
        "No image is unreadable.",
        "unreadable",
        where("fault != ''", "{fault}"),
        policies=("stop", "quarantine"),
    ),
    about_each_face(
        "large_enough",
        "No face has a side under the smallest.",
        "too_small",
        where("0 < width < @min_side or 0 < height < @min_side", "{width}x{height} pixels"),
        min_side=Positive,
    ),
    about_each_face(
        "known_mode",
        "Every image is stored in one of the modes.",
        "unknown_mode",
        where("mode != '' and mode not in @modes", "{mode}"),
        modes=tuple[str, ...],
    ),
    about_each_face(
        "not_constant",
        "No face is one gray all over.",
        "constant",
        where("contrast < @min_contrast", "contrast {contrast:.1f}"),
        min_contrast=Gray,
    ),
    about_each_face(
        "not_near_black",
        "No face is almost black.",
        "near_black",
        where("brightness < @min_brightness", "brightness {brightness:.1f}"),
        min_brightness=Gray,
    ),
    about_each_face(
        "not_near_white",
        "No face is almost white.",
        "near_white",
        where("brightness > @max_brightness", "brightness {brightness:.1f}"),
        max_brightness=Gray,
    ),
    about_each_face("no_twin_across_splits", "No face stands in two splits.", "twin_across_splits"),
    about_each_face("no_twin_with_two_labels", "No face has two labels.", "twin_with_two_labels"),
    about_each_face(
        "no_near_twin_across_splits",
        "No photograph stands in two splits, however it is cut or stored.",
        "near_twin_across_splits",
    ),
    about_each_face(
        "no_near_twin_with_two_labels",
        "No photograph has two labels, however it is cut or stored.",
        "near_twin_with_two_labels",
    ),
    about_each_face(
        "one_split_per_subject",
        "No subject and no source stands in two splits.",
        "subject_across_splits",
        columns=tuple[str, ...],
    ),
    about_sets(
        "every_class_in_every_split",
        "Every class has at least its minimum of images in every split.",
        "cells",
        fixed("ToBeBetween", "spare_images", min_value=0),
        **dict.fromkeys(SPLITS, Positive),
    ),
    about_sets(
        "class_balance",
        "In no split is the largest class too many times the smallest.",
        "cells",
        at_most("times_smaller", "max_imbalance"),
        max_imbalance=Annotated[float, Field(ge=1, le=1_000_000)],
    ),
    about_sets(
        "class_share",
        "No class is a very small part of a split.",
        "cells",
        at_least("share", "min_share"),
        min_share=Share,
    ),
    about_sets(
        "same_labels_as_train",
        "The labels of no split are shared out very differently than in train.",
        "splits",
        at_most("from_train", "max_divergence"),
        max_divergence=Share,
        min_images=Positive,
    ),
    about_sets(
        "same_labels_as_reference",
        "The labels of no split are shared out very differently than in the reference.",
        "splits",
        at_most("from_reference", "max_divergence"),
        max_divergence=Share,
        min_images=Positive,
        reference=dict[str, Share],
    ),
    about_sets(
        "few_quarantined",
        "Only a small share of the archive is left out.",
        "archive",
        lambda setting, classes: values(
            "ToBeInSet", "quarantine", value_set=[""], mostly=1 - setting["max_share"]
        ),
        max_share=Share,
    ),
    about_sets(
        "attributes_are_groups",
        "No attribute has so many values that they are no groups.",
        "attributes",
        at_most("groups", "max_groups"),
        max_groups=Positive,
        leave_out=tuple[str, ...],
    ),
    about_sets(
        "group_share",
        "No group is a very small part of a split.",
        "groups",
        at_least("share", "min_share"),
        min_share=Share,
        min_images=Positive,
    ),
    about_sets(
        "group_in_every_class",
        "Every group has at least the minimum of images in every class and split.",
        "group_cells",
        at_least("images", "min_images"),
        min_images=Positive,
    ),
    about_sets(
        "label_independent_of_group",
        "Labels do not depend on groups, by the lower end of Cramer's V.",
        "group_dependence",
        at_most("low", "max_v"),
        max_v=Share,
        min_images=Positive,
    ),
    about_sets(
        "label_independent_of_quality",
        "Labels do not depend on light, contrast, sharpness or compression, by the same measure.",
        "quality_dependence",
        at_most("low", "max_v"),
        max_v=Share,
        min_images=Positive,
    ),
)

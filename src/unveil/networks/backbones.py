"""Transfer learning: a pretrained backbone with a new classification head."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from unveil.common.errors import UserError
from unveil.networks import package_weights
from unveil.networks import pretrained_weights as weights
from unveil.networks.layers import classifier, expand_channels, gray_input

if TYPE_CHECKING:
    import keras


OWN = {"efficientnet_lite": "unveil.networks.efficientnet_lite"}
"""Modules of backbones that keras.applications lacks."""

DEPTHWISE = frozenset(
    {
        *("convnext", "efficientnet", "efficientnet_lite", "efficientnet_v2", "mobilenet"),
        *("mobilenet_v2", "mobilenet_v3", "nasnet", "xception"),
    }
)
"""Modules of backbones with depthwise convolutions."""

EXPORTED = frozenset(
    {
        *("convnext", "densenet", "efficientnet", "efficientnet_lite", "efficientnet_v2"),
        *("inception_resnet_v2", "inception_v3", "mobilenet", "mobilenet_v2", "mobilenet_v3"),
        *("nasnet", "resnet", "resnet50", "resnet_v2", "vgg16", "vgg19", "xception"),
    }
)
"""Modules of backbones whose ONNX export was verified against Keras."""


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Transfer:
    """A pretrained backbone, its preprocessing, and a head with one hidden layer.

    ``backbone`` is ``module.Class`` in keras.applications or in `OWN`. ``weights`` is ``imagenet``,
    ``package:NAME``, a ``.weights.h5`` file, or ``none``; ``sha256`` is the expected digest of the
    weights file. ``input_size`` in pixels is what the face is resized to inside the graph; ``head``
    is the number of units of the hidden layer. The batch normalization of a pretrained backbone is
    ``frozen``, so that it keeps its weights and statistics, or ``trained`` as that of the head is.
    """

    builder: Literal["transfer"]
    backbone: Annotated[str, Field(pattern=r"^[a-z_0-9]+\.[A-Za-z0-9]+$")]
    weights: str
    input_size: Annotated[int, Field(ge=32, le=512)]
    head: Annotated[int, Field(gt=0, le=65_536)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    batch_norm: Literal["frozen", "trained"] = "frozen"

    @property
    def frozen_norm(self) -> bool:
        """Whether the batch normalization is kept; that of random weights is trained."""
        return self.weights != weights.RANDOM and self.batch_norm == "frozen"

    @property
    def depthwise(self) -> bool:
        """Whether it has depthwise convolutions, which are slow in bfloat16 on processors."""
        return self.backbone.split(".")[0] in DEPTHWISE

    @property
    def onnx_exportable(self) -> bool:
        """Whether the ONNX export of its module is known to be correct."""
        return self.backbone.split(".")[0] in EXPORTED

    def without_pretrained_weights(self) -> "Transfer":
        """Return the same architecture with random weights, which needs no download."""
        return replace(self, weights=weights.RANDOM, sha256=None)

    def build(self, image_size: int, classes: int) -> "keras.Model":
        """Build the network for square faces of ``image_size`` pixels.

        Raises:
            UserError: the backbone is unknown, its weights are not available, or it needs a larger
                ``input_size``.
        """
        import keras

        network, preprocess = self.application()
        faces = gray_input(image_size)
        x = keras.layers.Rescaling(1.0, name="as_float", dtype="float32")(faces)
        if self.input_size != image_size:
            size = self.input_size
            x = keras.layers.Resizing(size, size, name="resize", dtype="float32")(x)
        x = preprocess(expand_channels(x, "rgb"))
        backbone = self._loaded(network, x)
        if not self.frozen_norm:
            _lower_batchnorm_momentum(backbone)
        x = keras.layers.GlobalAveragePooling2D(name="features", dtype="float32")(backbone.output)
        # The features of a randomly initialized backbone hardly vary: 2e-7 in EfficientNetB0.
        x = keras.layers.BatchNormalization(momentum=0.9, name="head_norm")(x)
        x = keras.layers.Dense(self.head, "relu", name="head_dense")(x)
        return classifier(faces, x, classes=classes, dropout=self.dropout)

    def application(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return the constructor of the backbone and its preprocessing function."""
        import keras

        family, name = self.backbone.split(".")
        try:
            module = importlib.import_module(OWN.get(family, f"keras.applications.{family}"))
            # Keras exposes these two in keras.applications, not in their module.
            beside = self.backbone.startswith("mobilenet_v3.MobileNetV3")
            network = getattr(keras.applications if beside else module, name)
            return network, module.preprocess_input
        except (ImportError, AttributeError):
            raise UserError(
                f"unknown backbone {self.backbone!r}; there are for example "
                "vgg16.VGG16, resnet_v2.ResNet50V2, efficientnet.EfficientNetB0, "
                "efficientnet_lite.EfficientNetLite0"
            ) from None

    def _loaded(self, network: Callable[..., Any], x: "keras.KerasTensor") -> Any:
        try:
            if self.weights.startswith(package_weights.PREFIX):
                backbone = network(include_top=False, weights=None, input_tensor=x)
                package_weights.load(backbone, self.weights, self.sha256, owner=self.backbone)
                return backbone
            given = None if self.weights == weights.RANDOM else self.weights
            with weights.pinned_weights(self.weights, self.sha256, owner=self.backbone):
                return network(include_top=False, weights=given, input_tensor=x)
        except (UserError, ValueError):
            self._require_size(network, x)
            raise

    def _require_size(self, network: Callable[..., Any], x: "keras.KerasTensor") -> None:
        # Keras does not check the minimum input size when it is given an input tensor.
        try:
            network(include_top=False, weights=None, input_tensor=x)
        except ValueError:
            raise UserError(
                f"input_size {self.input_size} is too small for {self.backbone}; choose a larger "
                "one, 512 at most"
            ) from None


def _lower_batchnorm_momentum(backbone: "keras.Model") -> None:
    # With Keras's default of 0.99 the moving statistics of a random backbone lag hundreds of steps
    # behind: after 189 steps EfficientNetB0 predicted the same class for every validation face.
    import keras

    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9

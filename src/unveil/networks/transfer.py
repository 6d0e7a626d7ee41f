"""A network of keras.applications under a new head."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from unveil.common.errors import UserError
from unveil.networks import pretrained as weights
from unveil.networks.layers import classified, colored, gray_input

if TYPE_CHECKING:
    import keras


DEPTHWISE = frozenset(
    {
        *("convnext", "efficientnet", "efficientnet_v2", "mobilenet", "mobilenet_v2"),
        *("mobilenet_v3", "nasnet", "xception"),
    }
)
"""The modules of keras.applications whose networks convolve channel by channel."""

EXPORTED = frozenset(
    {
        *("convnext", "densenet", "efficientnet", "efficientnet_v2", "inception_resnet_v2"),
        *("inception_v3", "mobilenet", "mobilenet_v2", "mobilenet_v3", "nasnet", "resnet"),
        *("resnet50", "resnet_v2", "vgg16", "vgg19", "xception"),
    }
)
"""The modules of which a network was exported to ONNX and answered as in Keras."""


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Transfer:
    """``backbone`` is ``module.Class`` in keras.applications; its preprocessing comes with it.

    ``weights`` is ``imagenet``, a ``.weights.h5`` file, or ``none``; ``sha256`` what the file of
    them, in Keras's cache or ours, has to be. ``input_size`` in pixels is what the face is resized
    to inside the graph; ``head`` the units of its hidden layer.
    """

    builder: Literal["transfer"]
    backbone: Annotated[str, Field(pattern=r"^[a-z_0-9]+\.[A-Za-z0-9]+$")]
    weights: str
    input_size: Annotated[int, Field(ge=32, le=512)]
    head: Annotated[int, Field(gt=0, le=65_536)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None

    @property
    def pretrained(self) -> bool:
        """Whether the backbone starts from learned weights, so that its batch-norm stays frozen."""
        return self.weights != weights.RANDOM

    @property
    def depthwise(self) -> bool:
        """Whether it convolves channel by channel, which no processor is quick at in bfloat16."""
        return self.backbone.split(".")[0] in DEPTHWISE

    @property
    def exports(self) -> bool:
        """Whether a network of its family is known to be exported as it is."""
        return self.backbone.split(".")[0] in EXPORTED

    def untrained(self) -> "Transfer":
        """Give the same without learned weights, which need not be downloaded for it."""
        return replace(self, weights=weights.RANDOM, sha256=None)

    def build(self, image_size: int, classes: int) -> "keras.Model":
        """Make the network; ``UserError`` where the backbone or its weights cannot be had."""
        import keras

        network, preprocess = self.application()
        faces = gray_input(image_size)
        x = keras.layers.Rescaling(1.0, name="as_float", dtype="float32")(faces)
        if self.input_size != image_size:
            size = self.input_size
            x = keras.layers.Resizing(size, size, name="resize", dtype="float32")(x)
        x = preprocess(colored(x, "rgb"))
        backbone = self._loaded(network, x)
        if not self.pretrained:
            _follow_quickly(backbone)
        x = keras.layers.GlobalAveragePooling2D(name="features", dtype="float32")(backbone.output)
        # The features of a backbone without learned weights hardly vary: 2e-7 in EfficientNetB0.
        x = keras.layers.BatchNormalization(momentum=0.9, name="head_norm")(x)
        x = keras.layers.Dense(self.head, "relu", name="head_dense")(x)
        return classified(faces, x, classes=classes, dropout=self.dropout)

    def application(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Give the function that makes the backbone, and the one that prepares faces for it."""
        import keras

        family, name = self.backbone.split(".")
        try:
            module = importlib.import_module(f"keras.applications.{family}")
            # Keras has these two beside their module, not in it.
            beside = self.backbone.startswith("mobilenet_v3.MobileNetV3")
            network = getattr(keras.applications if beside else module, name)
            return network, module.preprocess_input
        except (ImportError, AttributeError):
            raise UserError(
                f"unknown backbone {self.backbone!r}; keras.applications has for example "
                "vgg16.VGG16, resnet_v2.ResNet50V2, efficientnet.EfficientNetB0"
            ) from None

    def _loaded(self, network: Callable[..., Any], x: "keras.KerasTensor") -> Any:
        given = None if self.weights == weights.RANDOM else self.weights
        try:
            with weights.pinned(self.weights, self.sha256, owner=self.backbone):
                return network(include_top=False, weights=given, input_tensor=x)
        except (UserError, ValueError):
            self._require_size(network, x)
            raise

    def _require_size(self, network: Callable[..., Any], x: "keras.KerasTensor") -> None:
        # Keras has a least size for each, which it does not look at where it is given a tensor.
        try:
            network(include_top=False, weights=None, input_tensor=x)
        except ValueError:
            raise UserError(
                f"input_size {self.input_size} is too small for {self.backbone}; choose a larger "
                "one, 512 at most"
            ) from None


def _follow_quickly(backbone: "keras.Model") -> None:
    # With Keras's 0.99 the statistics of a random backbone lag hundreds of steps behind: after 189
    # EfficientNetB0 gave every face of validation the same class.
    import keras

    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9

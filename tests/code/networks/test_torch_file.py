"""Tensors are read from old files of PyTorch, and nothing else is unpickled."""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from tests.support.torch_files import MACHINE, Call, Named, Storage, tensor, view, write

from unveil.common.errors import UserError
from unveil.networks import torch_file

VALUES = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def refused(path: Path, said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        torch_file.read(path)
    assert "\n" not in str(raised.value)


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "weights.pth"


def test_tensors_are_read_by_name_in_their_order(file):
    shared = Storage(VALUES.ravel())
    tensors = OrderedDict(
        [
            ("whole", tensor(VALUES)),
            ("count", tensor(np.array(7, "int64"))),
            ("part", view(shared, 4, (2, 4), (4, 1))),
            ("turned", view(shared, 0, (4, 6), (1, 4))),
            ("empty", view(Storage(np.zeros(1, "float32")), 0, (0,), (1,))),
        ]
    )
    read = torch_file.read(write(file, tensors))
    assert list(read) == list(tensors)
    assert np.array_equal(read["whole"], VALUES) and read["whole"].dtype == np.float32
    assert read["count"] == 7 and read["count"].dtype == np.int64
    assert np.array_equal(read["part"], VALUES.reshape(6, 4)[1:3])
    assert np.array_equal(read["turned"], VALUES.reshape(6, 4).T)
    assert read["empty"].shape == (0,)


@pytest.mark.parametrize(
    "named",
    [
        *(Named("builtins", "print"), Named("builtins", "getattr"), Named("torch", "load")),
        *(Named("torch.nn.modules.linear", "Linear"), Named("collections", "deque")),
        *(Named("torch._utils", "_rebuild_parameter"), Named("torch", "HalfStorage")),
    ],
    ids=lambda named: f"{named.module}.{named.name}",
)
def test_a_class_or_function_that_is_no_tensor_is_named_and_not_called(file, named, capsys):
    write(file, {"weight": tensor(VALUES), "other": Call(named, ("called",))})
    refused(file, rf"weights\.pth has an object of {named.module}\.{named.name}, which is no tens")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("part", ["magic", "machine"])
def test_an_object_before_the_tensors_is_not_unpickled_either(file, part, capsys):
    write(file, {}, **{part: Call(Named("builtins", "print"), ("called",))})
    refused(file, r"has an object of builtins\.print, which is no tensor")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "reaching",
    [
        *(((0, (25,), (1,))), ((20, (5,), (1,))), ((-1, (2,), (1,))), ((0, (2, 3), (24, 1)))),
        *(((0, (3,), (-1,))), ((0, (2**40,), (1,))), ((0, (2, 3), (1,)))),
    ],
    ids=str,
)
def test_a_tensor_that_reaches_outside_of_its_storage_is_refused(file, reaching):
    write(file, {"weight": view(Storage(VALUES.ravel()), *reaching)})
    refused(file, "is no PyTorch file of tensors: ")


def test_a_file_cut_off_anywhere_is_refused(file):
    whole = write(file, {"weight": tensor(VALUES), "count": tensor(np.array(7))}).read_bytes()
    for length in range(0, len(whole), 5):
        file.write_bytes(whole[:length])
        refused(file, r"weights\.pth is no PyTorch file of tensors: ")
    for count in (2**61, 2**63 - 1, 2**64 - 1):
        stored = (24).to_bytes(8, "little") + VALUES.tobytes()
        assert stored in whole
        file.write_bytes(whole.replace(stored, count.to_bytes(8, "little") + VALUES.tobytes()))
        refused(file, "a storage is cut off")
    file.write_bytes(whole + b"\0")
    refused(file, "data after the last storage")


def test_other_formats_are_refused(file):
    write(file, {"weight": tensor(VALUES)}, magic=1)
    refused(file, "another format or byte order")
    write(file, {"weight": tensor(VALUES)}, machine={**MACHINE, "little_endian": False})
    refused(file, "another format or byte order")
    write(file, {"epoch": 3})
    refused(file, "is no PyTorch file of tensors: ")
    with zipfile.ZipFile(file, "w") as archive:  # as PyTorch writes since 1.6
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    refused(file, "is no PyTorch file of tensors: ")

import pytest
import torch
from flk.errors import DecodeError
from flk.wire import Codecs, decode, encode
from flk_serializer_torch import TorchSerializer


@pytest.fixture
def codecs():
    codecs = Codecs()
    codecs.add(TorchSerializer())
    return codecs


def travelled(value, codecs):
    encoded = encode(value, codecs).owned()
    return decode(encoded.skeleton, encoded.buffers, codecs)


def test_tied_weights_travel_once_and_are_tied_again(codecs):
    embedding = torch.nn.Embedding(100, 8)
    decoder = torch.nn.Linear(8, 100, bias=False)
    decoder.weight = embedding.weight
    state = {"embedding": embedding.weight, "decoder": decoder.weight}
    assert sum(b.nbytes for b in encode(state, codecs).buffers) == 100 * 8 * 4
    back = travelled(state, codecs)
    assert back["embedding"].data_ptr() == back["decoder"].data_ptr()


def test_overlapping_views_are_joined_and_overlap_again(codecs):
    base = torch.arange(100.0)
    value = {"low": base[10:30], "high": base[20:40], "column": base[10:40].view(10, 3)[:, 1]}
    encoded = encode(value, codecs)
    assert [b.nbytes for b in encoded.buffers] == [30 * 4]
    back = travelled(value, codecs)
    assert back["column"].tolist() == value["column"].tolist()
    back["low"][10] = -1
    assert back["high"][0] == -1
    assert back["column"][3] == -1


def test_a_slice_does_not_take_the_rest_of_its_storage_along(codecs):
    records = torch.arange(10_000.0)
    assert encode(records[5:7], codecs).nbytes < 200
    assert encode(records[::5000], codecs).nbytes < 200


def test_views_of_different_types_over_one_storage_come_back(codecs):
    base = torch.arange(16, dtype=torch.uint8)
    value = {"bytes": base[1:9], "numbers": base.view(torch.int32)[1:3]}
    back = travelled(value, codecs)
    assert back["bytes"].tolist() == value["bytes"].tolist()
    assert back["numbers"].tolist() == value["numbers"].tolist()


def test_a_state_dict_is_not_copied(codecs):
    state = torch.nn.LSTM(4, 8, num_layers=2).state_dict()
    encoded = encode(state, codecs)
    for value in state.values():
        value.fill_(3)
    back = decode(encoded.skeleton, encoded.buffers, codecs)
    assert all((value == 3).all() for value in back.values())


def test_the_memory_outlives_the_tensor(codecs):
    encoded = encode(torch.full((50_000,), 2.5), codecs)
    assert decode(encoded.skeleton, encoded.buffers, codecs).sum() == 125_000


def test_misaligned_memory_is_moved_to_where_torch_wants_it(codecs):
    encoded = encode(torch.arange(5.0), codecs)
    shifted = memoryview(bytearray(b"\0" + bytes(encoded.buffers[0])))[1:]
    back = decode(encoded.skeleton, [shifted], codecs)
    assert back.data_ptr() % 16 == 0
    assert back.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "part",
    [
        ["float32", [4], [1], 0, 0, 15],
        ["float32", [5], [1], 0, 0, 16],
        ["float32", [4], [1], 1, 0, 16],
        ["float32", [4], [0], 0, 0, 16],
        ["float32", [2, 2], [1, 1], 0, 0, 16],
        ["float32", [4], [-1], 3, 0, 16],
        ["float32", [1 << 62, 4], [4, 1], 0, 0, 16],
        ["float32", [2, 2], [1 << 62, 1], 0, 0, 16],
        ["float32", [4, 1], [1], 0, 0, 16],
        ["qint8", [4], [1], 0, 0, 16],
        ["float32", [4], [1], 0, 1, 16],
        ["float32", [4], [1], 0, True, 16],
        ["float32", [0], [], 0, 0, 16],
        ["float32", [1 << 62] * 100_000, [1] * 100_000, 0, 0, 16],
    ],
)
def test_a_window_that_does_not_fit_its_memory_is_refused(part):
    from flk.testing.serializer import Source

    source = Source([bytearray(16)])
    with pytest.raises(DecodeError):
        TorchSerializer().decode("torch.Tensor/1", ["dense", False, part[1], part], source)


@pytest.mark.parametrize("indices", [[[0, 9], [0, 0]], [[-1, 0], [0, 0]], [[1, 0], [0, 0]]])
def test_a_sparse_tensor_with_impossible_indices_is_refused(codecs, indices):
    good = torch.sparse_coo_tensor(
        torch.tensor([[0, 1], [0, 0]]), torch.ones(2), (2, 2), is_coalesced=True
    )
    encoded = encode(good, codecs).owned()
    encoded.buffers[0][:] = bytes(torch.tensor(indices).untyped_storage())
    with pytest.raises(DecodeError):
        decode(encoded.skeleton, encoded.buffers, codecs)

import pytest
import torch
from flk_serializer_torch import TorchArrays


@pytest.fixture
def arrays():
    return TorchArrays()


@pytest.fixture
def uncoalesced():
    return torch.sparse_coo_tensor(
        torch.tensor([[0, 1, 1], [1, 0, 0]]),
        torch.tensor([1.0, 2, 3]),
        (2, 2),
        check_invariants=True,
    )


def test_a_parameter_is_copied_as_a_parameter(arrays):
    copy = arrays.copy(torch.nn.Parameter(torch.ones(2), requires_grad=True))
    assert type(copy) is torch.nn.Parameter
    assert copy.requires_grad


def test_sums_of_tensors_with_gradients_leave_no_history(arrays):
    x = torch.ones(3, requires_grad=True)
    acc = arrays.accumulator(x)
    arrays.axpy(acc, x, 2.0)
    assert not acc.requires_grad
    total, norm2 = arrays.absorb(acc, x, 1.0)
    assert total.tolist() == [3, 3, 3]
    assert norm2 == pytest.approx(3)


def test_a_sparse_tensor_is_checked_and_added_to_a_dense_accumulator(arrays, uncoalesced):
    assert arrays.finite(uncoalesced)
    assert arrays.norm2(uncoalesced) == pytest.approx(26)
    acc = arrays.accumulator(uncoalesced)
    arrays.axpy(acc, uncoalesced, 2.0)
    assert acc.tolist() == [[0, 2], [10, 0]]
    assert not arrays.can_absorb(acc, uncoalesced)


def test_a_sparse_tensor_with_nan_is_found(arrays, uncoalesced):
    uncoalesced._values()[2] = float("nan")
    assert not arrays.finite(uncoalesced)


def test_a_sparse_copy_shares_nothing(arrays, uncoalesced):
    copy = arrays.copy(uncoalesced)
    copy._values().zero_()
    assert uncoalesced._values().tolist() == [1, 2, 3]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_narrow_floats_are_checked_and_summed_in_float32(arrays, dtype):
    x = torch.tensor([1.0, 2, float("nan")]).to(getattr(torch, dtype))
    assert not arrays.finite(x)
    assert arrays.finite(x[:2])
    assert arrays.norm2(x[:2]) == pytest.approx(5)
    acc = arrays.accumulator(x[:2])
    arrays.axpy(acc, x[:2], 0.5)
    assert acc.tolist() == [0.5, 1]


def test_a_layout_with_gaps_is_summed_by_blocks_too(arrays):
    x = torch.ones(3, 1_200_000)[:, ::2]
    acc = arrays.accumulator(x)
    arrays.axpy(acc, x.double(), 1.0)
    arrays.axpy(acc, x.to(torch.bfloat16), 1.0)
    assert (acc == 2).all()
    assert arrays.norm2(x) == pytest.approx(1_800_000, rel=1e-4)


def test_memory_tells_tied_weights_from_others(arrays):
    base = torch.zeros(10, 10)
    _, start, stop = arrays.memory(base)
    assert stop - start == 400
    assert (
        arrays.memory(base.t()) == arrays.memory(torch.nn.Parameter(base)) == ("cpu", start, stop)
    )
    assert arrays.memory(base[2:4]) == ("cpu", start + 80, start + 160)
    assert arrays.memory(base[:, 1]) == ("cpu", start + 4, start + 4 + 364)


def test_tensors_that_lie_apart_are_not_absorbed(arrays):
    x = torch.ones(4, 4)
    assert not arrays.can_absorb(torch.zeros(4, 4), x.t()[:2])
    assert not arrays.can_absorb(torch.zeros(4, 4), torch.ones(4, 8)[:, ::2])

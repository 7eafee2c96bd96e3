from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.comfy.errors import Failure, FailureKind, LostServer, Rejected, Unexpected, sort_failure


def kind(exception_type: str, message: str) -> FailureKind:
    return sort_failure({"exception_type": exception_type, "exception_message": message}).kind


@pytest.mark.parametrize(
    ("exception_type", "message"),
    [
        ("torch.OutOfMemoryError", "Allocation on device 0 would exceed allowed memory."),
        ("torch.cuda.OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB"),
        ("RuntimeError", "MPS backend out of memory (MPS allocated: 17 GB)"),
        ("RuntimeError", "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        ("RuntimeError", "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        ("RuntimeError", "DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes"),
        ("torch.AcceleratorError", "HIP error: out of memory"),
        ("numpy.core._exceptions._ArrayMemoryError", "Unable to allocate 4.00 GiB for an array"),
        ("MemoryError", ""),
    ],
)
def test_memory_that_ran_out_is_told_from_other_failures(exception_type: str, message: str) -> None:
    assert kind(exception_type, message) is FailureKind.OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("exception_type", "message"),
    [
        ("RuntimeError", "CUDA error: an illegal memory access was encountered"),
        ("torch.AcceleratorError", "CUDA error: device-side assert triggered"),
        ("RuntimeError", "CUDA error: unspecified launch failure"),
        ("RuntimeError", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    ],
)
def test_a_fault_of_the_card_is_a_fault_of_the_server(exception_type: str, message: str) -> None:
    assert kind(exception_type, message) is FailureKind.CUDA_FAULT


def test_a_node_that_raises_is_named() -> None:
    data = {
        "node_id": "2",
        "node_type": "TestSyncError",
        "exception_type": "RuntimeError",
        "exception_message": "No\n",
    }

    assert sort_failure(data) == Failure(FailureKind.FAILED_NODE, "2", "TestSyncError", "RuntimeError", "No")


def test_a_failure_without_data_is_a_failed_node() -> None:
    assert sort_failure({}) == Failure(FailureKind.FAILED_NODE, None, None, "", "")


@given(
    st.dictionaries(st.sampled_from(["node_id", "exception_type", "exception_message"]), st.none() | st.integers())
)
def test_no_data_makes_the_sorting_raise(data: dict[str, Any]) -> None:
    assert sort_failure(data).kind in FailureKind


def test_a_refused_connection_was_never_sent() -> None:
    assert LostServer("no", refused=True).never_sent
    assert not LostServer("no").never_sent


def test_a_rejection_speaks_in_the_servers_words() -> None:
    assert (
        str(Rejected({"type": "prompt_no_outputs", "message": "Prompt has no outputs"}, {}))
        == "Prompt has no outputs"
    )
    assert str(Rejected({}, {})) == "the server rejected the graph"


def test_an_unexpected_reply_is_kept_short() -> None:
    assert len(Unexpected(500, "x" * 10_000).body_start) == 500

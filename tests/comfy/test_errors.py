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


@pytest.mark.parametrize(
    ("exception_type", "message"),
    [
        ("OSError", "[Errno 28] No space left on device: '/comfy/output/x.png'"),
        ("RuntimeError", "unable to write to file </torch_1>: No space left on device (28)"),
        ("OSError", "[Errno 122] Disk quota exceeded"),
    ],
)
def test_a_disk_that_is_full_is_told_from_other_failures(exception_type: str, message: str) -> None:
    assert kind(exception_type, message) is FailureKind.DISK_FULL


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


NOT_IN_LIST = {
    "1": {
        "errors": [
            {"type": "value_not_in_list", "message": "Value not in list", "details": "ckpt_name: 'a' not in []"}
        ],
        "dependent_outputs": ["2"],
        "class_type": "CheckpointLoaderSimple",
    }
}


@pytest.mark.parametrize(
    ("error", "node_errors", "names"),
    [
        ({"type": "prompt_outputs_failed_validation"}, NOT_IN_LIST, True),
        ({"type": "missing_node_type", "message": "Node 'Gone' not found."}, {}, True),
        ({"type": "invalid_prompt", "message": "Cannot execute because node Gone does not exist."}, {}, True),
        ({"type": "prompt_no_outputs", "message": "Prompt has no outputs"}, {}, False),
        (
            {"type": "prompt_outputs_failed_validation"},
            {"1": {"errors": [{"type": "value_bigger_than_max"}]}},
            False,
        ),
        ({}, {"1": None, "2": {"errors": "none"}, "3": {"errors": [None]}}, False),
    ],
)
def test_a_rejection_says_whether_something_is_not_there(
    error: dict[str, Any], node_errors: dict[str, Any], *, names: bool
) -> None:
    assert Rejected(error, node_errors).names_what_is_not_there is names


def test_a_rejection_names_the_file_that_cannot_be_opened() -> None:
    details = "image - Invalid image file: atelier/0123.png"
    failed = {
        "type": "custom_validation_failed",
        "message": "Custom validation failed for node",
        "details": details,
    }

    assert Rejected({}, {"1": {"errors": [failed]}}).missing_file == details
    assert Rejected({}, NOT_IN_LIST).missing_file == ""

"""Every refusal of a graph has ComfyUI's own type, message, details and extra_info.

Shapes and texts as recorded from ComfyUI 0.3.64; `missing_node_type` and `dependency_cycle` as servers of 2026
send them. A traceback is one line that names the step: there is no ComfyUI source here to point at.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from atelier.comfy.catalog import InputSpec, as_list

NodeError: TypeAlias = dict[str, Any]

LONGEST_PRINTED_LIST = 20


def error(kind: str, message: str, details: str, extra_info: dict[str, Any]) -> NodeError:
    """The envelope of every validation error, node's or graph's."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info}


def required_input_missing(spec: InputSpec) -> NodeError:
    return error("required_input_missing", "Required input is missing", spec.name, {"input_name": spec.name})


def bad_linked_input(spec: InputSpec, value: object) -> NodeError:
    message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
    return error("bad_linked_input", message, spec.name, _received(spec, value))


def return_type_mismatch(spec: InputSpec, received: object, link: Sequence[Any]) -> NodeError:
    details = f"{spec.name}, received_type({_printed(received)}) mismatch input_type({_printed(spec.type)})"
    extra = {
        "input_name": spec.name,
        "input_config": _config(spec),
        "received_type": None if _is_long(received) else received,
        "linked_node": list(link),
    }
    return error("return_type_mismatch", "Return type mismatch between linked nodes", details, extra)


def invalid_input_type(spec: InputSpec, value: object, reason: Exception) -> NodeError:
    message = f"Failed to convert an input value to a {spec.type} value"
    extra = {**_received(spec, value), "exception_message": str(reason)}
    return error("invalid_input_type", message, f"{spec.name}, {value}, {reason}", extra)


def value_smaller_than_min(spec: InputSpec, value: object) -> NodeError:
    message = f"Value {value} smaller than min of {spec.options['min']}"
    return error("value_smaller_than_min", message, spec.name, _received(spec, value))


def value_bigger_than_max(spec: InputSpec, value: object) -> NodeError:
    message = f"Value {value} bigger than max of {spec.options['max']}"
    return error("value_bigger_than_max", message, spec.name, _received(spec, value))


def value_not_in_list(spec: InputSpec, value: object, choices: Sequence[Any]) -> NodeError:
    """A long list is neither printed nor sent back: ComfyUI answers its length and a null `input_config`."""
    details = f"{spec.name}: '{value}' not in {_printed(list(choices))}"
    return error("value_not_in_list", "Value not in list", details, _received(spec, value))


def custom_validation_failed(spec: InputSpec, reason: str) -> NodeError:
    details = f"{spec.name} - {reason}"
    return error(
        "custom_validation_failed", "Custom validation failed for node", details, {"input_name": spec.name}
    )


def exception_during_validation(reason: Exception) -> NodeError:
    extra = {"exception_type": type(reason).__name__, "traceback": ["  in validate_inputs\n"]}
    return error("exception_during_validation", "Exception when validating node", str(reason), extra)


def exception_during_inner_validation(spec: InputSpec, link: Sequence[Any], reason: Exception) -> NodeError:
    extra = {
        "input_name": spec.name,
        "input_config": _config(spec),
        "exception_message": str(reason),
        "exception_type": type(reason).__name__,
        "traceback": ["  in validate_inputs\n"],
        "linked_node": list(link),
    }
    message = "Exception when validating inner node"
    return error("exception_during_inner_validation", message, str(reason), extra)


def dependency_cycle(node_id: str, cycle: Sequence[str], titles: Sequence[str]) -> NodeError:
    extra = {"node_id": node_id, "cycle_nodes": list(cycle)}
    return error("dependency_cycle", "Dependency cycle detected", " -> ".join(titles), extra)


def missing_class_type(node_id: str) -> NodeError:
    message = "Cannot execute because a node is missing the class_type property."
    return error("invalid_prompt", message, f"Node ID '#{node_id}'", {})


def unknown_class_type(node_id: str, class_type: object) -> NodeError:
    message = f"Cannot execute because node {class_type} does not exist."
    return error("invalid_prompt", message, f"Node ID '#{node_id}'", {})


def missing_node_type(node_id: str, class_type: object, title: object) -> NodeError:
    """What servers of 2026 say instead of the two above; `class_type` is None where the node names none."""
    message = (
        f"Node '{title}' has no class_type. The workflow may be corrupted or a custom node is missing."
        if class_type is None
        else f"Node '{title}' not found. The custom node may not be installed."
    )
    extra = {"node_id": node_id, "class_type": class_type, "node_title": title}
    return error("missing_node_type", message, f"Node ID '#{node_id}'", extra)


def no_prompt() -> NodeError:
    return error("no_prompt", "No prompt provided", "No prompt provided", {})


def no_outputs() -> NodeError:
    return error("prompt_no_outputs", "Prompt has no outputs", "", {})


def outputs_failed(errors: Sequence[NodeError]) -> NodeError:
    """`errors` are those of the output nodes themselves: the details are empty when the fault lies upstream."""
    details = "\n".join(f"{one['message']}: {one['details']}" for one in errors)
    return error("prompt_outputs_failed_validation", "Prompt outputs failed validation", details, {})


def _received(spec: InputSpec, value: object) -> dict[str, Any]:
    return {"input_name": spec.name, "input_config": _config(spec), "received_value": value}


def _config(spec: InputSpec) -> list[Any] | None:
    """A long list becomes null, as ComfyUI does it for a value that is not in the list.

    It prints the list in its other errors: ten thousand faulty links, ten thousand lists of all model files.
    """
    return None if _is_long(spec.choices) else spec.config


def _printed(kind: object) -> str:
    listed = as_list(kind)
    return f"(list of length {len(listed)})" if listed is not None and _is_long(listed) else str(kind)


def _is_long(choices: object) -> bool:
    listed = as_list(choices)
    return listed is not None and len(listed) > LONGEST_PRINTED_LIST

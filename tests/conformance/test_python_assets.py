"""The official Python SDK, unmodified: files in, files between jobs, files out."""

import io
from collections.abc import Generator
from pathlib import Path

import blake3
import httpx
import pytest
from comfy_low.transport import ComfyLow
from comfy_sdk import BlobNotFound, Comfy, HashMismatch, NotFound
from comfy_sdk.exceptions import translating

from conformance import graphs
from conformance.installation import Installation

RED, CYAN = (255, 0, 0), (0, 255, 255)


@pytest.fixture
def wire(atelier: Installation) -> Generator[ComfyLow]:
    """The layer of the SDK below its handles: one request for each call."""
    low = ComfyLow(atelier.url, atelier.key)
    yield low
    low.close()


def test_a_picture_goes_in_as_input_and_comes_out_worked_on(comfy: Comfy) -> None:
    asset = comfy.assets.from_bytes(graphs.png(RED), filename="red.png")

    job = comfy.run(graphs.inverted(asset), timeout=60)

    assert asset.id is not None
    assert asset.created_new
    assert graphs.pixel(job.outputs[0].to_bytes()) == CYAN


def test_an_output_is_the_input_of_the_next_job(comfy: Comfy) -> None:
    first = comfy.run(graphs.inverted(comfy.assets.from_bytes(graphs.png(RED), filename="red.png")), timeout=60)
    output = comfy.assets.get(first.outputs[0].id)

    second = comfy.run(graphs.inverted(output), timeout=60)

    assert output.job_id == first.id
    assert graphs.pixel(second.outputs[0].to_bytes()) == RED


def test_the_same_bytes_are_sent_once(comfy: Comfy, tmp_path: Path) -> None:
    body = graphs.png(RED)
    (tmp_path / "again ü.png").write_bytes(body)
    first = comfy.assets.from_bytes(body, filename="first.png")
    again = comfy.assets.from_file(tmp_path / "again ü.png")

    first.commit()
    again.commit()

    assert first.hash == again.hash == f"blake3:{blake3.blake3(body).hexdigest()}"
    assert first.id != again.id
    assert comfy.assets.get(str(again.id)).file_path == "again ü.png"


def test_one_asset_in_two_nodes_of_a_nested_graph_is_committed_once(comfy: Comfy) -> None:
    asset = comfy.assets.from_bytes(graphs.png(RED), filename="red.png")
    workflow = graphs.inverted(asset)
    workflow.json["4"] = {"class_type": "LoadImage", "inputs": {"image": asset}}
    workflow.json["5"] = {"class_type": "PreviewImage", "inputs": {"images": ["4", 0]}}

    job = comfy.run(workflow, timeout=60)

    sent = job.get_workflow().graph
    assert sent["1"]["inputs"]["image"] == sent["4"]["inputs"]["image"]
    assert sent["1"]["inputs"]["image"]["info"] == {"id": asset.id, "hash": asset.hash, "file_path": "red.png"}
    assert {output.node_id for output in job.outputs} >= {"3"}


def test_bytes_come_out_whole_in_parts_and_by_a_link(comfy: Comfy, atelier: Installation, tmp_path: Path) -> None:
    output = comfy.run(graphs.quick(), timeout=60).outputs[0]
    whole = output.to_bytes()
    copied = io.BytesIO()

    written = output.to_stream(copied)
    part = output.to_bytes(range=(1, 3))
    last = output.to_file(tmp_path / "last", range=(len(whole) - 4, len(whole) - 1)).read_bytes()
    link = output.get_download_url()

    assert (written, copied.getvalue()) == (len(whole), whole)
    assert (part, last) == (b"PNG", whole[-4:])
    assert link.url.startswith(atelier.url)
    fetched = httpx.get(link.url, headers={"Authorization": f"Bearer {atelier.key}"}, follow_redirects=True)
    assert fetched.content == whole


def test_the_link_in_an_output_opens_without_a_key(comfy: Comfy, http: httpx.Client) -> None:
    job = comfy.run(graphs.quick(), timeout=60)
    [shown] = http.get(f"/api/v2/jobs/{job.id}").json()["outputs"]

    fetched = httpx.get(shown["url"])

    assert fetched.content == job.outputs[0].to_bytes()
    assert httpx.get(shown["url"].replace("signature=", "signature=0")).status_code == 403


def test_a_range_behind_the_end_is_refused_with_the_size(comfy: Comfy, http: httpx.Client) -> None:
    asset = comfy.assets.from_bytes(b"ten bytes!", filename="ten.bin")
    asset.commit()

    answer = http.get(f"/api/v2/assets/{asset.id}/content", headers={"Range": "bytes=10-"})

    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */10")
    assert answer.json()["error"]["code"] == "range_not_satisfiable"


def test_a_deleted_asset_is_gone_the_second_time(comfy: Comfy) -> None:
    asset = comfy.assets.from_bytes(graphs.png(RED), filename="gone.png")
    deleted = asset.commit()

    asset.delete()

    with pytest.raises(NotFound):
        comfy.assets.get(deleted)
    with pytest.raises(NotFound):
        comfy.assets.delete(deleted)


def test_what_belongs_to_another_account_is_not_there(comfy: Comfy, stranger: Comfy) -> None:
    body = graphs.png(RED)
    asset = comfy.assets.from_bytes(body, filename="mine.png")
    asset.commit()
    theirs = stranger.assets.from_bytes(body, filename="theirs.png")

    theirs.commit()

    with pytest.raises(NotFound):
        stranger.assets.get(str(asset.id))
    with pytest.raises(NotFound):
        stranger.assets.delete(str(asset.id))
    assert theirs.id != asset.id
    assert theirs.hash == asset.hash


def test_bytes_that_are_not_what_their_hash_says_are_refused(wire: ComfyLow) -> None:
    other = blake3.blake3(b"other bytes").hexdigest()

    with pytest.raises(HashMismatch) as caught, translating():
        wire.post_assets(io.BytesIO(b"these bytes"), "text/plain", "wrong.txt", expected_hash=f"blake3:{other}")

    assert caught.value.http_status == 409
    assert not wire.head_asset_by_hash(f"blake3:{blake3.blake3(b'these bytes').hexdigest()}")


def test_a_hash_that_was_never_sent_cannot_be_minted(wire: ComfyLow) -> None:
    unknown = f"blake3:{blake3.blake3(graphs.png(CYAN)).hexdigest()}"

    known = wire.head_asset_by_hash(unknown)

    assert not known
    with pytest.raises(BlobNotFound), translating():
        wire.asset_from_hash(unknown, file_path="x.png")


def test_hashes_are_known_in_either_case(wire: ComfyLow) -> None:
    body = graphs.png(CYAN)
    digest = blake3.blake3(body).hexdigest()

    sent = wire.post_assets(io.BytesIO(body), "image/png", "a.png", expected_hash=f"blake3:{digest.upper()}")

    assert sent.hash == f"blake3:{digest}"
    assert wire.head_asset_by_hash(f"blake3:{digest}")
    assert wire.asset_from_hash(f"blake3:{digest}", file_path="b.png").hash == sent.hash

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from atelier.kit import log


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_of_json_is_one_event(capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")

    structlog.get_logger().info("job.ended", job_id="j", state="succeeded")

    line = json.loads(capfd.readouterr().err)
    assert (line["event"], line["job_id"], line["state"], line["level"]) == ("job.ended", "j", "succeeded", "info")


def test_standard_output_stays_free(capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("debug", "console")

    structlog.get_logger().warning("something")

    assert capfd.readouterr().out == ""


def test_less_than_the_level_is_not_logged(capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("warning", "json")

    structlog.get_logger().info("quiet")
    logging.getLogger("library").info("quiet")

    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_are_hidden_by_name_and_by_look(capfd: pytest.CaptureFixture[str], form: str) -> None:
    log.configure("info", "json" if form == "json" else "console")
    key = "atl_" + "s3cretS3CRET" * 3 + "1234567"

    structlog.get_logger().info(
        f"got {key}",
        headers={"Authorization": "Bearer s3cret", "X-Key": "s3cret", "X-Api-Key": "s3cret", "X-Trace": "seen"},
        link="http://host/files/1?expires=9&signature=s3cret",
        url="postgresql://me:s3cret@host/db",
        api_key="s3cret",
        extra=[{"token": "s3cret"}, "Bearer s3cret"],
        dsn="host=h password=s3cret",
    )
    logging.getLogger("library").warning("sent %s", "Authorization: Bearer s3cret")

    said = capfd.readouterr().err
    assert "s3cret" not in said
    assert "seen" in said


@pytest.mark.parametrize(
    "spelled",
    [
        "GET /k/s3cret/prompt?x=1",
        "https://host/k/s3cret/api/v2/jobs",
        "/ws?clientId=a&token=s3cret&x=1",
        "cookie: a=b; atelier_session=s3cret; c=d",
        "authorization: Basic dXNlcjpzM2NyZXRTM0NSRVQ=",
        "[(b'authorization', b'Basic dXNlcjpzM2NyZXRTM0NSRVQ=')]",
        "Authorization: Key s3cret",
        "X-API-Key: s3cret",
        "ws://user:s3cret@host/ws",
    ],
)
def test_every_way_to_send_a_key_is_hidden(capfd: pytest.CaptureFixture[str], spelled: str) -> None:
    log.configure("info", "json")

    structlog.get_logger().info(f"seen {spelled}", what=spelled, many=[spelled])

    said = capfd.readouterr().err
    assert "s3cret" not in said
    assert "dXNlcjpzM2NyZXR" not in said
    assert log.HIDDEN in said


def test_a_failure_is_logged_with_its_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")

    try:
        int("Bearer s3cret")
    except ValueError:
        structlog.get_logger().exception("failed")

    line = json.loads(capfd.readouterr().err)
    assert "ValueError" in line["exception"]
    assert "s3cret" not in line["exception"]

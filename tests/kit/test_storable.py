import json

from atelier.kit.database import Database
from atelier.kit.storable import json_text


async def test_what_strangers_write_can_be_stored(database: Database) -> None:
    strange = {
        "nan": float("nan"),
        "endless": [float("inf"), float("-inf")],
        "nul": "a\0b",
        "half": "x\ud800y",
        "k\0": ("\\u0000", "é😀"),
        "plain": 1,
    }

    async with database.autocommit() as tx:
        rows = await tx.execute("SELECT %s::jsonb", (json_text(strange),))
        row = await rows.fetchone()

    assert row == (
        {
            "nan": None,
            "endless": [1e18, -1e18],
            "nul": "ab",
            "half": "x?y",
            "k": ["\\u0000", "é😀"],
            "plain": 1,
        },
    )


def test_what_is_fit_is_written_as_it_is() -> None:
    assert json.loads(json_text({"a": [1, "Infinity and NaN", None]})) == {"a": [1, "Infinity and NaN", None]}

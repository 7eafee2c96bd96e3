"""A prompt is accepted as one ComfyUI that is the whole fleet would accept it, and refused in its words."""

from support.door import Door
from support.graphs import picture


async def test_smoke(door: Door) -> None:
    done = await door.prompt(picture())
    assert done.prompt_id == str(done.job.id)

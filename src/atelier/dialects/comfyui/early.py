"""A file that a running job's node has shown is asked of the server that runs it, until the job's end stores it.

Only files that a message of that very job named are asked for: temporary files of all accounts lie in one folder
there, and a name that somebody guesses opens nothing.
"""

import datetime as dt
import urllib.parse

from atelier.assets.names import FileName, Folder
from atelier.comfy.output_names import server_name
from atelier.comfy.rewriting import run_folder
from atelier.dialects.auth import Call
from atelier.jobs.store import reads
from atelier.jobs.store.reads import Whereabouts


async def fetch(call: Call, file: FileName) -> bytes | None:
    """Its bytes; None when no running job told of it to a socket here, or its server cannot be asked from here."""
    account_id, services = call.caller.account_id, call.services
    job_id = services.hub.maker_of(account_id, (file.folder, file.subfolder, file.name))
    if job_id is None or services.reach is None:
        return None
    async with services.database.autocommit() as tx:
        place = await reads.whereabouts(tx, account_id, job_id)
    server = next((one for one in services.reach.servers() if place and one.id == place.server_id), None)
    name = server_name(file.name, place.position) if place else None
    if place is None or server is None or name is None:
        return None
    for subfolder in _subfolders(file, place):
        query = urllib.parse.urlencode({"filename": name, "subfolder": subfolder, "type": file.folder})
        fetched = await services.reach.fetch(server, "/view", query=query)
        if fetched is not None and fetched.status == 200:
            return fetched.body
    return None


def _subfolders(file: FileName, place: Whereabouts) -> list[str]:
    """Outputs of a run lie in a folder of its own, under the day on which they were to begin, or the next."""
    if file.folder is not Folder.OUTPUT:
        return [file.subfolder]
    days = [place.claimed_at, place.claimed_at + dt.timedelta(minutes=1)]
    folders = dict.fromkeys(run_folder(day.strftime("%Y%m%d"), str(place.prompt_id)) for day in days)
    return [f"{folder}/{file.subfolder}".rstrip("/") for folder in folders]

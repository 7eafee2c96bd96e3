"""`atelier doctor` looks at everything that an installation needs; its exit code says whether all is well."""

from atelier.entry.checkup import look
from atelier.entry.commands import process
from atelier.entry.commands.options import Script, State
from atelier.entry.commands.printing import rows
from atelier.entry.settings import Settings
from atelier.kit.errors import SetupFailed


def doctor(*, script: Script = False, state: State = None) -> None:
    """Look at settings, folders, port, database and servers; say what is wrong and what to do."""
    settings = process.start(quiet=True, state_dir=state)
    process.run(_doctor(settings, script=script))


async def _doctor(settings: Settings, *, script: bool) -> None:
    findings = await look(settings, process.announce)
    rows(
        [{"well": each.well, "what": each.what, "found": each.says} for each in findings],
        script=script,
        nothing="",
    )
    ill = [each.what for each in findings if not each.well]
    if ill:
        raise SetupFailed(f"not all is well: {', '.join(ill)}")

"""Jobs, outputs and assets as Comfy API v2 spells them: every required key, times with Z, absolute addresses."""

import datetime as dt
from typing import Any

from atelier.assets.model import Asset
from atelier.assets.rules import spell_hash
from atelier.dialects.links import LinkSigner
from atelier.jobs.model import Job, JobState, Output
from atelier.kit import clock
from atelier.kit.ids import JobId

PREFIX = "/api/v2"
PLAIN_METADATA = ""
"""The label under which metadata is kept that came as one string; no label of a map can be empty."""


class Speller:
    """Spells domain values for one caller's address `base`."""

    def __init__(self, base: str, signer: LinkSigner) -> None:
        self._base = base
        self._signer = signer

    def job(self, job: Job, queue_position: int | None) -> dict[str, Any]:
        """The Job object of section 3 of the contract."""
        return {
            "id": str(job.id),
            "status": job.state.shown,
            "created_at": clock.rfc3339(job.created_at),
            "started_at": _time(job.started_at),
            "completed_at": _time(job.finished_at),
            "expires_at": clock.rfc3339(job.keep_until),
            "queue_position": queue_position,
            "progress": job.progress.as_json() if job.progress else None,
            "outputs": [self.output(job.id, output) for output in job.outputs],
            "error": job.error.as_json() if job.error else None,
            "metrics": _metrics(job),
            "metadata": job.metadata.get(PLAIN_METADATA, job.metadata),
            "urls": self._urls(job.id),
        }

    def listed(self, job: Job, queue_position: int | None) -> dict[str, Any]:
        """The same with the names that listings use for its times."""
        changed = job.finished_at or job.started_at or job.created_at
        return {
            **self.job(job, queue_position),
            "create_time": clock.rfc3339(job.created_at),
            "update_time": clock.rfc3339(changed),
        }

    def output(self, job_id: JobId, output: Output) -> dict[str, Any]:
        """The Output object; its id is an asset's."""
        link = self._signer.link(self._base, output.id)
        return {
            "node_id": output.node_id,
            "name": output.name,
            "type": output.kind,
            "content_type": output.content_type,
            "size_bytes": output.size,
            "id": str(output.id),
            "hash": f"blake3:{output.hash}",
            "url": link.url,
            "url_expires_at": clock.rfc3339(link.expires_at),
            "job_id": str(job_id),
        }

    def asset(self, asset: Asset, *, created_new: bool | None = None) -> dict[str, Any]:
        """The Asset object; `created_new` is told where it was just recorded."""
        link = self._signer.link(self._base, asset.id)
        return {
            "id": str(asset.id),
            "hash": spell_hash(asset.hash),
            "size_bytes": asset.size,
            "content_type": asset.content_type,
            "file_path": asset.file_path or None,
            "created_new": created_new,
            "created_at": clock.rfc3339(asset.created_at),
            "url": link.url,
            "url_expires_at": clock.rfc3339(link.expires_at),
            "expires_at": _time(asset.expires_at),
            "job_id": str(asset.job_id) if asset.job_id else None,
        }

    def _urls(self, job_id: JobId) -> dict[str, str]:
        own = f"{self._base}{PREFIX}/jobs/{job_id}"
        return {"self": own, "events": f"{own}/events", "cancel": f"{own}/cancel", "logs": f"{own}/logs"}


def _time(moment: dt.datetime | None) -> str | None:
    return clock.rfc3339(moment) if moment else None


def _metrics(job: Job) -> dict[str, int | None]:
    """Milliseconds that the job waited and ran; null until they are known."""
    return {
        "queue_ms": _millis(job.created_at, job.started_at),
        "execution_ms": _millis(job.started_at, job.finished_at) if job.state is JobState.SUCCEEDED else None,
    }


def _millis(start: dt.datetime | None, end: dt.datetime | None) -> int | None:
    return max(round((end - start).total_seconds() * 1000), 0) if start and end else None

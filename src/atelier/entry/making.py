"""What the settings say of requests to make something: limits, deliveries, results, workflows of a purpose."""

from collections.abc import Mapping

from atelier.entry.settings import Settings
from atelier.intake.generation import House
from atelier.intake.results import Policy, Sharing


def house_of(settings: Settings) -> House:
    """Where all runs have one limit, what they make says nothing of it."""
    timeouts = {
        "image": settings.run_timeout_image,
        "video": settings.run_timeout_video,
        "other": settings.run_timeout_other,
    }
    return House(
        timeouts=timeouts if settings.run_timeout is None else None,
        format=settings.picture_format,
        quality=settings.picture_quality,
        metadata=settings.picture_metadata,
    )


def results_of(settings: Settings) -> Policy:
    return Policy(Sharing(settings.result_cache), settings.result_cache_price)


def defaults_of(settings: Settings) -> Mapping[str, str]:
    """By category."""
    named = {"inpaint": settings.inpaint_workflow, "upscale": settings.upscale_workflow}
    return {category: workflow_id for category, workflow_id in named.items() if workflow_id}

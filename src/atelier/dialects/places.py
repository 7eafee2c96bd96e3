"""A word that stands where ids stand is a path of its own, whatever the method."""

from starlette.convertors import StringConvertor, register_url_convertor


class _WorkflowConvertor(StringConvertor):
    regex = "(?!import(?:/|$))[^/]+"


class _WebhookConvertor(StringConvertor):
    regex = "(?!(?:deliveries|secret)(?:/|$))[^/]+"


register_url_convertor("workflow", _WorkflowConvertor())
register_url_convertor("webhook", _WebhookConvertor())

WORKFLOW = "/workflows/{workflow_id:workflow}"
"""The path of one workflow."""

WEBHOOK = "/webhooks/{webhook_id:webhook}"
"""The path of one webhook."""

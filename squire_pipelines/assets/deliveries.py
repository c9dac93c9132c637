"""The external assets `github/deliveries` and `hooks/deliveries`: what was delivered, upstream of the signals.

Nothing of ours makes them. Each delivery that had an effect is reported as a materialization, with the way from it to
what it is about; when, the sensor `report_deliveries` decides.
"""

import re
from typing import TYPE_CHECKING

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.assets.page_urls import board_link, repository_links, repository_url
from squire_pipelines.assets.signal_sources import DELIVERIES, HOOK_DELIVERIES, OWNERS
from squire_pipelines.assets.tables import cell, escape, preview
from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.partitions import repositories

if TYPE_CHECKING:
    from squire_pipelines.ledger.delivery_reports import ReportedDelivery
    from squire_pipelines.settings.model import Settings

_NUMBERED = re.compile(r"([A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100})#(\d{1,10})")
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}")
_MAX_LINKS = 10

_DESCRIPTIONS = {
    DELIVERIES: "GitHub's deliveries that had an effect: what each did, by which trace, and on which pull request or "
    "issue. `squire webhooks show ID` has all of one.",
    HOOK_DELIVERIES: "Deliveries of other senders: which facts each told of, in which repository, and by which trace. "
    "`squire webhooks show ID` has all of one.",
}
delivery_specs = [
    dg.AssetSpec(
        key,
        description=text,
        group_name="signals",
        kinds={"github", "webhook"} if key == DELIVERIES else {"webhook"},
        owners=OWNERS,
        partitions_def=repositories,
        tags={"squire/part": "webhooks"},
    )
    for key, text in _DESCRIPTIONS.items()
]


def report_delivery(delivery: "ReportedDelivery", settings: "Settings") -> dg.AssetMaterialization:
    """Return the materialization that a delivery is.

    Args:
        delivery: With its effects.
        settings: Say where links lead.
    """
    event = f"{delivery.event}.{delivery.action}" if delivery.action else delivery.event
    metadata: dict[str, dg.MetadataValue] = {
        "delivery": dg.MetadataValue.int(delivery.id),
        "source": dg.MetadataValue.text(cell(delivery.source)),
        "delivery_id": dg.MetadataValue.text(cell(delivery.delivery_id)),
        "event": dg.MetadataValue.text(cell(event)),
        "repository": dg.MetadataValue.text(cell(delivery.repository)),
        "sender": dg.MetadataValue.text(cell(delivery.sender)),
        "received_at": dg.MetadataValue.timestamp(delivery.received_at),
        "seconds_to_effect": dg.MetadataValue.float(delivery.seconds_to_effect),
        "effects": preview(
            ("effect", "on", "detail", "at"),
            ((one.effect, one.subject, one.detail, f"{one.at:%H:%M:%S}") for one in delivery.effects),
        ),
        "trace_id": dg.MetadataValue.text(delivery.trace_id),
        "trace": dg.MetadataValue.md(f"`squire trace {delivery.trace_id}`"),
        **(
            board_link(settings, "/signals")
            if delivery.repository is None
            else repository_links(settings, delivery.repository, "/signals")
        ),
    }
    links = [link for link in (_link(subject, settings) for subject in delivery.subjects) if link is not None]
    if links:
        metadata["link"] = dg.MetadataValue.url(links[0][1])
        metadata["links"] = dg.MetadataValue.md(
            "\n".join(f"- [{escape(subject)}]({url})" for subject, url in links[:_MAX_LINKS])
        )
    return dg.AssetMaterialization(
        DELIVERIES if delivery.source == DeliverySource.GITHUB else HOOK_DELIVERIES,
        description=cell(f"{event}: {', '.join(dict.fromkeys(one.effect for one in delivery.effects))}"),
        partition=delivery.repository,
        metadata=metadata,
        tags={tags.TRACE: delivery.trace_id},
    )


def _link(subject: str, settings: "Settings") -> tuple[str, str] | None:
    """Return the page of what a delivery had an effect on, None where it has none."""
    match = _NUMBERED.match(subject)
    if match is not None:
        # GitHub leads from an issue's address to the pull request with its number.
        return f"{match[1]}#{match[2]}", f"{repository_url(settings, match[1])}/issues/{match[2]}"
    repository, _, _fact = subject.partition(" ")
    return (subject, repository_url(settings, repository)) if _REPOSITORY.fullmatch(repository) else None

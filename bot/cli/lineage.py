"""`promotion-bot lineage`: where a version comes from and where it went."""

from __future__ import annotations

import click

from bot.cli import options, output
from bot.settings import Needs
from policies.evidence import Run


@click.command("lineage", help="Where a version comes from: data, code, run; and where it went.")
@click.argument("model")
@click.argument("version", type=click.IntRange(1))
@output.as_json
def command(model: str, version: int, as_json: bool) -> None:
    """Print a version's lineage as a tree."""
    settings = options.prepared(Needs.REGISTRY)
    from bot.wiring import without_queue
    from workers.reading import registered, version_of

    gateways = without_queue(settings)
    known = registered(gateways, model)
    found = version_of(known, version)
    evidence = gateways.registry.version_evidence(known, found)
    run = evidence.run if isinstance(evidence.run, Run) else None
    environments = sorted(
        {key.split(".")[1] for key in found.tags if key.startswith("promotion.") and key.count(".") == 2}
    )
    tree = {
        "data": {"data_version": evidence.lineage.get("data_version")},
        "code": {"git_commit": evidence.commit},
        "run": {
            "run_id": run.run_id if run else None,
            "status": run.status.value if run else None,
            "trained_by": run.user if run else None,
            "params": dict(run.params) if run else {},
        },
        "version": {
            "registered": found.created_at.isoformat(),
            "stage": found.stage,
            "aliases": sorted(alias for alias, number in known.aliases.items() if number == version),
            "release": found.tags.get("promotion.release"),
        },
        "environments": {
            name: {
                key: found.tags[f"promotion.{name}.{key}"]
                for key in ("status", "pr", "commit", "by", "at")
                if f"promotion.{name}.{key}" in found.tags
            }
            for name in environments
        },
    }
    if as_json:
        output.print_json({"model": model, "version_number": version, **tree})
        return
    output.print_tree(f"{model} v{version}", tree)

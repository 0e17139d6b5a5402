"""`promotion-bot download`: the files of a version, verified, or nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from bot.cli import options, output
from bot.domain.errors import Refused
from bot.settings import Needs


@click.command("download", help="Download a model's files, verified against the manifest's digest.")
@click.argument("model")
@click.option("--environment", help="What the manifest names for an environment.")
@click.option("--version", "number", type=click.IntRange(1), help="A version.")
@click.option("--alias", help="What an alias of the registry points at.")
@click.option("--to", "target", required=True, type=click.Path(path_type=Path), help="A directory that is not there.")
@output.repository
@output.as_json
def command(
    model: str,
    environment: str | None,
    number: int | None,
    alias: str | None,
    target: Path,
    repository: str | None,
    as_json: bool,
) -> None:
    """Download to a directory beside the target first; it gets its name only when every byte is there and right."""
    if sum(choice is not None for choice in (environment, number, alias)) != 1:
        raise click.UsageError("say exactly one of --environment, --version and --alias")
    if target.exists():
        raise Refused(f"{target} is there already; name a directory that is not")
    settings = options.prepared(Needs.REGISTRY | Needs.GITHUB if environment else Needs.REGISTRY)
    from bot.wiring import without_queue
    from workers.reading import expect_environment, registered, version_of, view_of

    gateways = without_queue(settings)
    known = registered(gateways, model)
    expected = None
    if environment is not None:
        view = view_of(gateways, repository, model)
        entry = view.manifest.entry(model, expect_environment(view, environment))
        if entry is None:
            raise Refused(f"the manifest of {view.name} has no version of “{model}” in {environment}")
        number, expected = entry.version, entry.digest
    elif alias is not None:
        number = known.aliases.get(alias)
        if number is None:
            aliases = ", ".join(sorted(known.aliases)) or "none"
            raise Refused(f"“{model}” has no alias “{alias}”; it has {aliases}")
    version = version_of(known, number or 0)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
        files = Path(folder) / "files"
        files.mkdir()
        found = gateways.artifacts.download(version, files)
        if expected is not None and found.digest != expected:
            raise Refused(
                f"the files of version {version.version} have the digest {found.digest}, the manifest says {expected}:"
                " somebody changed them after they were promoted"
            )
        files.rename(target)
    if as_json:
        output.print_json({"version": version.version, "digest": found.digest, "bytes": found.size, "to": str(target)})
    else:
        click.echo(f"{model} v{version.version} ({found.size:,} bytes, {found.digest}) is in {target}")

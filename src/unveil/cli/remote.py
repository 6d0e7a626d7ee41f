"""unveil remote: where the versions are kept."""

from typing import Annotated

import typer

app = typer.Typer(help="Keep the versions on S3.", no_args_is_help=True)


@app.command()
def create(
    url: Annotated[str, typer.Argument(metavar="s3://BUCKET/PREFIX")],
    endpoint: Annotated[
        str | None,
        typer.Option(envvar="AWS_ENDPOINT_URL_S3", help="The URL of a server other than AWS."),
    ] = None,
    region: Annotated[str | None, typer.Option(help="Where the bucket lies, or is made.")] = None,
    retention_days: Annotated[
        int | None,
        typer.Option(min=1, max=3650, help="How long what was deleted can be had back; else 90."),
    ] = None,
) -> None:
    """Make or check a private bucket and make it the default DVC remote.

    Credentials come from the environment, AWS_PROFILE, or .dvc/config.local, never from here.
    """
    from unveil import storage
    from unveil.storage import dvc_remote

    named = storage.place(url, endpoint=endpoint, region=region)
    own = dvc_remote.settings(named.url)
    place = storage.place(
        named.url,
        endpoint=endpoint or own.get("endpointurl"),
        region=region or own.get("region"),
    )
    for line in storage.create(place, keys=own, retention_days=retention_days):
        print(line)
    for line in dvc_remote.make_default(place):
        print(line)

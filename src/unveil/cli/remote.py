"""unveil remote: set up an S3 bucket as the DVC remote."""

from typing import Annotated

import typer

from unveil.cli.commands import App

app = App(help="Set up an S3 bucket as the DVC remote.", no_args_is_help=True)


@app.command()
def create(
    url: Annotated[
        str, typer.Argument(metavar="s3://BUCKET/PREFIX", help="The bucket, and a folder in it.")
    ],
    endpoint: Annotated[
        str | None,
        typer.Option(
            envvar="AWS_ENDPOINT_URL_S3", help="URL of an S3-compatible server other than AWS."
        ),
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="The region of the bucket; a new bucket is created there.")
    ] = None,
    retention_days: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=3650,
            help="Days to keep deleted objects restorable; default: the bucket's rule, or 90.",
        ),
    ] = None,
) -> None:
    """Create or check a private bucket and set it as the default DVC remote.

    Credentials are read from the environment, AWS_PROFILE or .dvc/config.local.
    """
    from unveil import storage
    from unveil.storage import dvc_remote

    named = storage.parse_location(url, endpoint=endpoint, region=region)
    own = dvc_remote.settings(named.url)
    place = storage.parse_location(
        named.url,
        endpoint=endpoint or own.get("endpointurl"),
        region=region or own.get("region"),
    )
    for line in storage.create(place, keys=own, retention_days=retention_days):
        print(line)
    for line in dvc_remote.make_default(place):
        print(line)

"""S3 buckets as DVC remotes; the only package that imports boto3.

Creates or configures the bucket of ``s3://bucket/prefix`` and verifies that it can be used, with
credentials from DVC or boto3. Command: ``unveil remote create``.
May import: common.
"""

from unveil.storage.bucket import create
from unveil.storage.location import StorageLocation, parse_location
from unveil.storage.settings import RETENTION_DAYS

__all__ = ["RETENTION_DAYS", "StorageLocation", "create", "parse_location"]

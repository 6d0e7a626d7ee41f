"""The only door to S3: buckets that versions of the faces may lie in.

Takes ``s3://bucket/prefix`` and credentials from where boto3 or DVC keep them; makes the bucket, or
brings up what it lacks, and proves that it can be used. ``unveil remote create``.
May import: common.
"""

from unveil.storage.bucket import create
from unveil.storage.location import Place, place
from unveil.storage.settings import RETENTION_DAYS

__all__ = ["RETENTION_DAYS", "Place", "create", "place"]

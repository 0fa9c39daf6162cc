"""What CloudFormation accepts of a template. Source: CloudFormation User Guide, cloudformation-limits.html."""

from __future__ import annotations

MAX_RESOURCES = 500
MAX_BYTES = 1_000_000  # of a template in S3; from there CDK deploys

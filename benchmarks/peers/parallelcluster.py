"""The peer of benchmarks.synth: AWS ParallelCluster makes the template of one cluster, in an environment of its own.

    python parallelcluster.py CONFIGURATION ANSWERS

What `pcluster create-cluster` does between reading the file and calling CloudFormation
(pcluster.models.cluster.Cluster.create): load the configuration, build the templates with CDK. Left out in its favour:
its validators, and all waiting for AWS. What it asks AWS is answered from the file ANSWERS. Prints how many
templates it made and how many resources are in them.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import botocore.client
from pcluster.models.s3_bucket import S3Bucket
from pcluster.schemas.cluster_schema import ClusterSchema
from pcluster.templates.cdk_builder import CDKTemplateBuilder
from pcluster.utils import load_yaml_dict


def main(configuration: str, answers: str) -> None:
    responses: dict[str, Any] = load_yaml_dict(answers)

    def answer(client: botocore.client.BaseClient, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        response: dict[str, Any] = responses[operation]
        if operation == "DescribeInstanceTypes":
            return {"InstanceTypes": [response[name] for name in parameters["InstanceTypes"]]}
        return response

    botocore.client.BaseClient._make_api_call = answer  # type: ignore[attr-defined]
    os.environ["AWS_DEFAULT_REGION"] = "us-east-2"
    cluster = ClusterSchema(cluster_name="speech").load(load_yaml_dict(configuration))
    bucket = S3Bucket(service_name="speech", stack_name="speech", artifact_directory="speech")
    root, nested = CDKTemplateBuilder().build_cluster_template(cluster, bucket, "speech")
    templates = [root, *(asset["content"] for asset in nested)]
    print(len(templates), sum(len(template["Resources"]) for template in templates))


if __name__ == "__main__":
    main(*sys.argv[1:])

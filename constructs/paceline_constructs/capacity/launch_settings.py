"""What every launch template of ours says, whoever launches with it."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms

# where Amazon Linux 2023, which EKS's images are, attaches its root volume
AMAZON_LINUX_ROOT = "/dev/xvda"


def guarded_metadata() -> ec2.CfnLaunchTemplate.MetadataOptionsProperty:
    """Version 2 only, over one hop: a container cannot take the node's role."""
    return ec2.CfnLaunchTemplate.MetadataOptionsProperty(http_tokens="required", http_put_response_hop_limit=1)


def root_volume(
    gib: int, key: kms.IKey, *, device: str = AMAZON_LINUX_ROOT
) -> ec2.CfnLaunchTemplate.BlockDeviceMappingProperty:
    """An encrypted root volume that ends with its instance. Under another `device` than the image's root it would be a
    second volume."""
    return ec2.CfnLaunchTemplate.BlockDeviceMappingProperty(
        device_name=device,
        ebs=ec2.CfnLaunchTemplate.EbsProperty(
            volume_size=gib,
            volume_type="gp3",
            encrypted=True,
            kms_key_id=key.key_arn,
            delete_on_termination=True,
        ),
    )

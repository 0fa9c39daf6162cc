"""CDK building blocks of a training platform. They know AWS and the catalog, but no team and no stack."""

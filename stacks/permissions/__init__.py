"""What CloudFormation must be allowed to deploy a team, by the resources that the team has."""

"""What a change of a team's file does to what is deployed, told before it is deployed."""

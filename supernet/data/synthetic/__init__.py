"""`data=synthetic`: rendered multi-person scenes in CrowdPose's layout."""

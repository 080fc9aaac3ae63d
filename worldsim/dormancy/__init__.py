"""What lies in deep sleep: kept on the host, looked up by place, and worked on by no stage of the step."""

"""What stands between a socket and the application: limits of time, size and number."""

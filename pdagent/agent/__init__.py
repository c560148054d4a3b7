"""The running agent: composition root, pidfile, stop signals, service manager, logs."""

"""The processes that Squire starts and stops: daemon, code server, webserver, receiver."""

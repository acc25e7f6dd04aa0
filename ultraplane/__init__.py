"""The command line, configuration, certificates, supervision: where parts are put together."""

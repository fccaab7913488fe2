"""Who this client says it is. A test holds the number against the package's."""

VERSION = "0.1.0"
USER_AGENT = f"ekho-sdk-python/{VERSION}"

"""An edited video measured against its source."""

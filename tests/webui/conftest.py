"""Pages are tried on the same served Atelier as the dialects."""

from dialects.conftest import base, client, nobody, other, services, stage, stranger, tenant

__all__ = ["base", "client", "nobody", "other", "services", "stage", "stranger", "tenant"]

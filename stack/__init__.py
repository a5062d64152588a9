"""The real stack Fieldwarden is tested and measured on: Kafka, Kafka Connect, Debezium, a schema registry, PostgreSQL.

Not part of the product: it is brought by `pom.xml` through Maven, runs on free ports of 127.0.0.1, keeps its data in a
temporary folder, and is started by the tests' fixtures, by `make stack`, by `make demo-kafka` and by `bench`.
"""

from stack.artefacts import why_unfit
from stack.running import Stack

__all__ = ["Stack", "why_unfit"]

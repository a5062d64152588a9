"""What a connector is registered with: defaults under which nothing is lost or falsified, and the files' own options.

Facts: Debezium's references for its PostgreSQL and MySQL connectors; Kafka Connect's for converters, topics it makes
(KIP-158) and client overrides (KIP-458).
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from connectors.debezium.access import KafkaAccess
from connectors.debezium.brokers import Brokers
from connectors.debezium.topics import Topics
from engine.errors import EnvironmentUnfit
from rules.debezium_options import is_secret
from rules.rulebook import System

POSTGRES = "io.debezium.connector.postgresql.PostgresConnector"
MYSQL = "io.debezium.connector.mysql.MySqlConnector"
_JSON = "org.apache.kafka.connect.json.JsonConverter"
_LOGIN = "org.apache.kafka.common.security.{0}LoginModule required username={1} password={2};"
_TLS = {
    "sslmode": "database.sslmode",
    "sslrootcert": "database.sslrootcert",
    "sslcert": "database.sslcert",
    "sslkey": "database.sslkey",
    "sslpassword": "database.sslpassword",
}

TOLD_TYPES = (
    r"(?i).+\._?(?:bpchar|numeric|decimal|money|bit|varbit|oid|inet|cidr|macaddr8?|hstore|[a-z0-9]+range"
    r"|bigint unsigned.*)"
)

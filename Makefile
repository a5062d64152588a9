# Everything a fresh machine needs is made here: `make demo` and `make test` start from Python alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SPREAD = $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: demo demo-kafka test test-rest test-all fuzz lint bench stack stack-stop lock lock-artefacts pin-images audit sbom secrets protocol clean

demo: $(READY)
	$(BIN)/fieldwarden demo

# The same through Debezium and Kafka, on a stack of its own that is stopped again at the end (needs Java, Maven).
demo-kafka: $(READY)
	@$(BIN)/python -m stack.demo

# What shows that everything holds, against real PostgreSQL, in five minutes; nothing to install but Python.
test: $(READY)
	$(SPREAD) -m "not kafka and not long"

# What `make test` leaves: real Kafka where Java 17 and Maven are there, and what takes long.
test-rest: $(READY)
	@$(BIN)/python -m stack fetch
	$(SPREAD) -m "kafka or long"

test-all: test test-rest

# Hostile inputs for every decoder and the HTTP server, for FUZZ_SECONDS (60); what is found is kept in fuzz-found/.
fuzz: $(READY)
	@$(BIN)/python -m tests.fuzz

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m bench

# Kafka, Connect with Debezium, a schema registry and PostgreSQL on loopback, until `make stack-stop` (needs Java, Maven).
stack: $(READY)
	@$(BIN)/python -m stack start

stack-stop: $(READY)
	@$(BIN)/python -m stack stop

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Renew the lock (needs `uv`); it names packages and hashes, never where they came from.
lock:
	uv pip compile --quiet pyproject.toml --group dev --generate-hashes --universal --python-version 3.11 \
	  --no-header --no-annotate --no-emit-index-url --output-file requirements.lock

# Renew what Maven's artefacts have to be, after a change of stack/pom.xml (needs Java, Maven). It names files and hashes.
lock-artefacts: $(READY)
	@$(BIN)/python -m stack lock

# Write the digests of all images behind their tags (needs Docker's client and a registry that answers).
pin-images: $(READY)
	@$(BIN)/python -m stack pin-images

# Known vulnerabilities of the locked packages. Fails if there are any, or if the registry does not tell of all.
audit: $(READY)
	@$(BIN)/python -m stack audit

# dist/sbom.cdx.json: every package and jar with its hashes, as CycloneDX.
sbom: $(READY)
	@$(BIN)/python -m stack sbom

# A password of its own for every role of docker-compose.yml, in deploy/secrets; those that are there stay.
secrets:
	@$(PYTHON) deploy/make_secrets.py

# Write the stubs of vendors' own protocols again, after a change of a .proto file: ours, and the sandbox's.
protocol: $(READY)
	for room in connectors/salesforce/protocol sandbox/pubsub; do \
	  $(BIN)/python -m grpc_tools.protoc --proto_path=connectors/salesforce/protocol \
	    --python_out=$$room --pyi_out=$$room pubsub_api.proto || exit 1; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

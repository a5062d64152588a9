"""`make bench`: Fieldwarden beside its yardsticks, on the same servers and rows, told as ratios.

    stage       two throw-away servers, one table, backlogs of committed changes
    ours        the product itself: a project's folder and one `fieldwarden run` process
    yardsticks  native logical replication; a bare COPY with upsert
    kafka_*     the same game on Kafka, beside Debezium's JDBC sink (stage, ours, sink, costs, match, report)
    figures     medians, spreads, ratios, and what makes a run void (pure)

The rules of the game are in docs/performance.md.
"""

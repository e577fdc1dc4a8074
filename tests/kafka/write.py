"""Writes records with a client that nobody here wrote: write.py BROKERS, and a line of JSON for each on stdin:
{"topic": ..., "key": ..., "value": ..., "headers": {...}}"""

import json
import sys

from confluent_kafka import Producer

LIMIT = 30
failures = []


def note(error, _):
    if error is not None:
        failures.append(str(error))


producer = Producer({"bootstrap.servers": sys.argv[1], "log_level": 3, "message.timeout.ms": LIMIT * 1000})
for line in sys.stdin:
    record = json.loads(line)
    producer.produce(
        record["topic"],
        key=record.get("key"),
        value=record.get("value"),
        headers=list(record.get("headers", {}).items()),
        on_delivery=note,
    )
    producer.poll(0)
left = producer.flush(LIMIT)
if left or failures:
    sys.exit(f"{left} are not written; {failures[:3]}")

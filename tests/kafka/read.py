"""Reads topics from their beginning to their end as it is now, with a client that nobody here wrote; prints a line of
JSON for each record: read.py BROKERS TOPIC..."""

import json
import sys
import uuid

from confluent_kafka import Consumer, KafkaError, TopicPartition

LIMIT = 20


def text(value):
    return None if value is None else value.decode("utf-8", "backslashreplace")


def main(brokers, topics):
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": f"reader-{uuid.uuid4()}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "log_level": 3,
        }
    )
    left = set()
    for topic in topics:
        found = consumer.list_topics(topic, timeout=LIMIT).topics[topic]
        if found.error is None:
            left |= {(topic, number) for number in found.partitions}
    # To the end as reading finds it: Tansu, asked for it, names one that is too early.
    consumer.assign([TopicPartition(topic, number, 0) for topic, number in left])
    while left:
        message = consumer.poll(LIMIT)
        if message is None:
            sys.exit(f"nothing more comes of {left}")
        if message.error() and message.error().code() == KafkaError._PARTITION_EOF:
            left.discard((message.topic(), message.partition()))
            continue
        if message.error():
            sys.exit(str(message.error()))
        print(
            json.dumps(
                {
                    "topic": message.topic(),
                    "partition": message.partition(),
                    "offset": message.offset(),
                    "key": text(message.key()),
                    "value": text(message.value()),
                    "headers": {name: text(value) for name, value in message.headers() or []},
                }
            )
        )
    consumer.close()


main(sys.argv[1], sys.argv[2:])

"""Reads topics from their beginning to their end as it is now, with a client that nobody here wrote; prints a line of
JSON for each record: read.py BROKERS TOPIC..."""

import json
import sys
import uuid

from confluent_kafka import Consumer, TopicPartition

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
            "log_level": 3,
        }
    )
    left = {}
    for topic in topics:
        found = consumer.list_topics(topic, timeout=LIMIT).topics[topic]
        if found.error is not None:
            continue
        for number in found.partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=LIMIT)
            if high > low:
                left[topic, number] = (low, high)
    consumer.assign([TopicPartition(topic, number, low) for (topic, number), (low, _) in left.items()])
    while left:
        message = consumer.poll(LIMIT)
        if message is None:
            sys.exit(f"nothing more comes of {left}")
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
        place = (message.topic(), message.partition())
        if place in left and message.offset() + 1 >= left[place][1]:
            del left[place]
    consumer.close()


main(sys.argv[1], sys.argv[2:])

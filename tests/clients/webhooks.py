"""Verifies what Holdfast sent by the published library of Standard Webhooks."""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

with open(sys.argv[1]) as file:
    sent = json.load(file)
webhook = Webhook(sent["secret"])
assert len(sent["messages"]) >= 2
for message in sent["messages"]:
    event = webhook.verify(message["body"], message["headers"])
    assert event["id"] == message["headers"]["webhook-id"], event
    try:
        webhook.verify(message["body"] + " ", message["headers"])
    except WebhookVerificationError:
        continue
    raise AssertionError("a changed body was verified")
print("all as it should be")

"""Receives Holdfast's webhooks, verifies them with the published Standard Webhooks library, and takes each event once.

    pip install standardwebhooks==1.1.0
    HOLDFAST_WEBHOOK_SECRET=whsec_... python3 receiver.py 9000
"""

import json
import os
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

MAX_BODY = 256 * 1024
WEBHOOK = Webhook(os.environ["HOLDFAST_WEBHOOK_SECRET"])
DATABASE = os.environ.get("RECEIVER_DATABASE", "events.db")


def take(event):
    """Notes the event's id together with what is done about it, in one transaction. False: it was done before."""
    with sqlite3.connect(DATABASE) as database:
        new = database.execute(
            "INSERT INTO seen (id, type, subject, sequence) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (event["id"], event["type"], event["subject"], event.get("sequence")),
        )
        return new.rowcount == 1


class Receiver(BaseHTTPRequestHandler):
    timeout = 10  # of a connection that says nothing

    def do_POST(self):
        length = int(self.headers.get("content-length", "0"))
        if length > MAX_BODY:
            return self.answer(413)
        body = self.rfile.read(length)
        try:
            # Over the bytes as they came: a body that was parsed and written again may be another one.
            WEBHOOK.verify(body, {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError:
            return self.answer(401)
        event = json.loads(body)
        is_new = take(event)
        print("took" if is_new else "had", event["type"], event["subject"], event["id"], flush=True)
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    with sqlite3.connect(DATABASE) as database:
        database.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, type TEXT, subject TEXT, sequence INTEGER)")
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
    print("listening", server.server_address[1], flush=True)
    server.serve_forever()

"""A service behind a route of `holdfast consume`, with Python's standard library alone: each event is a POST.

    python3 service.py 3000

An event may come twice: what was done about an `Idempotency-Key` is not done again. Here that is remembered in memory;
a real service keeps it in its database, in the transaction that does the work.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

done = set()


class Events(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        key = self.headers["Idempotency-Key"]
        if key not in done:
            # CloudEvents 1.0, binary mode: what the event is stands in headers, its data in the body.
            event = self.headers.get("ce-type"), self.headers.get("ce-subject"), json.loads(body or "null")
            sys.stdout.write("%s %s %s\n" % event)  # in one piece: each request has a thread of its own
            sys.stdout.flush()
            done.add(key)
        self.send_response(204)  # any 2xx: it is done; anything else: it comes again
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    ThreadingHTTPServer(("127.0.0.1", port), Events).serve_forever()

# The other end of a webhook, written from the documentation alone: verifies, answers, and logs what it was told.
# Arguments: address, port, directory. In the directory: `known`, the secret; `answers`, statuses to give first, with
# blanks between; `log`, a line of JSON for each request; `server.pem` and `server.key` for TLS.
import hashlib, hmac, http.server, json, os, socket, ssl, sys, time

address, port, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def path(name):
    return os.path.join(directory, name)


def is_ours(headers, body):
    with open(path("known"), "rb") as known:
        secret = known.read().strip()
    stamp = headers["Outgate-Timestamp"]
    expected = hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    told = headers["Outgate-Signature"].split(",")
    good = [hmac.compare_digest("v1=" + expected, one) for one in told]
    return any(good) and abs(time.time() - int(stamp)) < 300


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(path("answers")) as answers:
            first = answers.read().split()
        status = 204
        if not is_ours(self.headers, body):
            status = 401
        elif first:
            status = int(first[0])
            with open(path("answers"), "w") as answers:
                answers.write(" ".join(first[1:]))
        line = {
            "status": status,
            "id": int(self.headers["Outgate-Event-Id"]),
            "path": self.path,
            "signatures": len(self.headers["Outgate-Signature"].split(",")),
            "event": json.loads(body),
        }
        with open(path("log"), "a") as log:
            log.write(json.dumps(line) + "\n")
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        if status != 204:
            self.wfile.write(b"x" * 100000 if status == 500 else b"said by the endpoint\n")

    def log_message(self, *_):
        pass


class Server(http.server.HTTPServer):
    address_family = socket.AF_INET6 if ":" in address else socket.AF_INET


server = Server((address, port), Hook)
if os.path.exists(path("server.pem")):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path("server.pem"), path("server.key"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()

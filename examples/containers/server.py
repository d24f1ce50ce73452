"""Serves HTTP on the listening socket that it is started with, as descriptor 3, and tells which networks it has itself."""

import http.server
import socket


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        own = " ".join(name for _, name in socket.if_nameindex())
        body = f"served by a process whose network is {own}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.HTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3)
server.serve_forever()

//! Where a domain publishes its MTA-STS policy (RFC 8461 section 3.3): Python's web server, over TLS.

use std::{fs, net::TcpStream, time::Duration};

use anyhow::Result;

use super::authority::Authority;
use crate::{
    host::{Family, Host},
    lab::Lab,
    process::Process,
};

/// One that runs; it ends with this guard.
#[derive(Debug)]
pub struct PolicyHost {
    _process: Process,
}

impl PolicyHost {
    /// Serves one policy of `domain` on port 443 of a host, IPv4 and IPv6.
    ///
    /// # Errors
    /// That Python is missing, or that it does not listen in time, with its log.
    pub fn start(
        lab: &Lab,
        host: Host,
        authority: &Authority,
        domain: &str,
        policy: &str,
    ) -> Result<Self> {
        let dir = lab.dir().join("policies");
        authority.issue(&dir, &format!("mta-sts.{domain}"))?;
        fs::write(dir.join("mta-sts.txt"), policy)?;
        let namespace = lab.namespace(host);
        let mut python = namespace.command("python3");
        python.args(["-c", SERVER]).arg(&dir);
        let mut process = Process::spawn("policy host", &mut python, &dir.join("log"))?;
        let own = (host.address(Family::V4), 443).into();
        process.wait_until("the policy host to listen", Duration::from_secs(15), || {
            let connected = namespace.inside(|| {
                let patience = Duration::from_secs(2);
                Ok(TcpStream::connect_timeout(&own, patience).is_ok())
            });
            Ok(connected?.then_some(()))
        })?;
        Ok(Self { _process: process })
    }
}

/// One thing at one path; the directory has it, and the certificate.
const SERVER: &str = r#"
import http.server, socket, ssl, sys
directory = sys.argv[1]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/.well-known/mta-sts.txt":
            return self.send_error(404)
        policy = open(directory + "/mta-sts.txt", "rb").read()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(policy)))
        self.end_headers()
        self.wfile.write(policy)
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Without asking who we are: nobody answers for names here.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "policies", 443
server = Server(("::", 443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(directory + "/cert.pem", directory + "/key.pem")
# A client that hangs up within its handshake must not end the server.
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"#;

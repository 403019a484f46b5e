//! rspamd's proxy, which is a milter that scans by itself.

use std::fs;
use std::net::SocketAddr;

use crate::host::{free_address, wait_until};
use crate::rspamd::Rspamd;

/// A running one, and every way to it as lines of a `[[scanner]]`.
pub(super) fn start() -> (Rspamd, [String; 2]) {
    let (v4, v6) = (
        free_address(),
        SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], free_address().port())),
    );
    let rspamd = Rspamd::with(|directory, address| configuration(directory, address, [v4, v6]));
    wait_until("rspamd's proxy", || {
        std::net::TcpStream::connect(v4).is_ok() && std::net::TcpStream::connect(v6).is_ok()
    });
    let ways = [v4, v6].map(|address| format!("address = \"{address}\""));
    (rspamd, ways)
}

fn configuration(directory: &str, address: SocketAddr, milter: [SocketAddr; 2]) -> String {
    // Its own list of top-level domains takes it half a minute to compile.
    let written = fs::write(format!("{directory}/suffixes"), "com\nexample\nnet\norg\n")
        .and_then(|()| fs::write(format!("{directory}/rules.lua"), RULES));
    written.unwrap();
    let [v4, v6] = milter;
    format!(
        r#"
options {{
    pidfile = "{directory}/rspamd.pid";
    temp_dir = "{directory}";
    hs_cache_dir = "{directory}";
    stats_file = "{directory}/stats.ucl";
    control_socket = "{directory}/control.sock mode=0600";
    filters = "regexp";
    url_tld = "{directory}/suffixes";
    disable_hyperscan = true;
    dns {{ nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }}
}}
logging {{ type = "file"; filename = "{directory}/rspamd.log"; level = "info"; }}
worker "normal" {{ bind_socket = "{address}"; count = 1; }}
worker "rspamd_proxy" {{
    bind_socket = ["{v4}", "{v6}"];
    milter = yes;
    timeout = 30s;
    count = 1;
    upstream "local" {{ default = yes; self_scan = yes; }}
}}
actions {{ reject = 15; add_header = 6; discard = 1000; }}
regexp {{
    PRETEND_SPAM {{ re = "Subject=/pretend-spam/H"; score = 20; }}
    PRETEND_HEADER {{ re = "Subject=/pretend-header/H"; score = 8; }}
}}
lua = "{directory}/rules.lua";
"#
    )
}

/// What scores alone do not lead to.
const RULES: &str = r#"
rspamd_config:register_symbol({
  name = 'PRETEND', type = 'callback', score = 0.0,
  callback = function(task)
    local subject = task:get_header('Subject') or ''
    if subject:find('later', 1, true) then task:set_pre_result('soft reject', 'later') end
    if subject:find('discard', 1, true) then task:set_pre_result('discard', 'gone') end
  end
})
"#;

//! `[api]`: where the API listens besides its socket, and who may do what.

use std::{collections::BTreeMap, net::SocketAddr};

use super::absolute;
use crate::{
    config::{
        Api, ApiClient, TlsFiles, Wrong,
        raw::{RawApi, RawApiClient},
    },
    policy::token::{self, Scope},
};

pub(super) fn api(raw: RawApi) -> Result<Api, Wrong> {
    let listen = listen(&raw.listen)?;
    let files = match (raw.certificate, raw.key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(Wrong::new("api.key", "missing", HALF)),
        (None, Some(_)) => return Err(Wrong::new("api.certificate", "missing", HALF)),
    };
    let file = |key: &str, path| absolute(&format!("api.{key}"), path);
    let client_ca = raw.client_ca.map(|path| file("client_ca", path));
    let client_ca = client_ca.transpose()?;
    if client_ca.is_none() && !raw.client.is_empty() {
        let problem =
            "nobody vouches for clients' certificates; name the authority's file as client_ca";
        return Err(Wrong::new("api.client_ca", "missing", problem));
    }
    let tls = match (files, listen.is_empty()) {
        (Some((certificate, key)), _) => Some(TlsFiles {
            certificate: file("certificate", certificate)?,
            key: file("key", key)?,
            client_ca,
        }),
        (None, true) => None,
        (None, false) => {
            let problem =
                "the API speaks TLS alone over TCP; give certificate and key, as PEM files";
            return Err(Wrong::new("api.certificate", "missing", problem));
        }
    };
    Ok(Api {
        listen,
        tls,
        clients: clients(&raw.client)?,
        unix_scopes: unix_scopes(&raw.unix_scopes)?,
    })
}

fn listen(raw: &[String]) -> Result<Vec<SocketAddr>, Wrong> {
    let mut listen: Vec<SocketAddr> = Vec::new();
    for (index, text) in raw.iter().enumerate() {
        let key = format!("api.listen[{index}]");
        let address = text.parse::<SocketAddr>().ok();
        let address = address
            .filter(|address| address.port() != 0)
            .ok_or_else(|| {
                let problem = "not an address and a port, as \"[::1]:8443\" or \"192.0.2.1:8443\"";
                Wrong::new(&key, text, problem)
            })?;
        if listen.contains(&address) {
            return Err(Wrong::new(key, text, "named twice; once is enough"));
        }
        listen.push(address);
    }
    if listen.len() > LISTEN_MAX {
        let problem = format!("too many; at most {LISTEN_MAX}");
        return Err(Wrong::new("api.listen", listen.len(), problem));
    }
    Ok(listen)
}

fn clients(raw: &[RawApiClient]) -> Result<Vec<ApiClient>, Wrong> {
    let mut clients: Vec<ApiClient> = Vec::new();
    for (index, RawApiClient { name, scope }) in raw.iter().enumerate() {
        let key = |field: &str| format!("api.client[{index}].{field}");
        let name = token::name(name)
            .map_err(|refusal| Wrong::new(key("name"), format!("{name:?}"), refusal.to_string()))?;
        if clients.iter().any(|other| other.name == name) {
            return Err(Wrong::new(
                key("name"),
                name,
                "named twice; one scope for each",
            ));
        }
        let scope = read_scope(key("scope"), scope)?;
        clients.push(ApiClient { name, scope });
    }
    Ok(clients)
}

fn unix_scopes(raw: &BTreeMap<String, String>) -> Result<BTreeMap<String, Scope>, Wrong> {
    let scopes = raw.iter().map(|(user, scope)| {
        let key = format!("api.unix_scopes.{user}");
        if Scope::from_name(scope) == Some(Scope::Relay) {
            let problem = "over the socket a relay has no name; allowed are read, flag and admin";
            return Err(Wrong::new(key, scope, problem));
        }
        Ok((user.clone(), read_scope(key, scope)?))
    });
    scopes.collect()
}

fn read_scope(key: String, text: &str) -> Result<Scope, Wrong> {
    Scope::from_name(text).ok_or_else(|| {
        let allowed = Scope::ALL.map(Scope::name).join(", ");
        Wrong::new(key, text, format!("unknown; allowed are {allowed}"))
    })
}

const HALF: &str = "a certificate is of no use without its key, nor a key without its certificate; give both files";
/// One for each address of a management network and then some.
const LISTEN_MAX: usize = 16;

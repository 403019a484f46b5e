//! What lies beneath a controller, looked at past it: the kernel's maps and the store's file.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use ipnetwork::IpNetwork;
use redirector_common::abi::Policy;
use redirector_user::{config::Config, edge::Edge};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};

use crate::lab::Lab;

/// Every policy that is in force, of a lab whose controller does not run.
pub(crate) fn policies(lab: &Lab) -> Arc<BTreeMap<IpNetwork, Policy>> {
    let config = Config::load(&lab.config()).unwrap();
    let edge = Edge::open(config.edge).unwrap();
    edge.actual().unwrap().policies
}

/// Runs statements on a store as somebody with the file would.
pub(crate) fn meddle(file: &Path, sql: &str) {
    sqlx::any::install_default_drivers();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let url = format!("sqlite://{}", file.display());
        let mut connection = AnyConnection::connect(&url).await.unwrap();
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut connection)
            .await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.close().await.unwrap();
    });
}

/// The same, past what keeps the trail from being changed.
pub(crate) fn meddle_with_trail(file: &Path, sql: &str) {
    let triggers = "DROP TRIGGER audit_is_append_only; DROP TRIGGER audit_is_never_deleted;";
    meddle(file, &format!("{triggers} {sql};"));
}

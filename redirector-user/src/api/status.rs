//! What is there and why: `/v1/status`, `/v1/counters`, `/v1/why`, `/v1/interfaces`.

use std::{collections::BTreeMap, net::IpAddr};

use axum::{Json, extract::State, http::StatusCode};
use redirector_common::abi::{Role, SMTP_PORT};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    error::{ApiError, Body, Path, Query},
    explain::explain,
    to_its_end,
    view::{AttachRequest, StatusView, WhyView},
};
use crate::{
    config::{self, Interface},
    controller::Opening,
    edge::{Attachment, Entrance},
    store::audit::OUTGATED,
};

/// Query of `why`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct WhyQuery {
    /// Who would connect.
    #[param(value_type = String, example = "192.0.2.10")]
    source: IpAddr,
    /// Whereto; default somewhere in the internet.
    #[param(value_type = Option<String>)]
    destination: Option<IpAddr>,
    /// The port there; default 25.
    port: Option<u16>,
    /// By which interface it comes in; default any of role `customer`.
    interface: Option<String>,
}

/// Query of a detachment.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct DetachQuery {
    /// Who, for the trail.
    #[serde(default)]
    actor: String,
}

/// Interfaces, relays, flags and flows at a glance.
#[utoipa::path(get, path = "/v1/status", tag = "status", responses((status = OK, body = StatusView), ApiError))]
pub(super) async fn status(State(controller): Shared) -> Result<Json<StatusView>, ApiError> {
    Ok(Json(controller.status().await?))
}

/// Every counter of the kernel program, by name.
#[utoipa::path(get, path = "/v1/counters", tag = "status", responses((status = OK, body = BTreeMap<String, u64>), ApiError))]
pub(super) async fn counters(
    State(controller): Shared,
) -> Result<Json<BTreeMap<&'static str, u64>>, ApiError> {
    Ok(Json(controller.counters().await?))
}

/// What would happen to a new connection, and why: the kernel program itself says so.
#[utoipa::path(
    get, path = "/v1/why", tag = "status", params(WhyQuery),
    responses((status = OK, body = WhyView), ApiError)
)]
pub(super) async fn why(
    State(controller): Shared,
    Query(WhyQuery {
        source,
        destination,
        port,
        interface,
    }): Query<WhyQuery>,
) -> Result<Json<WhyView>, ApiError> {
    let somewhere = if source.is_ipv4() {
        SOMEWHERE4
    } else {
        SOMEWHERE6
    };
    let destination = destination.unwrap_or(somewhere);
    if source.is_ipv4() != destination.is_ipv4() {
        let message =
            format!("{source} cannot connect to {destination}: give two addresses of one family");
        return Err(ApiError::usage(message));
    }
    let entrance = match interface {
        Some(name) => Entrance::Interface(interface_name(name)?),
        None => Entrance::Role(Role::Customer),
    };
    let opening = Opening {
        source,
        destination,
        port: port.unwrap_or(SMTP_PORT),
        entrance,
    };
    let reasons = controller.why(opening.clone()).await?;
    let explanation = explain(&opening, &reasons);
    let listings = match controller.listed_now(source).await {
        Err(problem) if problem.is_away() => Vec::new(),
        listings => listings?,
    };
    Ok(Json(WhyView {
        source,
        destination,
        port: opening.port,
        judgement: reasons.judgement,
        flag: reasons.flag,
        assignment: reasons.assignment,
        past: reasons.past,
        listings,
        relay_name: reasons.relay_name,
        other_build: reasons.other_build,
        explanation,
    }))
}

/// Interfaces that the program is on.
#[utoipa::path(
    get, path = "/v1/interfaces", tag = "interfaces",
    responses((status = OK, body = Vec<Attachment>), ApiError)
)]
pub(super) async fn interfaces(
    State(controller): Shared,
) -> Result<Json<Vec<Attachment>>, ApiError> {
    Ok(Json(controller.attachments().await?))
}

/// Puts the program on an interface.
#[utoipa::path(
    post, path = "/v1/interfaces", tag = "interfaces", request_body = AttachRequest,
    responses((status = CREATED, body = Attachment), ApiError)
)]
pub(super) async fn attach(
    State(controller): Shared,
    Body(AttachRequest {
        name,
        role,
        mode,
        actor,
    }): Body<AttachRequest>,
) -> Result<(StatusCode, Json<Attachment>), ApiError> {
    let name = interface_name(name)?;
    let role = config::parse_role(&role).ok_or_else(|| {
        ApiError::usage(format!(
            "role {role}: unknown; allowed are customer, uplink and relay"
        ))
    })?;
    let interface = Interface {
        name,
        role,
        modes: mode,
    };
    let attachment =
        to_its_end(async move { controller.attach(interface, actor_or_us(&actor)).await }).await?;
    Ok((StatusCode::CREATED, Json(attachment)))
}

/// Takes the program off an interface; its traffic is not looked at any more.
#[utoipa::path(
    delete, path = "/v1/interfaces/{name}", tag = "interfaces",
    params(("name" = String, Path, description = "As `ip link` names it"), DetachQuery),
    responses((status = NO_CONTENT, description = "It is off"), ApiError)
)]
pub(super) async fn detach(
    State(controller): Shared,
    Path(name): Path<String>,
    Query(DetachQuery { actor }): Query<DetachQuery>,
) -> Result<StatusCode, ApiError> {
    let name = interface_name(name)?;
    to_its_end(async move { controller.detach(name, actor_or_us(&actor)).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The name becomes a file name below the pin directory, so it is judged before anything else.
pub(super) fn interface_name(name: String) -> Result<String, ApiError> {
    if config::is_interface_name(&name) {
        return Ok(name);
    }
    Err(ApiError::usage(format!(
        "interface {name:?}: not a name; `ip link` lists the interfaces"
    )))
}

fn actor_or_us(actor: &str) -> &str {
    match actor.trim() {
        "" => OUTGATED,
        actor => actor,
    }
}

/// Stand for "anywhere in the internet" (RFC 5737, RFC 3849) when a question names no destination.
const SOMEWHERE4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 25));
const SOMEWHERE6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 25));

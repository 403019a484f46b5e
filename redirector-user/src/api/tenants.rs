//! `/v1/customers`, `/v1/assignments` and `/v1/who`: whose a prefix is, and was.

use axum::{Json, extract::State, http::StatusCode};
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    error::{ApiError, Body, Path, Query},
    to_its_end,
    view::{
        AssignRequest, AssignedView, AssignmentView, CustomerHistoryView, CustomerRequest,
        CustomerView, WhoView,
    },
};
use crate::{
    controller::{Only, Problem},
    policy::{dial::read_target, tenant::CustomerId},
};

/// Query of the list of customers.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomersQuery {
    /// Only those after the customer of this key.
    #[serde(default)]
    after: String,
    /// At most so many.
    #[serde(default = "default_limit")]
    limit: u32,
}

/// Query of a change of a customer.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SetQuery {
    /// `new`: there must be none yet; `known`: there must be one.
    only: Option<String>,
}

/// Query of a removal.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveQuery {
    /// Who, for the trail.
    #[serde(default)]
    actor: String,
}

/// Query of the list of assignments.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AssignmentsQuery {
    /// Only this customer's.
    customer: Option<String>,
    /// Only those after this prefix.
    after: Option<String>,
    /// At most so many.
    #[serde(default = "default_limit")]
    limit: u32,
}

/// Query of the end of an assignment.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct UnassignQuery {
    /// When it ended; default now.
    at: Option<Timestamp>,
    /// A single IPv6 address means itself, not its /64.
    #[serde(default)]
    exact: bool,
    /// Who, for the trail.
    #[serde(default)]
    actor: String,
}

/// Query of the question who had something.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct WhoQuery {
    /// Address or prefix.
    target: String,
    /// When; default now.
    at: Option<Timestamp>,
}

/// Customers by key, without what they have.
#[utoipa::path(
    get, path = "/v1/customers", operation_id = "list", tag = "customers", params(CustomersQuery),
    responses((status = OK, body = Vec<CustomerView>), ApiError)
)]
pub(super) async fn customers(
    State(controller): Shared,
    Query(query): Query<CustomersQuery>,
) -> Result<Json<Vec<CustomerView>>, ApiError> {
    let customers = controller.list_customers(&query.after, query.limit);
    Ok(Json(customers.await?))
}

/// One customer with what it has.
#[utoipa::path(
    get, path = "/v1/customers/{id}", operation_id = "show", tag = "customers",
    params(("id" = String, Path, description = "The operator's key")),
    responses((status = OK, body = CustomerView), ApiError)
)]
pub(super) async fn customer(
    State(controller): Shared,
    Path(id): Path<String>,
) -> Result<Json<CustomerView>, ApiError> {
    Ok(Json(controller.show_customer(&id).await?))
}

/// Sees to it that there is a customer of whom this is known. The same once more changes nothing.
#[utoipa::path(
    put, path = "/v1/customers/{id}", operation_id = "set", tag = "customers",
    params(("id" = String, Path, description = "The operator's key"), SetQuery), request_body = CustomerRequest,
    responses((status = OK, body = CustomerView), ApiError)
)]
pub(super) async fn set_customer(
    State(controller): Shared,
    Path(id): Path<String>,
    Query(query): Query<SetQuery>,
    Body(request): Body<CustomerRequest>,
) -> Result<Json<CustomerView>, ApiError> {
    let only = match query.only.as_deref() {
        None => Only::Any,
        Some("new") => Only::New,
        Some("known") => Only::Known,
        Some(other) => {
            let message = format!("only {other:?}: allowed are new and known");
            return Err(ApiError::usage(message));
        }
    };
    let set = to_its_end(async move { controller.set_customer(&id, &request, only).await });
    let (view, _changed) = set.await?;
    Ok(Json(view))
}

/// Removes a customer that has nothing, and what is personal of it.
#[utoipa::path(
    delete, path = "/v1/customers/{id}", operation_id = "remove", tag = "customers",
    params(("id" = String, Path, description = "The operator's key"), RemoveQuery),
    responses((status = OK, body = CustomerView), ApiError)
)]
pub(super) async fn remove_customer(
    State(controller): Shared,
    Path(id): Path<String>,
    Query(RemoveQuery { actor }): Query<RemoveQuery>,
) -> Result<Json<CustomerView>, ApiError> {
    let removed = to_its_end(async move { controller.remove_customer(&id, &actor).await });
    Ok(Json(removed.await?))
}

/// What a customer has and had, and what was flagged of it; also of one that is removed.
#[utoipa::path(
    get, path = "/v1/customers/{id}/history", tag = "customers",
    params(("id" = String, Path, description = "The operator's key")),
    responses((status = OK, body = CustomerHistoryView), ApiError)
)]
pub(super) async fn history(
    State(controller): Shared,
    Path(id): Path<String>,
) -> Result<Json<CustomerHistoryView>, ApiError> {
    Ok(Json(controller.customer_history(&id).await?))
}

/// Assignments of the moment, by prefix.
#[utoipa::path(
    get, path = "/v1/assignments", operation_id = "list", tag = "assignments", params(AssignmentsQuery),
    responses((status = OK, body = Vec<AssignmentView>), ApiError)
)]
pub(super) async fn assignments(
    State(controller): Shared,
    Query(query): Query<AssignmentsQuery>,
) -> Result<Json<Vec<AssignmentView>>, ApiError> {
    let customer = query.customer.as_deref().map(CustomerId::read);
    let customer = customer.transpose().map_err(Problem::from)?;
    let after = query.after.as_deref().map(|text| prefix(text, true));
    let after = after.transpose()?;
    let limit = query.limit as usize;
    Ok(Json(controller.list_assignments(
        customer.as_ref(),
        after,
        limit,
    )))
}

/// Sees to it that a prefix is a customer's. Flags of another that lie in it end. The same once more changes nothing.
#[utoipa::path(
    put, path = "/v1/assignments/{prefix}", tag = "assignments",
    params(("prefix" = String, Path, description = "Address or prefix, with `/` as `%2F`", example = "192.0.2.64/28")),
    request_body = AssignRequest,
    responses(
        (status = OK, body = AssignedView, description = "It was so already"),
        (status = CREATED, body = AssignedView, description = "It is so from now on"),
        ApiError
    )
)]
pub(super) async fn assign(
    State(controller): Shared,
    Path(target): Path<String>,
    Body(request): Body<AssignRequest>,
) -> Result<(StatusCode, Json<AssignedView>), ApiError> {
    let view = to_its_end(async move { controller.assign(&target, &request).await }).await?;
    let status = match view.changed {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    Ok((status, Json(view)))
}

/// Ends the assignment of exactly this prefix. Flags of its customer that lie in it end.
#[utoipa::path(
    delete, path = "/v1/assignments/{prefix}", tag = "assignments",
    params(
        ("prefix" = String, Path, description = "Address or prefix, with `/` as `%2F`", example = "192.0.2.64/28"),
        UnassignQuery
    ),
    responses((status = OK, body = AssignedView), ApiError)
)]
pub(super) async fn unassign(
    State(controller): Shared,
    Path(target): Path<String>,
    Query(query): Query<UnassignQuery>,
) -> Result<Json<AssignedView>, ApiError> {
    let prefix = prefix(&target, query.exact)?;
    let UnassignQuery { at, actor, .. } = query;
    let ended = to_its_end(async move { controller.unassign(prefix, at, &actor).await });
    Ok(Json(ended.await?))
}

/// Whose an address or prefix is, or was, by the most specific assignment, and what was flagged around it.
#[utoipa::path(
    get, path = "/v1/who", tag = "assignments", params(WhoQuery),
    responses((status = OK, body = WhoView), ApiError)
)]
pub(super) async fn who(
    State(controller): Shared,
    Query(query): Query<WhoQuery>,
) -> Result<Json<WhoView>, ApiError> {
    let target = prefix(&query.target, true)?;
    let at = query.at.unwrap_or_else(Timestamp::now);
    Ok(Json(controller.who(target, at).await?))
}

fn prefix(text: &str, exact: bool) -> Result<IpNetwork, ApiError> {
    read_target(text, exact).map_err(|refusal| ApiError::usage(refusal.to_string()))
}

/// A list that a person can look through; who wants more asks for what comes after its last.
const fn default_limit() -> u32 {
    1000
}

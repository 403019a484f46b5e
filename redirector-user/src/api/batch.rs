//! `/v1/flags/batch`: several flags in one request.

use axum::{Json, extract::State, http::StatusCode};

use super::{
    Shared,
    error::{ApiError, Body},
    to_its_end,
    view::{BatchItemView, BatchOutcome, BatchRequest, BatchView},
};
use crate::controller::{How, Item};

/// Adds up to 500 flags, each for itself or all of them or none, or judges them only.
#[utoipa::path(
    post, path = "/v1/flags/batch", operation_id = "add_many", tag = "flags", request_body = BatchRequest,
    responses(
        (status = OK, body = BatchView, description = "What became of each; none of them waits"),
        (status = ACCEPTED, body = BatchView, description = "The same; some wait for a relay"),
        ApiError
    )
)]
pub(super) async fn add(
    State(controller): Shared,
    Body(request): Body<BatchRequest>,
) -> Result<(StatusCode, Json<BatchView>), ApiError> {
    let BatchRequest {
        mut flags,
        dry_run,
        atomic,
        actor,
    } = request;
    if !(1..=FLAGS_MAX).contains(&flags.len()) {
        let message = format!(
            "flags: {} of them; allowed are 1 to {FLAGS_MAX}, and a file of any size goes to /v1/flags/import",
            flags.len()
        );
        return Err(ApiError::usage(message));
    }
    if !actor.trim().is_empty() {
        for flag in &mut flags {
            flag.actor.clone_from(&actor);
        }
    }
    let how = How { dry_run, atomic };
    let items = to_its_end(async move { controller.add_flags(&flags, how).await }).await?;
    let items: Vec<_> = items.into_iter().map(view).collect();
    let count = |outcomes: &[BatchOutcome]| {
        let of_it = items.iter().filter(|item| outcomes.contains(&item.outcome));
        of_it.count()
    };
    let pending = count(&[BatchOutcome::Pending]);
    let view = BatchView {
        dry_run,
        sound: pending + count(&[BatchOutcome::Active, BatchOutcome::WouldAdd]),
        refused: count(&[BatchOutcome::Refused]),
        items,
    };
    let status = match pending {
        0 => StatusCode::OK,
        _ => StatusCode::ACCEPTED,
    };
    Ok((status, Json(view)))
}

fn view(item: Item) -> BatchItemView {
    let (outcome, id, error) = match item {
        Item::Added(id, true) => (BatchOutcome::Active, Some(id), None),
        Item::Added(id, false) => (BatchOutcome::Pending, Some(id), None),
        Item::WouldAdd => (BatchOutcome::WouldAdd, None, None),
        Item::HeldBack => (BatchOutcome::HeldBack, None, None),
        Item::Refused(problem) => {
            let error = ApiError::from(problem).into_view();
            (BatchOutcome::Refused, None, Some(error))
        }
    };
    BatchItemView { outcome, id, error }
}

/// What can be stored one by one while whoever asked waits.
const FLAGS_MAX: usize = 500;
/// As many with long reasons.
pub(super) const BODY_OCTETS: usize = 1024 * 1024;

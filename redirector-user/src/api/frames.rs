//! `/v1/why/frames`: frames of a capture, judged each for itself.

use axum::{Json, extract::State};
use redirector_common::abi::Role;

use super::{
    Shared,
    error::{ApiError, Body},
    status::interface_name,
    view::{FrameView, FramesRequest, FramesView},
};
use crate::{config, edge::Entrance, hex};

/// What would become of frames of a capture, each for itself.
#[utoipa::path(
    post, path = "/v1/why/frames", tag = "status", request_body = FramesRequest,
    responses((status = OK, body = FramesView), ApiError)
)]
pub(super) async fn judge(
    State(controller): Shared,
    Body(FramesRequest {
        interface,
        role,
        frames,
    }): Body<FramesRequest>,
) -> Result<Json<FramesView>, ApiError> {
    if frames.len() > FRAMES_MAX {
        let message = format!("{} frames: at most {FRAMES_MAX} at once", frames.len());
        return Err(ApiError::usage(message));
    }
    let entrance = entrance(interface, role.as_deref())?;
    let frames = frames.iter().enumerate().map(|(index, text)| {
        hex::decode(text)
            .ok_or_else(|| ApiError::usage(format!("frames[{index}]: not hexadecimal")))
    });
    let frames = frames.collect::<Result<Vec<_>, _>>()?;
    let (ingress, judged) = controller.judge_frames(entrance, frames).await?;
    let view = |outcome| match outcome {
        Ok(judgement) => FrameView {
            judgement: Some(judgement),
            not_judged: None,
        },
        Err(why) => FrameView {
            judgement: None,
            not_judged: Some(ToString::to_string(&why)),
        },
    };
    Ok(Json(FramesView {
        role: ingress.role.name().to_owned(),
        interfaces: ingress.interfaces,
        other_build: ingress.other_build,
        frames: judged.into_iter().map(view).collect(),
    }))
}

fn entrance(interface: Option<String>, role: Option<&str>) -> Result<Entrance, ApiError> {
    match (interface, role) {
        (Some(_), Some(_)) => Err(ApiError::usage(
            "interface and role: name one of the two; an interface has its role",
        )),
        (Some(name), None) => Ok(Entrance::Interface(interface_name(name)?)),
        (None, None) => Ok(Entrance::Role(Role::Customer)),
        (None, Some(role)) => config::parse_role(role).map(Entrance::Role).ok_or_else(|| {
            ApiError::usage(format!(
                "role {role}: unknown; allowed are customer, uplink and relay"
            ))
        }),
    }
}

/// A request is judged in one go on the thread that owns the maps; this many take some milliseconds.
pub(crate) const FRAMES_MAX: usize = 512;
/// A megabyte of frames, or one as long as a capture can hold, with two digits for each octet.
pub(super) const BODY_OCTETS: usize = 4 * 1024 * 1024;

//! `GET /sandbox/clock`

use aide::transform::TransformOperation;

use super::{SandboxClock, require_sandbox};
use crate::access::Caller;
use crate::error::ApiError;
use crate::wire::Data;

pub async fn handler(caller: Caller) -> Result<axum::Json<Data<SandboxClock>>, ApiError> {
    require_sandbox(&caller)?;
    let clock = SandboxClock { now: caller.now, frozen: caller.environment.frozen_at.is_some() };
    Ok(axum::Json(Data { data: clock }))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("getSandboxClock")
        .tag("Sandbox")
        .summary("Read the sandbox clock")
        .description("403 for a token of the production environment.")
}

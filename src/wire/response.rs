//! Answers: the `data` envelope and the empty 200.

use aide::generate::GenContext;
use aide::openapi::{Operation, Response as ApiResponse};
use aide::operation::OperationOutput;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The envelope of most answers.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Data<T> {
    pub data: T,
}

/// The id of an object, as the whole of a body (schema `Id`).
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Id")]
pub struct IdBody {
    pub id: Uuid,
}

/// `{"data": {"id": …}}`
pub fn id_data(id: Uuid) -> axum::Json<Data<IdBody>> {
    axum::Json(Data { data: IdBody { id } })
}

/// 200 without body and without content type: the Node SDK fails on a JSON content type with nothing behind it.
pub struct Empty;

impl IntoResponse for Empty {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        response
    }
}

impl OperationOutput for Empty {
    type Inner = ();

    fn operation_response(_: &mut GenContext, _: &mut Operation) -> Option<ApiResponse> {
        Some(ApiResponse { description: "Done; no body.".to_owned(), ..ApiResponse::default() })
    }

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, ApiResponse)> {
        Self::operation_response(ctx, operation).map(|response| (Some(200), response)).into_iter().collect()
    }
}

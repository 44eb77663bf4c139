//! Bodies that are sent compressed.

use std::io;

use async_compression::tokio::bufread::GzipDecoder;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::error::ApiError;

/// Unpacks the body where it is in gzip, as it is read; 400 for any other coding.
pub async fn decompressed<F: Future<Output = Response>>(
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    if !request.headers().contains_key(CONTENT_ENCODING) {
        return next(request).await;
    }
    match is_gzip(request.headers()) {
        Ok(is_gzip) => {
            request.headers_mut().remove(CONTENT_ENCODING);
            request.headers_mut().remove(CONTENT_LENGTH);
            let request = if is_gzip { request.map(unpacked) } else { request };
            Box::pin(next(request)).await
        }
        Err(coding) => {
            let reason = format!("`{coding}` is not supported; send the body in gzip or as it is");
            ApiError::field("Content-Encoding", reason).into_response()
        }
    }
}

/// Whether the one coding of the body is gzip; the codings where they are others. Names have no case (RFC 9110).
fn is_gzip(headers: &HeaderMap) -> Result<bool, String> {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let codings: Vec<String> =
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_lowercase()).collect();
    match codings.join(", ").as_str() {
        "gzip" | "x-gzip" => Ok(true),
        "identity" | "" => Ok(false),
        others => Err(others.chars().take(100).collect()),
    }
}

/// What is in all members of the file: what came after the first would else be lost in silence.
fn unpacked(body: Body) -> Body {
    let mut decoder = GzipDecoder::new(StreamReader::new(body.into_data_stream().map_err(io::Error::other)));
    decoder.multiple_members(true);
    Body::from_stream(ReaderStream::new(decoder))
}

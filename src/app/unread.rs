//! Answers that reach a client which is still sending.
//!
//! A request may be answered before its body is read: no token, too many requests, a body over the limit. Were
//! the connection closed then, bytes on their way would reset it, and the client would often see that instead of
//! its answer. So the rest of the body is read first and dropped, within bounds.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::EXPECT;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::wire::BODY_LIMIT_BYTES;

/// How much of the rest is read, and for how long, before the connection is given up.
const REST_BYTES: usize = 8 * BODY_LIMIT_BYTES;
const REST_TIME: Duration = Duration::from_secs(2);

/// Answers a request when the rest of its body is there, or is not worth waiting for.
///
/// A client that still waits for leave to send (`Expect: 100-continue`) is answered at once: reading would be that leave.
pub async fn read_to_the_end<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    if request.body().is_end_stream() {
        return next(request).await;
    }
    let needs_leave = request.headers().contains_key(EXPECT);
    let (back, mut unread) = oneshot::channel();
    let lent = |body| Body::new(Lent { body: Some(body), has_begun: false, back: Some(back) });
    let request = request.map(lent);
    let response = next(request).await;
    if let Ok((rest, has_begun)) = unread.try_recv()
        && (has_begun || !needs_leave)
    {
        // The answer goes out also where the time is over.
        let _ = Box::pin(timeout(REST_TIME, drop_rest(rest))).await;
    }
    response
}

async fn drop_rest(mut rest: Body) {
    let mut read = 0;
    while let Some(Ok(frame)) = rest.frame().await
        && read < REST_BYTES
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// A body that goes back when whoever reads it drops it unread.
struct Lent {
    body: Option<Body>,
    /// Whether anybody read from it.
    has_begun: bool,
    back: Option<oneshot::Sender<(Body, bool)>>,
}

impl Lent {
    fn body(&self) -> &Body {
        self.body.as_ref().expect("it goes back only when this is dropped")
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.has_begun = true;
        let body = self.body.as_mut().expect("it goes back only when this is dropped");
        Pin::new(body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Some(back)) = (unread, self.back.take()) {
            // Nobody waits for it where the request itself was given up.
            let _ = back.send((body, self.has_begun));
        }
    }
}

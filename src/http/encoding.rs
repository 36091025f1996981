//! Bodies that a sender, or a proxy on the way, has compressed.

use super::responses::Rejection;
use super::signed::{Budget, Limit};
use super::state::IngestState;
use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_ENCODING;
use flate2::read::MultiGzDecoder;
use std::borrow::Cow;
use std::io::Read as _;

const PIECE_BYTES: usize = 64 * 1024;

/// A body as it was before it was compressed, and what it holds of the budget of deliveries.
pub(super) struct Decoded<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    _budget: Budget,
}

/// Undoes gzip, within the limit of a delivery and its budget. Only of a body whose signature has been checked: a few bytes can be made
/// to inflate to any number.
pub(super) fn decoded<'a>(
    request: &HttpRequest,
    body: &'a [u8],
    state: &IngestState,
) -> Result<Decoded<'a>, Rejection> {
    let encodings = request.headers().get_all(CONTENT_ENCODING);
    let encodings: Vec<&[u8]> = encodings.map(|value| value.as_bytes().trim_ascii()).collect();
    let is = |encoding: &[u8], name: &str| encoding.eq_ignore_ascii_case(name.as_bytes());
    let mut budget = Budget::new(state.delivery_bytes.clone());
    let bytes = match encodings.as_slice() {
        [] => Cow::from(body),
        [one] if one.is_empty() || is(one, "identity") => Cow::from(body),
        [one] if is(one, "gzip") || is(one, "x-gzip") => Cow::from(inflated(request, body, state, &mut budget)?),
        _ => {
            tracing::warn!("rejected an authentic delivery with a Content-Encoding other than gzip: send it as it is");
            return Err(Rejection::MediaType);
        }
    };
    Ok(Decoded { bytes, _budget: budget })
}

fn inflated(
    request: &HttpRequest,
    body: &[u8],
    state: &IngestState,
    budget: &mut Budget,
) -> Result<Vec<u8>, Rejection> {
    let mut decoder = MultiGzDecoder::new(body);
    let mut whole = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = decoder.read(&mut piece).map_err(|_| {
            tracing::warn!("rejected an authentic delivery that is not gzip, as its Content-Encoding says");
            Rejection::Malformed("the body is not gzip, as its Content-Encoding says".to_owned())
        })?;
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { return Ok(whole) };
        if whole.len() + read > state.settings.event_streams_body_limit_bytes {
            return Err(Limit::delivery(state).exceeded(request, state));
        }
        if !budget.take(read) {
            return Err(state.unavailable());
        }
        whole.extend_from_slice(bytes);
    }
}

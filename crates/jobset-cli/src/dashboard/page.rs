//! The files of the page. They are part of the program; nothing is loaded from anywhere else.

use axum::response::{IntoResponse, Response};
use http::header;

use crate::timeline;

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Files by name.
const FILES: [(&str, &str, &str); 10] = [
    ("app.js", SCRIPT, include_str!("page/app.js")),
    ("detail.js", SCRIPT, include_str!("page/detail.js")),
    ("dom.js", SCRIPT, include_str!("page/dom.js")),
    ("events.js", SCRIPT, include_str!("page/events.js")),
    ("grid.js", SCRIPT, include_str!("page/grid.js")),
    ("list.js", SCRIPT, include_str!("page/list.js")),
    ("logs.js", SCRIPT, include_str!("page/logs.js")),
    ("stream.js", SCRIPT, include_str!("page/stream.js")),
    ("timeline.js", SCRIPT, include_str!("page/timeline.js")),
    ("style.css", STYLE, include_str!("page/style.css")),
];

/// The page itself.
pub(super) fn index() -> Response {
    (
        [(header::CONTENT_TYPE, HTML)],
        include_str!("page/index.html"),
    )
        .into_response()
}

/// A file that the page loads.
pub(super) fn asset(name: &str) -> Option<Response> {
    if name == "timeline.css" {
        // The colours of the pictures that `jobset timeline` draws.
        return Some(([(header::CONTENT_TYPE, STYLE)], timeline::STYLE).into_response());
    }
    if name == "icon.svg" {
        let icon = include_str!("page/icon.svg");
        return Some(([(header::CONTENT_TYPE, "image/svg+xml")], icon).into_response());
    }
    let (_, kind, text) = FILES.into_iter().find(|(known, _, _)| *known == name)?;
    Some(([(header::CONTENT_TYPE, kind)], text).into_response())
}

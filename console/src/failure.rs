//! What went wrong, as a page.

use std::sync::Arc;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

use crate::{
    assets::Assets,
    documents::Problem,
    render::{Frame, Page, page},
    view::Section,
};

/// A problem on its way to the browser.
pub struct Failure {
    pub problem: Problem,
    frame: Option<Frame>,
    assets: Arc<Assets>,
}

impl Failure {
    pub fn new(problem: Problem, frame: Option<Frame>, assets: Arc<Assets>) -> Self {
        Self { problem, frame, assets }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self { problem, frame, assets } = self;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut sections = vec![Section::Problem(problem.clone())];
        sections.extend(problem.request_id.map(|id| Section::text(format!("Request {id}"))));
        let frame = frame.unwrap_or_else(|| Frame::of_nobody(&assets));
        let title = status.canonical_reason().unwrap_or("Something went wrong");
        let mut response = page(&Page::new(title, sections), &frame);
        *response.status_mut() = status;
        response
    }
}

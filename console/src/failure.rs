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

/// Why a page is not shown. Small: it is in each result.
pub struct Failure(Box<Why>);

enum Why {
    Problem {
        problem: Problem,
        frame: Option<Frame>,
        assets: Arc<Assets>,
    },
    /// The browser is sent elsewhere first.
    Instead(Response),
}

impl Failure {
    pub fn new(problem: Problem, frame: Option<Frame>, assets: Arc<Assets>) -> Self {
        Self(Box::new(Why::Problem { problem, frame, assets }))
    }

    pub fn instead(response: Response) -> Self {
        Self(Box::new(Why::Instead(response)))
    }

    /// What is wrong, if it is not only that nobody is signed in.
    pub fn problem(&self) -> Option<&Problem> {
        match &*self.0 {
            Why::Problem { problem, .. } => Some(problem),
            Why::Instead(_) => None,
        }
    }

    /// Whether it is this one of the API's problems.
    pub fn is(&self, code: &str) -> bool {
        self.problem().is_some_and(|problem| problem.code == code)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (problem, frame, assets) = match *self.0 {
            Why::Problem { problem, frame, assets } => (problem, frame, assets),
            Why::Instead(response) => return response,
        };
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

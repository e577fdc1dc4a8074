//! What all HTTP servers of ours share: connections with their limits and deadlines, and how JSON is read.
//! Nothing in here knows what is served.

mod body;
mod client;
pub mod json;
mod limits;
mod server;
mod stream;

pub use body::BodyTooSlow;
pub use limits::{Limits, raise_file_limit};
pub use server::serve;

//! What all HTTP of ours shares: a server's connections with their limits and deadlines, how JSON is read,
//! how webhooks are signed, and from what clients are made. Nothing in here knows what is served.

mod body;
mod client;
pub mod json;
mod limits;
mod outgoing;
mod server;
pub mod standard_webhooks;
mod stream;

pub use body::BodyTooSlow;
pub use limits::{Limits, raise_file_limit};
pub use outgoing::http_client;
pub use server::serve;

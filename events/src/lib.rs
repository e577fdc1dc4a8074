//! Carrying public events away, and bringing others' to where they belong: webhooks out, Kafka, consumers.
//! The stream itself is read by [`store::events`]; no SQL stands here.

pub mod commands;
pub mod consume;
pub mod kafka;
mod pace;
pub mod webhooks;

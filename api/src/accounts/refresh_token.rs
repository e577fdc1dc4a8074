//! Refresh tokens: which session they are of and of which generation, under a code of ours. Nothing of them
//! is stored, so nobody finds one in the database.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use domain::SessionId;
use identity::CodeKeys;
use uuid::Uuid;

/// By which secret scanners know one.
const PREFIX: &str = "hfr_";
const ID: usize = 16;
const GENERATION: usize = 4;

pub fn write(keys: &CodeKeys, session: SessionId, generation: i32) -> String {
    let mut bytes = session.uuid().as_bytes().to_vec();
    bytes.extend(generation.to_be_bytes());
    bytes.extend(keys.hash(session.uuid(), &purpose(generation)));
    format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// None if we did not write it.
pub fn read(keys: &CodeKeys, token: &str) -> Option<(SessionId, i32)> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
    let (id, rest) = bytes.split_at_checked(ID)?;
    let (generation, code) = rest.split_at_checked(GENERATION)?;
    let id = Uuid::from_slice(id).ok()?;
    let generation = i32::from_be_bytes(generation.try_into().ok()?);
    keys.matches(id, &purpose(generation), code).then(|| (SessionId::from_uuid(id), generation))
}

/// What is signed beside the session's id: never six digits, so that no mailed code is one of these.
fn purpose(generation: i32) -> String {
    format!("refresh-token/{generation}")
}

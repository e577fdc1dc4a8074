//! What the Temporal UI and CLI ask for, since they cannot read encrypted payloads themselves: the codec
//! server protocol, which is lists of payloads in and out.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use temporalio_common::protos::temporal::api::common::v1::Payload;

use crate::Engine;

#[derive(Debug, Serialize, Deserialize)]
pub struct Payloads {
    payloads: Vec<Wire>,
}

/// A payload as protobuf's JSON has it: bytes in base64.
#[derive(Debug, Serialize, Deserialize)]
struct Wire {
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    data: String,
}

impl Engine {
    /// In clear. Why not, in one sentence, if they are not ours.
    pub fn decode(&self, payloads: Payloads) -> Result<Payloads, String> {
        match &self.config.payload_keys {
            Some(keys) => payloads.map(|payload| keys.open(payload)),
            None => Ok(payloads),
        }
    }

    /// Encrypted, for what people type into the Temporal UI.
    pub fn encode(&self, payloads: Payloads) -> Result<Payloads, String> {
        match &self.config.payload_keys {
            Some(keys) => payloads.map(|payload| keys.seal(&payload)),
            None => Ok(payloads),
        }
    }
}

impl Payloads {
    fn map<E: std::fmt::Display>(
        self,
        change: impl Fn(Payload) -> Result<Payload, E>,
    ) -> Result<Self, String> {
        let change = |wire: Wire| {
            let payload = change(wire.read().map_err(|error| error.to_string())?);
            payload.map(Wire::write).map_err(|error| error.to_string())
        };
        let payloads = self.payloads.into_iter().map(change).collect::<Result<_, _>>()?;
        Ok(Self { payloads })
    }
}

impl Wire {
    fn read(self) -> Result<Payload, base64::DecodeError> {
        let metadata =
            self.metadata.into_iter().map(|(key, value)| Ok((key, BASE64_STANDARD.decode(value)?)));
        let metadata = metadata.collect::<Result<_, base64::DecodeError>>()?;
        Ok(Payload { metadata, data: BASE64_STANDARD.decode(self.data)?, ..Payload::default() })
    }

    fn write(payload: Payload) -> Self {
        let metadata = payload.metadata.into_iter().map(|(key, value)| (key, BASE64_STANDARD.encode(value)));
        Self { metadata: metadata.collect(), data: BASE64_STANDARD.encode(payload.data) }
    }
}

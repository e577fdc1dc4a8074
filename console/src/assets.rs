//! Styles and scripts, from the program itself. Each is named by what is in it, so that it may be kept for
//! ever.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest as _, Sha256};

const CSS: &str = include_str!("../assets/console.css");
const SCRIPT: &str = include_str!("../assets/console.js");
const ICON: &str = include_str!("../assets/icon.svg");
const KEPT: &str = "public, max-age=31536000, immutable";
/// Enough of a hash to tell two versions apart.
const SHOWN_BYTES: usize = 6;

struct Asset {
    name: String,
    content_type: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(stem: &str, extension: &str, content_type: &'static str, text: &'static str) -> Self {
        let hash = Sha256::digest(text);
        let hash: String = hash.iter().take(SHOWN_BYTES).map(|byte| format!("{byte:02x}")).collect();
        Self { name: format!("{stem}-{hash}.{extension}"), content_type, text }
    }

    fn address(&self) -> String {
        format!("/console/assets/{}", self.name)
    }
}

/// Where the pages find them.
pub struct Assets {
    all: [Asset; 3],
    pub css: String,
    pub script: String,
    pub icon: String,
}

impl Assets {
    pub fn new() -> Self {
        let css = Asset::new("console", "css", "text/css; charset=utf-8", CSS);
        let script = Asset::new("console", "js", "text/javascript; charset=utf-8", SCRIPT);
        let icon = Asset::new("icon", "svg", "image/svg+xml", ICON);
        let addresses = [&css, &script, &icon].map(Asset::address);
        let [css_address, script_address, icon_address] = addresses;
        Self { all: [css, script, icon], css: css_address, script: script_address, icon: icon_address }
    }
}

pub async fn serve(State(assets): State<Arc<Assets>>, Path(name): Path<String>) -> Response {
    let Some(asset) = assets.all.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [(header::CONTENT_TYPE, asset.content_type), (header::CACHE_CONTROL, KEPT)];
    (headers.map(|(name, value)| (name, HeaderValue::from_static(value))), asset.text).into_response()
}

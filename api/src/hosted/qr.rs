//! A text as a code that a phone scans, as a picture within the page.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

/// Light all around, in modules: ISO/IEC 18004 wants four.
const MARGIN: usize = 4;

/// None: the text is longer than a code can be.
pub fn svg(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let (width, colors) = (code.width(), code.to_colors());
    let mut dark = String::new();
    for (i, _) in colors.iter().enumerate().filter(|(_, color)| **color == Color::Dark) {
        let (x, y) = (i % width + MARGIN, i / width + MARGIN);
        let _ = write!(dark, "M{x} {y}h1v1h-1z"); // to memory: it cannot fail
    }
    let side = width + 2 * MARGIN;
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" role=\"img\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/>\
         <path d=\"{dark}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_picture_with_light_around_it() {
        let svg = svg("weixin://wxpay/bizpayurl?pr=p4lpSuKzz").expect("it is short");
        assert!(svg.contains("viewBox=\"0 0 37 37\"") && svg.contains("M4 4h1v1h-1z"), "{svg}");
        assert!(super::svg(&"x".repeat(4000)).is_none());
    }
}

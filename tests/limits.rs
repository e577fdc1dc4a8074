//! `docs/limits.md` says what the code says.

use std::{fs, path::Path};

use api::RateLimits;
use web::Limits;

const PAGE: &str = "limits.md";
/// In these crates each limit and each timeout is in the page.
const COMPLETE: [&str; 3] = ["api/src", "identity/src", "web/src"];
/// How long something is that has one length.
const LENGTHS: [&str; 3] = ["COORDINATE_BYTES", "HASH_BYTES", "KEY_BYTES"];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new("..").join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A constant of the code.
#[derive(Debug)]
struct Constant {
    name: String,
    kind: String,
    expression: String,
}

/// `const NAME: Kind = expression;`, without those of tests.
fn constants(path: &str) -> Vec<Constant> {
    let text = read(path);
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
    let declared = text.split("const ").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once(": ")?;
        let (kind, rest) = rest.split_once('=')?;
        let (expression, _) = rest.split_once(';')?;
        let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        let [kind, expression] = [kind, expression].map(|it| it.trim().to_owned());
        is_name.then(|| Constant { name: name.to_owned(), kind, expression })
    });
    declared.collect()
}

fn constant(path: &str, name: &str) -> Constant {
    let found = constants(path).into_iter().find(|it| it.name == name);
    found.unwrap_or_else(|| panic!("{PAGE}: there is no `{name}` in {path}"))
}

impl Constant {
    fn is_limit(&self) -> bool {
        let is_number = ["usize", "u32", "u64", "i64", "u16"].contains(&self.kind.as_str());
        self.kind.ends_with("Duration")
            || is_number
                && (self.name.starts_with("MAX_") || self.name.ends_with("_BYTES"))
                && !LENGTHS.contains(&self.name.as_str())
    }

    /// As the page writes it.
    fn value(&self) -> String {
        let inner = self.expression.trim_start_matches("Signed");
        let unit = inner.strip_prefix("Duration::from_").and_then(|it| it.split_once('('));
        match unit {
            Some((unit, product)) => {
                let ms = match unit {
                    "millis" => 1,
                    "secs" => 1000,
                    "mins" => 60_000,
                    "hours" => 3_600_000,
                    other => panic!("{other}"),
                };
                duration(ms * number(product.trim_end_matches(')')))
            }
            None if self.name.ends_with("_BYTES") => bytes(number(&self.expression)),
            None => grouped(number(&self.expression)),
        }
    }
}

/// A product of numbers, of the largest body, and of the longest password.
fn number(product: &str) -> u64 {
    let factor = |text: &str| match text.trim() {
        "MAX_BODY_BYTES" => number(&constant("api/src/bodies.rs", "MAX_BODY_BYTES").expression),
        "MAX" => number(&constant("identity/src/password.rs", "MAX").expression),
        text => text.replace('_', "").parse().unwrap_or_else(|_| panic!("{product} is no product")),
    };
    product.split('*').map(factor).product()
}

fn duration(ms: u64) -> String {
    let units = [("d", 86_400_000, 2), ("h", 3_600_000, 2), ("min", 60_000, 2), ("s", 1000, 1)];
    let fits = units.iter().find(|(_, unit, least)| ms.is_multiple_of(*unit) && ms / unit >= *least);
    fits.map_or_else(|| format!("{ms} ms"), |(name, unit, _)| format!("{} {name}", ms / unit))
}

fn bytes(bytes: u64) -> String {
    let units = [("MiB", 1 << 20), ("KiB", 1 << 10)];
    let fits = units.iter().find(|(_, unit)| bytes.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{bytes} bytes"), |(name, unit)| format!("{} {name}", bytes / unit))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

/// The cells of each row of the page's tables.
fn rows() -> Vec<Vec<String>> {
    let row = |line: &str| {
        let cells = line.strip_prefix('|')?.strip_suffix('|')?;
        Some(cells.split('|').map(|cell| cell.trim().to_owned()).collect())
    };
    read("docs/limits.md").lines().filter_map(row).collect()
}

/// `` `a.rs` `NAME` ``
fn place(cell: &str) -> Option<(&str, &str)> {
    cell.strip_prefix('`')?.strip_suffix('`')?.split_once("` `")
}

#[test]
fn the_page_says_what_the_code_says() {
    let rows = rows();
    let named: Vec<_> = rows.iter().filter_map(|row| Some((row, place(row.last()?)?))).collect();
    assert!(named.len() > 50, "{}", named.len());
    for (row, (path, name)) in &named {
        assert_eq!(row[1], constant(path, name).value(), "{PAGE}: {} ({path} {name})", row[0]);
    }
    for path in COMPLETE.iter().flat_map(|folder| files(folder)) {
        for limit in constants(&path).iter().filter(|it| it.is_limit()) {
            let is_there = named.iter().any(|(_, place)| *place == (path.as_str(), limit.name.as_str()));
            assert!(is_there, "{PAGE} does not tell of {path} {}", limit.name);
        }
    }
}

#[test]
fn the_page_tells_the_defaults_of_settings() {
    let rows = rows();
    let of = |cell: &str| {
        let row = rows.iter().find(|row| row.iter().any(|it| it.starts_with(cell)));
        row.unwrap_or_else(|| panic!("{PAGE} does not tell of {cell}")).clone()
    };
    let limits = Limits::default();
    let ms = |it: std::time::Duration| duration(u64::try_from(it.as_millis()).unwrap());
    for (name, value) in [
        ("MAX_CONNECTIONS", grouped(limits.connections as u64)),
        ("HEADER_TIMEOUT", ms(limits.header)),
        ("BODY_TIMEOUT", ms(limits.body)),
        ("IDLE_TIMEOUT", ms(limits.idle)),
        ("DRAIN_TIMEOUT", ms(limits.drain)),
    ] {
        assert_eq!(of(&format!("`HOLDFAST_{name}`"))[1], value, "{name}");
    }
    let RateLimits { reads, writes, reports, customers, strangers } = RateLimits::default();
    for (name, limit) in [
        ("reads", reads),
        ("writes", writes),
        ("reports", reports),
        ("customers", customers),
        ("strangers", strangers),
    ] {
        let limit = limit.unwrap();
        let value = format!("{} in {} s", grouped(limit.requests.get().into()), limit.window_s);
        assert_eq!(of(&format!("`{name}`"))[2], value, "{name}");
    }
}

/// The files of a folder, and of those in it, that are no tests.
fn files(folder: &str) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(Path::new("..").join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(self::files(&path)),
            false if path.ends_with(".rs") && !path.ends_with("tests.rs") => files.push(path),
            false => {}
        }
    }
    files
}

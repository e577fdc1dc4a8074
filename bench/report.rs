//! What a benchmark found: a table for people, JSON for machines.

use std::{fs, path::Path, time::Duration};

use serde_json::{Map, Value, json};

pub struct Report {
    name: &'static str,
    /// What was compared with what, in a sentence.
    about: &'static str,
    rows: Vec<Map<String, Value>>,
}

impl Report {
    pub fn new(name: &'static str, about: &'static str) -> Self {
        println!("{name}: {about}\n");
        Self { name, about, rows: Vec::new() }
    }

    /// One line of the table, as a JSON object. Rows need not have the same columns.
    pub fn row(&mut self, row: Value) {
        let Value::Object(row) = row else { panic!("a row is an object: {row}") };
        let cells: Vec<String> = row.iter().map(|(name, value)| format!("{name} {}", text(value))).collect();
        println!("  {}", cells.join("  "));
        self.rows.push(row);
    }

    pub fn publish(self) {
        let Self { name, about, rows } = self;
        println!("\n{}", table(&rows));
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        let result = json!({
            "benchmark": name,
            "about": about,
            "at": jiff::Timestamp::now().round(jiff::Unit::Second).unwrap(),
            "processors": processors,
            "rows": rows,
        });
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/results");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{name}.json"));
        fs::write(&file, format!("{result:#}\n")).unwrap();
        println!("written to {}", file.canonicalize().unwrap().display());
    }
}

/// Rows with the same columns stand below each other.
fn table(rows: &[Map<String, Value>]) -> String {
    let mut out = String::new();
    for rows in rows.chunk_by(|a, b| a.keys().eq(b.keys())) {
        let names: Vec<String> = rows[0].keys().cloned().collect();
        let lines = rows.iter().map(|row| row.values().map(text).collect());
        let lines: Vec<Vec<String>> = std::iter::once(names).chain(lines).collect();
        for line in &lines {
            let cells = line.iter().enumerate().map(|(column, cell)| {
                let width = lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
                format!("{cell:>width$}")
            });
            out.push_str(&cells.collect::<Vec<_>>().join("  "));
            out.push('\n');
        }
        out.push('\n');
    }
    out
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => format!("{:.2}", number.as_f64().unwrap()),
        other => other.to_string(),
    }
}

pub fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}

pub fn per_second(count: usize, elapsed: Duration) -> f64 {
    (count as f64 / elapsed.as_secs_f64() * 10.0).round() / 10.0
}

pub fn ratio(a: f64, b: f64) -> f64 {
    (a / b * 100.0).round() / 100.0
}

/// The value below which this share of them lies.
pub fn percentile(values: &[Duration], share: f64) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().checked_sub(1).expect("something was measured");
    sorted[((sorted.len() as f64 * share) as usize).min(last)]
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
